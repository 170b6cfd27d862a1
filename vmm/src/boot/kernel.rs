//! Loads a PVH kernel.

use std::io::Cursor;

use abi::shared::{NOTE_NAME, NOTE_SHARED_PAGE, SharedPage};
use abi::trace::{NOTE_TRACE_RING, TraceRing};
use linux_loader::loader::KernelLoader;
use linux_loader::loader::elf::Elf;

use super::BootError;
use super::elf::{Addresses, Executable};
use crate::layout::DEVICE_HOLE;
use crate::memory::GuestRam;

/// Owner and type of the note with the 32-bit entry point (Xen: XEN_ELFNOTE_PHYS32_ENTRY).
const PVH_NOTE: (&str, u32) = ("Xen", 18);

/// A kernel in guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelImage {
    /// Guest-physical address of the 32-bit entry point.
    pub entry: u32,
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
/// A file that is not a complete PVH kernel, or does not fit into RAM.
pub fn load_kernel(ram: &GuestRam, image: &[u8]) -> Result<KernelImage, BootError> {
    let executable = Executable::parse(image)?;
    executable.separate(Addresses::Physical)?;
    // By ourselves: the loader has the entry of the last note segment, and none where that
    // has other notes only.
    let entry = executable
        .note(PVH_NOTE.0, PVH_NOTE.1)
        .and_then(|descriptor| descriptor.first_chunk())
        .ok_or(BootError::NotPvh)?;
    let available = ram.size().min(DEVICE_HOLE);
    let end = executable.physical_end();
    if end > available {
        return Err(BootError::TooLarge {
            what: "the kernel image",
            needed: end,
            available,
        });
    }
    Elf::load(ram.mmap(), None, &mut Cursor::new(image), None)
        .map_err(|error| BootError::Loader(error.to_string()))?;
    let shared = |kind, len: usize| {
        let address = noted_address(&executable, kind)?;
        let fits = address.is_multiple_of(abi::virtual_map::PAGE_SIZE)
            && address.saturating_add(len as u64) <= available;
        fits.then_some(address)
    };
    Ok(KernelImage {
        entry: u32::from_le_bytes(*entry),
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
