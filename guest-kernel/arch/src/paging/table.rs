//! Page tables and their entries, as the CPU reads them (Intel SDM vol. 3A 5.5.4).

use abi::virtual_map;
use x86::PAGE_ADDRESS;

pub use x86::PageTableFlags as Flags;

/// Preset, so that the CPU need not write the entry at first use.
pub const USED: Flags = Flags::ACCESSED.union(Flags::DIRTY);

/// Added to a physical address to make the one at which the kernel sees it. In tests on
/// the host, memory of the test stands for physical memory.
pub const DIRECT_MAP: u64 = if cfg!(feature = "image") {
    virtual_map::DIRECT_MAP
} else {
    0
};

/// Entries of a table.
pub const ENTRIES: usize = 512;
/// Level of the table that CR3 leads to; pages are in tables of level 0.
pub const TOP_LEVEL: u32 = 3;
/// Index of the entry for `address` in a table of `level`.
pub const fn index(address: u64, level: u32) -> usize {
    (address >> (12 + 9 * level)) as usize % ENTRIES
}

/// An entry: a physical address, and flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Entry(u64);

impl Entry {
    /// An empty entry.
    pub const EMPTY: Self = Self(0);

    /// An entry for the table, page or large page at `address`.
    pub const fn new(address: u64, flags: Flags) -> Self {
        Self(address | flags.bits())
    }

    /// The same address with other flags.
    pub const fn with(self, flags: Flags) -> Self {
        Self::new(self.address(), flags)
    }

    /// Whether the entry is empty; one that is not need not be present for the CPU.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `flags` are set.
    pub const fn has(self, flags: Flags) -> bool {
        self.0 & flags.bits() == flags.bits()
    }

    /// Its flags.
    pub const fn flags(self) -> Flags {
        Flags::from_bits_retain(self.0 & !PAGE_ADDRESS)
    }

    /// Its physical address.
    pub const fn address(self) -> u64 {
        self.0 & PAGE_ADDRESS
    }
}

/// A page table, by physical address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table(u64);

impl Table {
    /// # Safety
    /// The table is one, and stays so while it is used through this value.
    pub const unsafe fn at(address: u64) -> Self {
        Self(address)
    }

    /// Its physical address.
    pub const fn address(self) -> u64 {
        self.0
    }

    #[inline]
    fn slot(self, index: usize) -> *mut Entry {
        ((DIRECT_MAP + self.0) as *mut Entry).wrapping_add(index % ENTRIES)
    }

    /// Entry `index` modulo [`ENTRIES`].
    #[inline]
    pub fn get(self, index: usize) -> Entry {
        // SAFETY: `at` promises a table, and the slot is inside it.
        unsafe { self.slot(index).read_volatile() }
    }

    /// Replaces entry `index` modulo [`ENTRIES`].
    ///
    /// # Safety
    /// Accesses by the CPU through the new entry touch no memory that Rust code relies on,
    /// and TLB entries of the old one are flushed before they do harm.
    #[inline]
    pub unsafe fn set(self, index: usize, entry: Entry) {
        // SAFETY: as for `get`; the caller answers for what the entry means.
        unsafe { self.slot(index).write_volatile(entry) }
    }

    /// Replaces entries from `first` on, which may be in tables that follow this one in memory.
    ///
    /// # Safety
    /// As for [`Self::set`]; and the CPU uses none of these tables yet.
    #[inline]
    pub unsafe fn set_all(self, first: usize, entries: &[Entry]) {
        let slot = ((DIRECT_MAP + self.0) as *mut Entry).wrapping_add(first);
        // SAFETY: the caller's promise.
        unsafe { slot.copy_from_nonoverlapping(entries.as_ptr(), entries.len()) };
    }

    /// The table that entry `index` leads to.
    #[inline]
    pub fn child(self, index: usize) -> Option<Self> {
        let entry = self.get(index);
        (!entry.is_empty()).then(|| Self(entry.address()))
    }
}

#[cfg(test)]
mod tests {
    use super::index;

    #[test]
    fn indices_are_the_manuals() {
        let address = 3 << 39 | 5 << 30 | 7 << 21 | 9 << 12 | 0xabc;
        assert_eq!(
            [3, 2, 1, 0].map(|level| index(address, level)),
            [3, 5, 7, 9]
        );
    }
}
