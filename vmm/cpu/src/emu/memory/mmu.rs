//! The memory management unit: RAM and its software TLBs.

use crate::emu::memory::ram::Ram;
use crate::emu::memory::tlb::{Table, TlbView};
use crate::emu::memory::walk::Translation;
use crate::emu::state::control::Privilege;

/// RAM, and a data TLB for each [`Privilege`].
#[repr(C)]
pub struct Mmu {
    /// The view that the fast path uses: of the selected TLB, or an empty one.
    pub tlb: TlbView,
    selected: Option<Privilege>,
    tables: [Table; 3],
    pub ram: Ram,
}

impl Mmu {
    /// An MMU of `ram`, with empty TLBs; none is selected.
    pub fn new(ram: Ram) -> Self {
        Self {
            tlb: TlbView::nothing(),
            selected: None,
            tables: [const { Table::new() }; 3],
            ram,
        }
    }

    /// Makes the fast path use the TLB of `privilege`, or none.
    pub fn select(&mut self, privilege: Option<Privilege>) {
        self.selected = privilege;
        self.tlb = privilege.map_or_else(TlbView::nothing, |privilege| self.view(privilege));
    }

    /// The TLB of `privilege`, until the next [`insert`](Self::insert).
    pub fn view(&self, privilege: Privilege) -> TlbView {
        self.tables[privilege as usize].view()
    }

    /// Adds the page of `la`, which a walk for `privilege` has `found` at `host`;
    /// `writable` if writes may take the fast path.
    pub fn insert(
        &mut self,
        privilege: Privilege,
        la: u64,
        host: *mut u8,
        writable: bool,
        found: &Translation,
    ) {
        self.tables[privilege as usize].insert(la, host, writable, found);
        self.select(self.selected);
    }

    /// Flushes the TLBs: all entries, or those of pages that are not global. Returns the
    /// number of entries scanned.
    pub fn flush(&mut self, keep_global: bool) -> usize {
        let tables = self.tables.iter_mut();
        tables.map(|table| table.flush(keep_global)).sum()
    }

    /// Invalidates the entries of the page of `la`, global or not. Returns the number of
    /// entries scanned.
    pub fn flush_page(&mut self, la: u64) -> usize {
        let tables = self.tables.iter_mut();
        tables.map(|table| table.flush_page(la)).sum()
    }

    /// Write-protects the entries of the host page at `host`. Returns the number of entries
    /// scanned.
    pub fn protect(&mut self, host: *mut u8) -> usize {
        let tables = self.tables.iter_mut();
        tables.map(|table| table.protect(host)).sum()
    }
}
