//! The memory management unit: RAM and its software TLBs.

use crate::emu::memory::ram::{PAGE_MASK, Ram};
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

    fn view(&self, privilege: Privilege) -> TlbView {
        self.tables[privilege as usize].view()
    }

    /// Host address of `size` bytes of RAM at `la`, all in one page, if the selected TLB
    /// says that they may be read.
    #[inline(always)]
    pub fn read(&self, la: u64, size: u64) -> Option<*const u8> {
        self.tlb.read(la, size)
    }

    /// The same for bytes that may be written, and read.
    #[inline(always)]
    pub fn write(&self, la: u64, size: u64) -> Option<*mut u8> {
        self.tlb.write(la, size)
    }

    /// As [`read`](Self::read), by the TLB of `privilege`.
    pub fn read_as(&self, privilege: Privilege, la: u64, size: u64) -> Option<*const u8> {
        self.view(privilege).read(la, size)
    }

    /// As [`write`](Self::write), by the TLB of `privilege`.
    pub fn write_as(&self, privilege: Privilege, la: u64, size: u64) -> Option<*mut u8> {
        self.view(privilege).write(la, size)
    }

    /// Adds the page of `la`, which a walk for `privilege` has `found`, if RAM or a
    /// file backs it; `writable` if writes to RAM may take the fast path.
    pub fn insert(&mut self, privilege: Privilege, la: u64, writable: bool, found: &Translation) {
        let page = found.gpa & PAGE_MASK;
        if let Some(host) = self.ram.host(page) {
            let writable = writable && self.ram.writable(page).is_some();
            self.tables[privilege as usize].insert(la, host, writable, found);
            self.select(self.selected);
        }
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
