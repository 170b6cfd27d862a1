//! Guest RAM as the emulator sees it: two host mappings, looked up by address.
//!
//! Every access ends within one 4 KiB page, and RAM regions are whole pages, so a
//! pointer to a byte of RAM is good for the rest of its page.

use crate::memory::{GuestRam, RamRegion};

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
    _keep: GuestRam,
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
            _keep: ram,
        }
    }

    /// Host address of the byte at `gpa`, valid to the end of its page; `None` where there
    /// is no RAM.
    #[inline]
    pub fn host(&self, gpa: u64) -> Option<*mut u8> {
        for region in [&self.low, &self.high] {
            let offset = gpa.wrapping_sub(region.gpa);
            if offset < region.len {
                return Some(region.hva.wrapping_add(offset as usize));
            }
        }
        None
    }

    /// Writes a byte; dropped where there is no RAM.
    pub fn write_u8(&self, gpa: u64, value: u8) {
        if let Some(pointer) = self.host(gpa) {
            // SAFETY: `host` returned a pointer to a byte of guest RAM, which is writable and
            // never a Rust object.
            unsafe { pointer.write(value) }
        }
    }

    /// Reads a naturally aligned quadword, as page walks do.
    pub fn read_u64(&self, gpa: u64) -> Option<u64> {
        let pointer = self.host(gpa & !7)?;
        // SAFETY: `host` returned a pointer good to the end of its page, and eight
        // aligned bytes do not cross it.
        Some(unsafe { pointer.cast::<u64>().read() })
    }

    /// Writes a naturally aligned quadword; dropped where there is no RAM.
    pub fn write_u64(&self, gpa: u64, value: u64) {
        if let Some(pointer) = self.host(gpa & !7) {
            // SAFETY: as in `read_u64`; guest RAM is writable and never a Rust object.
            unsafe { pointer.cast::<u64>().write(value) }
        }
    }
}
