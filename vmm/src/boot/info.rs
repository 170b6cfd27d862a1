//! What goes into guest memory beside the kernel, whatever the boot protocol: command line,
//! initramfs, ACPI tables.

use std::ops::Range;

use vm_memory::{Bytes, GuestAddress};

use super::kernel::Entry;
use super::{BootError, KernelImage, acpi, bzimage, pvh};
use crate::binary;
use crate::devices::power;
use crate::layout::{
    ACPI_TABLES, COMMAND_LINE, COMMAND_LINE_MAX, DEVICE_HOLE, FIRMWARE_HOLE, PAGE,
};
use crate::memory::GuestRam;

/// What goes into guest memory beside the kernel.
#[derive(Clone, Copy, Debug)]
pub struct BootInfo<'a> {
    /// The kernel's command line.
    pub command_line: &'a [u8],
    /// The initramfs, in pieces that follow each other at once; may be empty.
    pub initramfs: &'a [&'a [u8]],
    /// Whether the kernel finds its devices by ACPI, and the firmware where a PC has it.
    pub acpi: bool,
    /// How many CPUs it finds so.
    pub cpus: u8,
    /// Whether there is a virtio console among them.
    pub virtio: bool,
}

/// Where a processor begins after a reset, in real mode's address space. Kernels jump there to
/// have the firmware reset the machine, as their last resort.
const RESET_VECTOR: u64 = 0xf_fff0;
/// All that there is of firmware: `mov dx, RESET_CONTROL; mov al, RESET; out dx, al; hlt`.
const FIRMWARE: [u8; 7] = {
    let [low, high] = abi::ports::RESET_CONTROL.to_le_bytes();
    [0xba, low, high, 0xb0, power::RESET, 0xee, 0xf4]
};

/// Where things lie, for the kernel to find.
pub struct Placed {
    /// The initramfs; empty if there is none.
    pub initramfs: Range<u64>,
    /// Ranges of RAM that the kernel may use.
    pub usable: Vec<Range<u64>>,
    /// The first of the ACPI tables; 0 if there are none.
    pub rsdp: u64,
}

/// Writes initramfs, command line, ACPI tables, and what tells the kernel of them.
///
/// # Errors
/// RAM that is too small, or a command line too long.
pub fn write_boot_info(
    ram: &GuestRam,
    kernel: &KernelImage,
    info: &BootInfo<'_>,
) -> Result<(), BootError> {
    let size = info.initramfs.iter().map(|piece| piece.len() as u64).sum();
    let start = place_initramfs(ram, kernel, size)?;
    let mut address = start;
    for piece in info.initramfs {
        binary::place(ram, address, piece)?;
        address += piece.len() as u64;
    }
    write_command_line(ram, info.command_line)?;
    if info.acpi {
        ram.write(
            ACPI_TABLES,
            &acpi::tables(ACPI_TABLES, info.cpus, info.virtio),
        )?;
        ram.write(RESET_VECTOR, &FIRMWARE)?;
    }
    let placed = Placed {
        initramfs: start..address,
        usable: usable(ram, info.acpi),
        rsdp: if info.acpi { ACPI_TABLES } else { 0 },
    };
    match &kernel.entry {
        Entry::Pvh(_) => pvh::write(ram, &placed),
        Entry::Linux64(_, header) => bzimage::write(ram, header, &placed),
    }
}

/// Ranges of RAM that the kernel may use: all, or without those where a PC has none.
fn usable(ram: &GuestRam, pc: bool) -> Vec<Range<u64>> {
    let regions = ram.regions();
    let mut ranges: Vec<_> = regions
        .iter()
        .map(|region| region.gpa..region.gpa + region.len)
        .collect();
    if pc && let [low, ..] = ranges.as_mut_slice() {
        let above = FIRMWARE_HOLE.end..low.end;
        low.end = FIRMWARE_HOLE.start;
        ranges.insert(1, above);
    }
    ranges
}

/// The page-aligned address just below the end of low RAM where the initramfs fits.
fn place_initramfs(ram: &GuestRam, kernel: &KernelImage, needed: u64) -> Result<u64, BootError> {
    let top = ram.size().min(DEVICE_HOLE);
    let floor = kernel.end.next_multiple_of(PAGE);
    let available = top.saturating_sub(floor);
    if needed > available {
        return Err(BootError::TooLarge {
            what: "the initramfs",
            needed,
            available,
        });
    }
    Ok((top - needed) / PAGE * PAGE)
}

fn write_command_line(ram: &GuestRam, line: &[u8]) -> Result<(), BootError> {
    if line.contains(&0) {
        return Err(BootError::ZeroByte);
    }
    if line.len() >= COMMAND_LINE_MAX {
        return Err(BootError::CommandLineTooLong { length: line.len() });
    }
    ram.mmap().write_slice(line, GuestAddress(COMMAND_LINE))?;
    ram.mmap()
        .write_obj(0u8, GuestAddress(COMMAND_LINE + line.len() as u64))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use linux_loader::loader::elf::start_info::XEN_HVM_START_MAGIC_VALUE;

    use super::*;
    use crate::layout::{MODULE_LIST, START_INFO};

    const KERNEL: KernelImage = KernelImage {
        entry: Entry::Pvh(0x10_0000),
        end: 0x20_0010,
        shared_page: None,
        trace_ring: None,
    };

    fn ram() -> GuestRam {
        GuestRam::new(8 << 20).expect("address space")
    }

    #[test]
    fn the_guest_finds_its_command_line_and_initramfs() {
        let ram = ram();
        let info = BootInfo {
            command_line: b"init=/bin/x",
            initramfs: &[&[7; 4000], &[8; 1000]],
            acpi: false,
            cpus: 1,
            virtio: false,
        };
        write_boot_info(&ram, &KERNEL, &info).expect("everything fits");
        let read = |at: u64| {
            ram.mmap()
                .read_obj::<u64>(GuestAddress(at))
                .expect("inside RAM")
        };
        assert_eq!(read(START_INFO) as u32, XEN_HVM_START_MAGIC_VALUE);
        assert_eq!(read(START_INFO + 24), COMMAND_LINE);
        let (initramfs, size) = (read(MODULE_LIST), read(MODULE_LIST + 8));
        assert_eq!((initramfs, size), ((8 << 20) - 8192, 5000));
        assert_eq!(read(initramfs), 0x0707_0707_0707_0707);
        assert_eq!(read(initramfs + 3996), 0x0808_0808_0707_0707);
        let mut line = [0xff; 12];
        ram.mmap()
            .read_slice(&mut line, GuestAddress(COMMAND_LINE))
            .expect("inside RAM");
        assert_eq!(&line, b"init=/bin/x\0");
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let ram = ram();
        let large = vec![0; 7 << 20];
        let info = BootInfo {
            command_line: b"",
            initramfs: &[&large],
            acpi: false,
            cpus: 1,
            virtio: false,
        };
        let error = write_boot_info(&ram, &KERNEL, &info).expect_err("no room");
        assert!(matches!(
            error,
            BootError::TooLarge {
                what: "the initramfs",
                ..
            }
        ));
        let line = "x".repeat(COMMAND_LINE_MAX);
        let info = BootInfo {
            command_line: line.as_bytes(),
            initramfs: &[],
            acpi: false,
            cpus: 1,
            virtio: false,
        };
        let error = write_boot_info(&ram, &KERNEL, &info).expect_err("too long");
        assert!(matches!(error, BootError::CommandLineTooLong { .. }));
    }
}
