//! Linux's bzImage (Linux: Documentation/arch/x86/boot.rst): a kernel, compressed, behind a
//! header and the code that unpacks it.
//!
//! ```text
//!   kernel by gzip, lz4 or zstd, with a PVH note ─► unpacked here, started by PVH
//!   any other of 64 bits ─────────────────────────► unpacks itself, started at its 64-bit entry
//! ```
//!
//! Unpacking takes the host a tenth of a second; a guest that is emulated takes longer, and
//! where KVM emulates ring 0 it takes many minutes. Other compressions were rejected: each
//! would need one more crate for what the guest can do too.

use std::io::{Cursor, Read};

use flate2::read::GzDecoder;
use linux_loader::configurator::linux::LinuxBootConfigurator;
use linux_loader::configurator::{BootConfigurator, BootParams};
use linux_loader::loader::KernelLoader;
use linux_loader::loader::bootparam::{boot_e820_entry, boot_params, setup_header};
use linux_loader::loader::bzimage::BzImage;
use ruzstd::decoding::StreamingDecoder;
use vm_memory::{ByteValued, GuestAddress};
use x86::{Cr0Flags, Cr4Flags, DescriptorFlags, EferFlags, PageTableFlags, segment};

use super::BootError;
use super::info::Placed;
use crate::cpu::{CpuState, Dtable, Regs, Segment};
use crate::layout::{BOOT_GDT, BOOT_PAGE_TABLES, COMMAND_LINE, PAGE, START_INFO};
use crate::memory::GuestRam;

/// Where the header lies in the file, and what it has in [`setup_header::header`].
const HEADER: usize = 0x1f1;
const MAGIC: u32 = u32::from_le_bytes(*b"HdrS");
/// The first version with [`setup_header::xloadflags`].
const VERSION: u16 = 0x20c;
/// In there: the kernel has a 64-bit entry, this far behind its start.
const HAS_64_BIT_ENTRY: u16 = 1;
const ENTRY_64: u64 = 0x200;
const SECTOR: usize = 512;
/// The type of boot loaders that have no number of their own.
const OTHER_LOADER: u8 = 0xff;
const E820_RAM: u32 = 1;

/// Selectors of the boot protocol.
const BOOT_CS: u16 = 0x10;
const BOOT_DS: u16 = 0x18;

/// The header, if `image` is a bzImage.
pub fn header(image: &[u8]) -> Option<setup_header> {
    let mut header = setup_header::default();
    let bytes = image.get(HEADER..)?.get(..size_of::<setup_header>())?;
    header.as_mut_slice().copy_from_slice(bytes);
    let is_new = header.version >= VERSION && header.loadflags & 1 != 0;
    (header.header == MAGIC && is_new).then_some(header)
}

/// The kernel in `image`, unpacked; `None` if it is compressed in another way, is damaged, or
/// has more than `room` bytes.
pub fn unpack(image: &[u8], header: &setup_header, room: u64) -> Option<Vec<u8>> {
    let start = setup_size(header) + header.payload_offset as usize;
    let payload = image.get(start..)?.get(..header.payload_length as usize)?;
    // The kernel's build puts the unpacked size behind its stream.
    let (stream, size) = payload.split_last_chunk()?;
    let size = u64::from(u32::from_le_bytes(*size));
    if size > room {
        return None;
    }
    let mut kernel = Vec::new();
    kernel.try_reserve_exact(size as usize).ok()?;
    kernel.resize(size as usize, 0);
    match stream {
        // Whose last field is that size.
        [0x1f, 0x8b, ..] => GzDecoder::new(payload).read_exact(&mut kernel).ok()?,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            StreamingDecoder::new(stream)
                .ok()?
                .read_exact(&mut kernel)
                .ok()?;
        }
        [0x02, 0x21, 0x4c, 0x18, blocks @ ..] => unpack_lz4(blocks, &mut kernel)?,
        _ => return None,
    }
    Some(kernel)
}

/// Unpacks lz4's "legacy frame": blocks, each after its size.
fn unpack_lz4(mut blocks: &[u8], mut to: &mut [u8]) -> Option<()> {
    while let Some((size, rest)) = blocks.split_first_chunk() {
        let (block, next) = rest.split_at_checked(u32::from_le_bytes(*size) as usize)?;
        let unpacked = lz4_flex::block::decompress_into(block, to).ok()?;
        to = to.split_at_mut_checked(unpacked)?.1;
        blocks = next;
    }
    to.is_empty().then_some(())
}

fn setup_size(header: &setup_header) -> usize {
    const DEFAULT: usize = 4;
    let sectors = match usize::from(header.setup_sects) {
        0 => DEFAULT,
        sectors => sectors,
    };
    (sectors + 1) * SECTOR
}

/// Loads `image` to unpack itself where it wants to lie. Returns its 64-bit entry and the
/// first address past all that it needs.
///
/// # Errors
/// A kernel of 32 bits, or one that does not fit into `available` bytes from address 0.
pub fn load(
    ram: &GuestRam,
    image: &[u8],
    header: &setup_header,
    available: u64,
) -> Result<(u64, u64), BootError> {
    if header.xloadflags & HAS_64_BIT_ENTRY == 0 {
        return Err(BootError::NotPvh);
    }
    let at = header.pref_address;
    let needed = at.saturating_add(header.init_size.into());
    if needed > available {
        return Err(BootError::TooLarge {
            what: "the kernel image",
            needed,
            available,
        });
    }
    let file = &mut Cursor::new(image);
    BzImage::load(ram.mmap(), Some(GuestAddress(at)), file, None)
        .map_err(|error| BootError::Loader(error.to_string()))?;
    Ok((at + ENTRY_64, needed))
}

/// Writes the boot parameters that a kernel finds at its 64-bit entry, and the page tables
/// and descriptors that it starts with.
pub fn write(ram: &GuestRam, header: &setup_header, placed: &Placed) -> Result<(), BootError> {
    let mut params = boot_params {
        acpi_rsdp_addr: placed.rsdp,
        hdr: *header,
        ..Default::default()
    };
    params.hdr.type_of_loader = OTHER_LOADER;
    params.hdr.cmd_line_ptr = COMMAND_LINE as u32;
    // Below the hole for devices, both.
    params.hdr.ramdisk_image = placed.initramfs.start as u32;
    params.hdr.ramdisk_size = (placed.initramfs.end - placed.initramfs.start) as u32;
    params.e820_entries = placed.usable.len() as u8;
    let mut table = params.e820_table;
    for (entry, range) in table.iter_mut().zip(&placed.usable) {
        *entry = boot_e820_entry {
            addr: range.start,
            size: range.end - range.start,
            r#type: E820_RAM,
        };
    }
    params.e820_table = table;
    let params = BootParams::new(&params, GuestAddress(START_INFO));
    LinuxBootConfigurator::write_bootparams(&params, ram.mmap())
        .map_err(|error| BootError::Loader(error.to_string()))?;
    write_tables(ram)
}

/// Bytes that are mapped, each to itself.
const MAPPED: u64 = 4 << 30;
const LARGE_PAGE: u64 = 2 << 20;
const ENTRIES: u64 = 512;

fn write_tables(ram: &GuestRam) -> Result<(), BootError> {
    let table = PageTableFlags::PRESENT | PageTableFlags::WRITABLE;
    let page = table | PageTableFlags::HUGE_PAGE;
    let entry = |at: u64, flags: PageTableFlags| (at | flags.bits()).to_le_bytes();
    let (pointers, directories) = (BOOT_PAGE_TABLES + PAGE, BOOT_PAGE_TABLES + 2 * PAGE);
    let covered = LARGE_PAGE * ENTRIES;
    ram.write(BOOT_PAGE_TABLES, &entry(pointers, table))?;
    for number in 0..MAPPED / covered {
        ram.write(
            pointers + 8 * number,
            &entry(directories + number * PAGE, table),
        )?;
    }
    for number in 0..MAPPED / LARGE_PAGE {
        ram.write(directories + 8 * number, &entry(number * LARGE_PAGE, page))?;
    }
    let code = DescriptorFlags::KERNEL_CODE64.bits();
    let data = DescriptorFlags::KERNEL_DATA.bits();
    let descriptors = [0, 0, code, data].map(u64::to_le_bytes);
    Ok(ram.write(BOOT_GDT, descriptors.as_flattened())?)
}

/// The state at the 64-bit entry: long mode, flat segments, interrupts off, rsi at the boot
/// parameters. `base` has what does not depend on the protocol.
pub fn start_state(entry: u64, base: CpuState) -> CpuState {
    let data = Segment::flat(BOOT_DS, segment::FLAT_DATA);
    let mut state = base;
    state.regs.rip = entry;
    state.regs.gpr[Regs::RSI] = START_INFO;
    state.cs = Segment::flat(BOOT_CS, segment::FLAT_CODE_64);
    for segment in [
        &mut state.ds,
        &mut state.es,
        &mut state.fs,
        &mut state.gs,
        &mut state.ss,
    ] {
        *segment = data;
    }
    state.gdt = Dtable {
        base: BOOT_GDT,
        limit: BOOT_DS + 7,
    };
    state.cr0 |= Cr0Flags::PAGING.bits();
    state.cr3 = BOOT_PAGE_TABLES;
    state.cr4 = Cr4Flags::PHYSICAL_ADDRESS_EXTENSION.bits();
    state.efer = (EferFlags::LONG_MODE_ENABLE | EferFlags::LONG_MODE_ACTIVE).bits();
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL: &[u8] = b"hello";

    /// A bzImage with this payload, behind one sector of set-up code.
    fn image(payload: &[u8]) -> Vec<u8> {
        let header = setup_header {
            setup_sects: 1,
            header: MAGIC,
            version: VERSION,
            loadflags: 1,
            payload_offset: 16,
            payload_length: payload.len() as u32,
            ..Default::default()
        };
        let mut image = vec![0; 2 * SECTOR + 16];
        image[HEADER..HEADER + size_of::<setup_header>()].copy_from_slice(header.as_slice());
        image.extend_from_slice(payload);
        image
    }

    fn unpacked(payload: &[u8]) -> Option<Vec<u8>> {
        let image = image(payload);
        let header = header(&image).expect("it is a bzImage");
        unpack(&image, &header, 100)
    }

    /// By hand: the kernel in a block of its own, as it is.
    fn by_lz4() -> Vec<u8> {
        let block = [b"\x50", KERNEL].concat();
        let size = (block.len() as u32).to_le_bytes();
        [b"\x02\x21\x4c\x18", &size[..], &block, b"\x05\0\0\0"].concat()
    }

    #[test]
    fn each_compression_is_known_by_its_first_bytes() {
        let mut by_gzip = flate2::read::GzEncoder::new(KERNEL, flate2::Compression::fast());
        let mut gzip = Vec::new();
        by_gzip.read_to_end(&mut gzip).expect("it is in memory");
        assert_eq!(unpacked(&gzip).as_deref(), Some(KERNEL));
        assert_eq!(unpacked(&by_lz4()).as_deref(), Some(KERNEL));
        // One block, the last, as it is.
        let zstd = [b"\x28\xb5\x2f\xfd\x20\x05\x29\0\0", KERNEL, b"\x05\0\0\0"].concat();
        assert_eq!(unpacked(&zstd).as_deref(), Some(KERNEL));
        assert_eq!(unpacked(b"\xfd7zXZ\0and so on"), None);
    }

    #[test]
    fn what_is_cut_or_too_large_is_left_to_the_guest() {
        let whole = by_lz4();
        for end in 0..whole.len() {
            assert_eq!(unpacked(&whole[..end]), None, "{end}");
        }
        let mut large = whole;
        large[14] = 101;
        assert_eq!(unpacked(&large), None);
        let mut outside = image(b"");
        outside[HEADER + 0x57..HEADER + 0x5f].fill(0xff);
        let header = header(&outside).expect("it is a bzImage");
        assert_eq!(unpack(&outside, &header, u64::MAX), None);
    }

    #[test]
    fn other_files_are_none() {
        assert!(header(b"\x7fELF").is_none());
        assert!(header(&[0; 4096]).is_none());
    }
}
