//! Guest RAM, on vm-memory.
//!
//! One piece from address 0 up to a hole for devices, the rest above 4 GiB. Pages are the
//! host's anonymous memory, so untouched ones cost nothing. Beside it there may be a
//! [`FileWindow`], which the guest can only read.

use std::error::Error;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use vm_memory::{
    Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryError, GuestMemoryMmap, GuestMemoryRegion,
    GuestRegionMmap, MemoryRegionAddress, MmapRegion,
};

pub use crate::file_window::FileWindow;
use crate::guarded::{Guarded, keep_out_of_dumps};
use crate::size::Size;

/// Start of the hole for memory-mapped devices; RAM below it is one piece from 0.
pub const DEVICE_HOLE: u64 = 0xc000_0000;
/// Where RAM goes on above the hole.
pub const HIGH_RAM: u64 = 0x1_0000_0000;

/// Guest RAM; clones share it.
#[derive(Clone, Debug)]
pub struct GuestRam {
    mapped: Arc<Mapped>,
    size: u64,
    files: Option<FileWindow>,
}

#[derive(Debug)]
struct Mapped {
    mmap: GuestMemoryMmap,
    /// Where that is, for as long.
    _addresses: Vec<Guarded>,
}

/// A contiguous piece of guest RAM in the VMM's own address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RamRegion {
    /// First guest-physical address.
    pub gpa: u64,
    /// Bytes.
    pub len: u64,
    /// Host-virtual address of the first byte; valid as long as the [`GuestRam`] lives.
    pub hva: *mut u8,
}

/// Guest RAM could not be allocated.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot reserve {} of guest memory: {source}; ask for less with --memory",
    Size(*.size)
)]
pub struct RamError {
    size: u64,
    source: Box<dyn Error + Send + Sync>,
}

impl GuestRam {
    /// Reserves `size` bytes (a multiple of 4096, above zero).
    ///
    /// # Errors
    /// The host does not have the address space or memory.
    pub fn new(size: u64) -> Result<Self, RamError> {
        let low = size.min(DEVICE_HOLE);
        let pieces = [(0, low), (HIGH_RAM, size - low)];
        let mapped = Mapped::new(pieces.into_iter().filter(|(_, len)| *len > 0));
        Ok(Self {
            mapped: Arc::new(mapped.map_err(|source| RamError { size, source })?),
            size,
            files: None,
        })
    }

    /// The same with contents of files beside it.
    pub fn with_files(self, files: FileWindow) -> Self {
        Self {
            files: Some(files),
            ..self
        }
    }

    /// Contents of files beside it, if there are any.
    pub fn files(&self) -> Option<&FileWindow> {
        self.files.as_ref()
    }

    /// Bytes of RAM.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The memory as vm-memory knows it, for loaders and bounded copies.
    pub fn mmap(&self) -> &GuestMemoryMmap {
        &self.mapped.mmap
    }

    /// Copies `bytes` to guest-physical address `gpa`.
    ///
    /// # Errors
    /// Not all of the range is RAM; nothing is promised about what was written then.
    pub fn write(&self, gpa: u64, bytes: &[u8]) -> Result<(), GuestMemoryError> {
        self.mapped.mmap.write_slice(bytes, GuestAddress(gpa))
    }

    /// Fills `bytes` from guest-physical address `gpa` on, in RAM or in contents of files.
    ///
    /// # Errors
    /// Not all of the range is one or the other.
    pub fn read(&self, gpa: u64, bytes: &mut [u8]) -> Result<(), GuestMemoryError> {
        match self.files.as_ref().filter(|files| gpa >= files.gpa()) {
            Some(files) => {
                let read = files.read(gpa, bytes);
                read.ok_or(GuestMemoryError::InvalidGuestAddress(GuestAddress(gpa)))
            }
            None => self.mapped.mmap.read_slice(bytes, GuestAddress(gpa)),
        }
    }

    /// Copies `len` bytes from `from`, in RAM or in contents of files, to RAM at `to`. The two
    /// may overlap.
    ///
    /// # Errors
    /// Not all of a range is one piece of RAM, or contents of files; nothing has changed.
    pub fn copy(&self, to: u64, from: u64, len: usize) -> Result<(), GuestMemoryError> {
        let to = self.mapped.mmap.get_slice(GuestAddress(to), len)?;
        match self.files.as_ref().filter(|files| from >= files.gpa()) {
            Some(files) => {
                let place = to.ptr_guard_mut();
                // SAFETY: the slice is RAM of that length, which nobody has references to. It
                // is not in the window.
                let copied = unsafe { files.copy_to(from, place.as_ptr(), len) };
                copied.ok_or(GuestMemoryError::InvalidGuestAddress(GuestAddress(from)))
            }
            None => {
                let from = self.mapped.mmap.get_slice(GuestAddress(from), len)?;
                from.copy_to_volatile_slice(to);
                Ok(())
            }
        }
    }

    /// Fills `len` bytes of RAM at `gpa` with `byte`.
    ///
    /// # Errors
    /// Not all of the range is one piece of RAM; nothing has changed.
    pub fn fill(&self, gpa: u64, len: usize, byte: u8) -> Result<(), GuestMemoryError> {
        let place = self.mapped.mmap.get_slice(GuestAddress(gpa), len)?;
        let start = place.ptr_guard_mut();
        // SAFETY: the slice is RAM of that length, which nobody has references to.
        unsafe { start.as_ptr().write_bytes(byte, len) };
        Ok(())
    }

    /// Maps `len` bytes of `file` from `offset` on in place of RAM at `gpa`, all multiples of
    /// a page: the guest's writes are its own, and the file stays as it is.
    ///
    /// # Errors
    /// Not all of the range is RAM, or the host refuses; nothing has changed.
    pub fn map(&self, gpa: u64, file: &File, offset: u64, len: usize) -> io::Result<()> {
        let place = self.mapped.mmap.get_slice(GuestAddress(gpa), len);
        let place = place.map_err(io::Error::other)?;
        // SAFETY: the range is RAM, as `get_slice` has checked, to which nobody has
        // references, and stays mapped until the memory goes as a whole. If addresses are not
        // multiples of a page the host refuses.
        let mapped = unsafe {
            libc::mmap(
                place.ptr_guard_mut().as_ptr().cast(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_FIXED | libc::MAP_NORESERVE,
                file.as_raw_fd(),
                offset as libc::off_t,
            )
        };
        match mapped {
            libc::MAP_FAILED => Err(io::Error::last_os_error()),
            mapped => keep_out_of_dumps(mapped.cast(), len),
        }
    }

    /// The one or two regions, in order of address; the first starts at GPA 0.
    pub fn regions(&self) -> Vec<RamRegion> {
        self.mapped
            .mmap
            .iter()
            .filter_map(|region| {
                Some(RamRegion {
                    gpa: region.start_addr().0,
                    len: region.len(),
                    hva: region.get_host_address(MemoryRegionAddress(0)).ok()?,
                })
            })
            .collect()
    }
}

impl Mapped {
    /// Memory of these lengths at these guest-physical addresses.
    fn new(pieces: impl Iterator<Item = (u64, u64)>) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let (mut regions, mut addresses) = (Vec::new(), Vec::new());
        for (gpa, len) in pieces {
            let piece = Guarded::memory(len)?;
            let rights = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            // SAFETY: such memory is there, and stays until this value goes.
            let region =
                unsafe { MmapRegion::build_raw(piece.start(), piece.len(), rights, flags) }?;
            let region = GuestRegionMmap::new(region, GuestAddress(gpa));
            regions.push(region.ok_or("it passes the last address")?);
            addresses.push(piece);
        }
        Ok(Self {
            mmap: GuestMemoryMmap::from_regions(regions)?,
            _addresses: addresses,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{DEVICE_HOLE, GuestRam, HIGH_RAM};
    use crate::guarded::tests::mapping;

    #[test]
    fn memory_above_the_hole_starts_at_four_gib() {
        let ram = GuestRam::new(DEVICE_HOLE + 0x2000).expect("address space");
        let spans: Vec<_> = ram.regions().iter().map(|r| (r.gpa, r.len)).collect();
        assert_eq!(spans, [(0, DEVICE_HOLE), (HIGH_RAM, 0x2000)]);
    }

    #[test]
    fn a_file_in_its_place_is_in_no_core_dump() {
        let ram = GuestRam::new(0x10000).expect("address space");
        let file = std::fs::File::open("/proc/self/exe").expect("Linux has it");
        ram.map(0x1000, &file, 0, 0x2000).expect("whole pages");
        let place = ram.regions()[0].hva.addr() + 0x1000;
        let (rights, flags) = mapping(place);
        assert_eq!(rights, "rw-p");
        assert!(flags.split(' ').any(|flag| flag == "dd"), "{flags}");
    }
}
