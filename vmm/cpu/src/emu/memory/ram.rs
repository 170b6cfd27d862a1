//! Guest RAM as the emulator sees it: two host mappings, looked up by address, and beside
//! them perhaps contents of files, which can only be read.
//!
//! Every access ends within one 4 KiB page, and RAM regions are whole pages, so a
//! pointer to a byte of RAM is good for the rest of its page.

use crate::emu::arithmetic::value::Int;
use crate::memory::{FileWindow, GuestRam, RamRegion};

/// Bytes in the smallest page.
pub const PAGE: u64 = 4096;
/// Clears the offset within a page.
pub const PAGE_MASK: u64 = !(PAGE - 1);

/// Bytes from `la` to the end of its page.
pub fn to_page_end(la: u64) -> u64 {
    PAGE - (la & (PAGE - 1))
}

/// Guest RAM; keeps the mappings alive.
pub struct Ram {
    low: RamRegion,
    high: RamRegion,
    /// Owner of what the regions point to.
    keep: GuestRam,
}

impl Ram {
    pub fn new(ram: GuestRam) -> Self {
        let none = RamRegion {
            gpa: 0,
            len: 0,
            hva: std::ptr::null_mut(),
        };
        let regions = ram.regions();
        let whole_pages = |r: &RamRegion| RamRegion {
            len: r.len & PAGE_MASK,
            ..*r
        };
        Self {
            low: regions.first().map_or(none, whole_pages),
            high: regions.get(1).map_or(none, whole_pages),
            keep: ram,
        }
    }

    /// Contents of files beside it, if there are any.
    pub fn files(&self) -> Option<&FileWindow> {
        self.keep.files()
    }

    /// Host address of the byte at `gpa`, which can be read to the end of its page; `None`
    /// where there is neither RAM nor a file.
    #[inline]
    pub fn host(&self, gpa: u64) -> Option<*mut u8> {
        let in_file = || self.files()?.host(gpa);
        self.writable(gpa).or_else(in_file)
    }

    /// The same of what can be written too; `None` where there is no RAM.
    #[inline]
    pub fn writable(&self, gpa: u64) -> Option<*mut u8> {
        for region in [&self.low, &self.high] {
            let offset = gpa.wrapping_sub(region.gpa);
            if offset < region.len {
                return Some(region.hva.wrapping_add(offset as usize));
            }
        }
        None
    }

    /// Reads a naturally aligned integer, as page walks do.
    #[inline]
    pub fn read<T: Int>(&self, gpa: u64) -> Option<T> {
        let pointer = self.host(gpa & !(T::SIZE - 1))?;
        // SAFETY: `host` returned a pointer good to the end of its page, which an aligned
        // integer does not cross.
        Some(unsafe { pointer.cast::<T>().read() })
    }

    /// Writes a naturally aligned integer; dropped where there is no RAM.
    #[inline]
    pub fn write<T: Int>(&self, gpa: u64, value: T) {
        if let Some(pointer) = self.writable(gpa & !(T::SIZE - 1)) {
            // SAFETY: as in `read`; guest RAM is writable and never a Rust object.
            unsafe { pointer.cast::<T>().write(value) }
        }
    }
}
