//! The software TLB: direct-mapped tables from linear page to host address.
//!
//! An entry has a page for reads and one for writes; an access that lies in it needs no
//! further check. So an entry that may be read is of RAM, mapped, present and allowed at
//! the table's privilege; one that may be written is also dirty in the page tables and
//! holds no decoded code. Everything else (MMIO, faults, page crossings, pages with code)
//! misses and takes the slow path. A privilege has its own table; changing privilege only
//! exchanges the [`TlbView`]. Tables start small and grow with the number of misses.

use crate::emu::memory::ram::{PAGE, PAGE_MASK};
use crate::emu::memory::walk::Translation;

/// Smallest and largest number of entries in a table.
const MIN_ENTRIES: usize = 128;
const MAX_ENTRIES: usize = 8192;
/// Bytes in an entry, as a shift.
const ENTRY_SHIFT: u32 = 5;
/// From a linear address to the place of its entry, in bytes: this shift, then the mask.
pub const PLACE_SHIFT: u32 = 12 - ENTRY_SHIFT;

/// Where one linear page is.
#[repr(C, align(32))]
#[derive(Clone, Copy)]
pub struct TlbEntry {
    /// The linear page if reads may use the entry, else one that has another place.
    pub read: u64,
    /// The same for writes.
    pub write: u64,
    /// The page's host address.
    pub host: u64,
    /// Whether the page is global.
    global: bool,
    /// Whether the page is part of one that is larger in the page tables.
    large: bool,
}

impl TlbEntry {
    /// What is at `place` when no page is.
    const fn empty(place: usize) -> Self {
        Self {
            read: no_page(place),
            write: no_page(place),
            host: 0,
            global: false,
            large: false,
        }
    }

    /// Makes it an entry for no page.
    fn clear(&mut self, place: usize) {
        *self = Self::empty(place);
    }
}

/// A page whose entry is not at `place`, in a table of any size but one: no access that
/// comes to `place` is in it.
const fn no_page(place: usize) -> u64 {
    ((place as u64 & 1) ^ 1) << 12
}

/// The entries that tables without memory of their own point to.
static NOTHING: [TlbEntry; 2] = [TlbEntry::empty(0), TlbEntry::empty(1)];

/// The view of a table that memory accesses use. [`Mmu`](crate::emu::memory::mmu::Mmu) alone
/// has any, as one must not outlive its table's memory.
#[repr(C)]
pub struct TlbView {
    entries: *const TlbEntry,
    /// Entries less one, in bytes.
    mask: u64,
}

impl TlbView {
    /// A view that misses always.
    pub fn nothing() -> Self {
        Self {
            entries: NOTHING.as_ptr(),
            mask: (NOTHING.len() as u64 - 1) << ENTRY_SHIFT,
        }
    }

    #[inline(always)]
    fn entry(&self, la: u64) -> &TlbEntry {
        let offset = la >> PLACE_SHIFT & self.mask;
        // SAFETY: `entries` points to a table with `mask + 32` bytes, which lives until
        // the view is replaced (`Mmu` gives views to nobody and does both together); `mask`
        // has its low five bits clear, so the offset is that of an entry.
        unsafe { &*self.entries.cast::<u8>().add(offset as usize).cast() }
    }

    /// Host address of `size` readable bytes at `la`, all in one page.
    #[inline(always)]
    pub fn read(&self, la: u64, size: u64) -> Option<*const u8> {
        let entry = self.entry(la);
        // Of an address in another page it is larger than any offset.
        let offset = la.wrapping_sub(entry.read);
        let hit = offset <= PAGE - size;
        hit.then(|| std::ptr::with_exposed_provenance(entry.host.wrapping_add(offset) as usize))
    }

    /// Host address of `size` writable bytes at `la`, all in one page.
    #[inline(always)]
    pub fn write(&self, la: u64, size: u64) -> Option<*mut u8> {
        let entry = self.entry(la);
        let offset = la.wrapping_sub(entry.write);
        let hit = offset <= PAGE - size;
        hit.then(|| std::ptr::with_exposed_provenance_mut(entry.host.wrapping_add(offset) as usize))
    }
}

/// The table of one privilege.
pub struct Table {
    entries: Vec<TlbEntry>,
    /// Entries made since the table was last emptied or grown.
    fills: usize,
    /// Whether any entry is global.
    any_global: bool,
    /// Places of all entries that are not global, perhaps of others and more than once; once
    /// there are as many as entries, no more are kept. A kernel that switches address spaces
    /// a lot has few of them each time.
    local: Vec<u32>,
    large: LargePages,
}

/// The range of the large pages that a table, or fetches, have used: from the first to the last
/// GiB that has one. The entries of one are many and anywhere in the table, so its invalidation
/// flushes the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LargePages {
    first: u64,
    last: u64,
}

/// Bytes in the largest page, as a shift.
const GIB_SHIFT: u32 = 30;

impl LargePages {
    pub const NONE: Self = Self {
        first: u64::MAX,
        last: 0,
    };

    pub fn add(&mut self, la: u64) {
        self.first = self.first.min(la >> GIB_SHIFT);
        self.last = self.last.max(la >> GIB_SHIFT);
    }

    pub fn may_have(self, la: u64) -> bool {
        (self.first..=self.last).contains(&(la >> GIB_SHIFT))
    }
}

impl Table {
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
            fills: 0,
            any_global: false,
            local: Vec::new(),
            large: LargePages::NONE,
        }
    }

    /// A view of the table, good until the next [`insert`](Self::insert).
    pub fn view(&self) -> TlbView {
        match self.entries.len() {
            0 => TlbView::nothing(),
            len => TlbView {
                entries: self.entries.as_ptr(),
                mask: (len as u64 - 1) << ENTRY_SHIFT,
            },
        }
    }

    /// Adds the page of `la`, whose first byte is at `host`, by a walk that found `found`.
    pub fn insert(&mut self, la: u64, host: *mut u8, writable: bool, found: &Translation) {
        if self.fills >= 2 * self.entries.len() && self.entries.len() < MAX_ENTRIES {
            let len = (2 * self.entries.len()).max(MIN_ENTRIES);
            self.entries = (0..len).map(TlbEntry::empty).collect();
            self.fills = 0;
            self.any_global = false;
            self.local.clear();
            self.large = LargePages::NONE;
        }
        self.fills += 1;
        self.any_global |= found.global;
        if found.large {
            self.large.add(la);
        }
        let page = la & PAGE_MASK;
        let place = (la >> 12) as usize & (self.entries.len() - 1);
        if !found.global && self.local.len() < self.entries.len() {
            self.local.push(place as u32);
        }
        self.entries[place] = TlbEntry {
            read: page,
            write: if writable { page } else { no_page(place) },
            host: host.expose_provenance() as u64,
            global: found.global,
            large: found.large,
        };
    }

    /// Flushes all entries, or all but those of global pages. Returns the number of entries
    /// scanned.
    pub fn flush(&mut self, keep_global: bool) -> usize {
        let mut scanned = 0;
        if self.local.len() < self.entries.len() && (keep_global || !self.any_global) {
            scanned = self.local.len();
            for &place in &self.local {
                let entry = &mut self.entries[place as usize];
                if !entry.global {
                    entry.clear(place as usize);
                }
            }
            if !self.any_global {
                self.large = LargePages::NONE;
            }
        } else if keep_global && self.any_global {
            scanned = self.entries.len();
            self.large = LargePages::NONE;
            for (place, entry) in self.entries.iter_mut().enumerate() {
                if !entry.global {
                    entry.clear(place);
                } else if entry.large {
                    self.large.add(entry.read);
                }
            }
        } else if self.fills != 0 || self.any_global {
            scanned = self.entries.len();
            for (place, entry) in self.entries.iter_mut().enumerate() {
                entry.clear(place);
            }
            self.any_global = false;
            self.large = LargePages::NONE;
        }
        self.fills = 0;
        self.local.clear();
        scanned
    }

    /// Invalidates the entries of the page of `la`, however large it was. Returns the
    /// number of entries scanned.
    pub fn flush_page(&mut self, la: u64) -> usize {
        if self.large.may_have(la) {
            return self.flush(false);
        }
        if !self.entries.is_empty() {
            let place = (la >> 12) as usize & (self.entries.len() - 1);
            self.entries[place].clear(place);
        }
        0
    }

    /// Write-protects the entries of the host page at `host`. Returns the number of entries
    /// scanned.
    pub fn protect(&mut self, host: *mut u8) -> usize {
        let host = host.addr() as u64;
        for (place, entry) in self.entries.iter_mut().enumerate() {
            if entry.host == host {
                entry.write = no_page(place);
            }
        }
        self.entries.len()
    }
}
