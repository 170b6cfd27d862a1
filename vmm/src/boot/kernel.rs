//! Loads a kernel: an ELF image for PVH, or a bzImage.

use abi::shared::{NOTE_NAME, NOTE_SHARED_PAGE, SharedPage};
use abi::trace::{NOTE_TRACE_RING, TraceRing};
use linux_loader::loader::bootparam::setup_header;

use super::elf::{Addresses, Executable};
use super::{BootError, bzimage, pvh};
use crate::binary;
use crate::cpu::CpuState;
use crate::layout::DEVICE_HOLE;
use crate::memory::GuestRam;

/// Owner and type of the note with the 32-bit entry point (Xen: XEN_ELFNOTE_PHYS32_ENTRY).
const PVH_NOTE: (&str, u32) = ("Xen", 18);

/// Where and how a kernel starts.
#[derive(Clone, Copy, Debug)]
pub enum Entry {
    /// At this address, by PVH.
    Pvh(u32),
    /// At this address, in long mode, by Linux's boot protocol; with the image's header.
    Linux64(u64, setup_header),
}

impl Entry {
    /// The state of the vCPU there.
    pub fn state(&self) -> CpuState {
        match *self {
            Self::Pvh(entry) => pvh::start_state(entry),
            Self::Linux64(entry, _) => bzimage::start_state(entry, pvh::start_state(0)),
        }
    }
}

/// A kernel in guest memory.
#[derive(Clone, Copy, Debug)]
pub struct KernelImage {
    /// Where it starts.
    pub entry: Entry,
    /// First guest-physical address past the image, its zeroed data included.
    pub end: u64,
    /// Guest-physical address of the page that the kernel shares with the VMM
    /// ([`abi::shared`]), if it says that it has one inside RAM.
    pub shared_page: Option<u64>,
    /// Guest-physical address of the ring of its trace ([`abi::trace`]), likewise.
    pub trace_ring: Option<u64>,
}

/// Loads `image` at the addresses that it asks for.
///
/// # Errors
/// A file that is not a complete kernel, or does not fit into RAM.
pub fn load_kernel(ram: &GuestRam, image: &[u8]) -> Result<KernelImage, BootError> {
    let available = ram.size().min(DEVICE_HOLE);
    let Some(header) = bzimage::header(image) else {
        return load_elf(ram, image, available);
    };
    let unpacked = bzimage::unpack(image, &header, available);
    match unpacked.map(|kernel| load_elf(ram, &kernel, available)) {
        None | Some(Err(BootError::NotPvh)) => {
            let (entry, end) = bzimage::load(ram, image, &header, available)?;
            Ok(KernelImage {
                entry: Entry::Linux64(entry, header),
                end,
                shared_page: None,
                trace_ring: None,
            })
        }
        Some(loaded) => loaded,
    }
}

/// Loads an ELF image with a PVH entry point.
fn load_elf(ram: &GuestRam, image: &[u8], available: u64) -> Result<KernelImage, BootError> {
    let executable = Executable::parse_kernel(image)?;
    executable.separate(Addresses::Physical)?;
    let entry = executable
        .note(PVH_NOTE.0, PVH_NOTE.1)
        .and_then(|descriptor| descriptor.first_chunk())
        .ok_or(BootError::NotPvh)?;
    let end = executable.physical_end();
    if end > available {
        return Err(BootError::TooLarge {
            what: "the kernel image",
            needed: end,
            available,
        });
    }
    for (address, bytes) in executable.loaded() {
        binary::place(ram, address, bytes)?;
    }
    let shared = |kind, len: usize| {
        let address = noted_address(&executable, kind)?;
        let fits = address.is_multiple_of(abi::virtual_map::PAGE_SIZE)
            && address.saturating_add(len as u64) <= available;
        fits.then_some(address)
    };
    Ok(KernelImage {
        entry: Entry::Pvh(u32::from_le_bytes(*entry)),
        end,
        shared_page: shared(NOTE_SHARED_PAGE, size_of::<SharedPage>()),
        trace_ring: shared(NOTE_TRACE_RING, size_of::<TraceRing>()),
    })
}

/// The address that one of our notes gives.
fn noted_address(executable: &Executable<'_>, kind: u32) -> Option<u64> {
    let descriptor = executable.note(NOTE_NAME, kind)?;
    Some(u64::from_le_bytes(descriptor.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use vm_memory::{Bytes, GuestAddress};

    use super::*;

    /// A 32-bit image: its header, a segment of 4 bytes to be loaded at 1 MiB, and a note
    /// that it starts 2 bytes behind that.
    fn elf32() -> Vec<u8> {
        let word = |value: u32| value.to_le_bytes();
        let ident = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0";
        let header = [2 | 3 << 16, 1, 0, 52, 0, 0, 52 | 32 << 16, 2 | 40 << 16, 0].map(word);
        let loaded = [1, 116, 0x10_0000, 0x10_0000, 4, 0x1000, 7, 4].map(word);
        let note = [4, 120, 0, 0, 20, 20, 4, 4].map(word);
        let owner = [4, 4, 18].map(word);
        [
            &ident[..],
            header.as_flattened(),
            loaded.as_flattened(),
            note.as_flattened(),
            b"code",
            owner.as_flattened(),
            b"Xen\0",
            &word(0x10_0002),
        ]
        .concat()
    }

    #[test]
    fn a_kernel_may_be_of_32_bits() {
        let ram = GuestRam::new(2 << 20).expect("address space");
        let kernel = load_kernel(&ram, &elf32()).expect("it is one");
        assert!(matches!(kernel.entry, Entry::Pvh(0x10_0002)));
        assert_eq!(kernel.end, 0x10_1000);
        let code: [u8; 4] = ram
            .mmap()
            .read_obj(GuestAddress(0x10_0000))
            .expect("inside RAM");
        assert_eq!(&code, b"code");
        assert!(Executable::parse(&elf32()).is_err(), "no program");
    }
}
