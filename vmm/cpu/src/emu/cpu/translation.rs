//! Address translation, and invalidation of TLB entries and decoded code.

use crate::emu::cpu::Cpu;
use crate::emu::memory::walk::{self, Translation, Want};
use crate::emu::state::control::Privilege;
use crate::emu::state::exception::Stop;

/// Work of a page walk.
const WALK_WORK: i64 = 8;
/// Table entries that are scanned for a unit of work.
const ENTRIES_PER_WORK: usize = 8;

impl Cpu {
    /// Selects the TLB of the privilege for the fast path, or none where every access needs
    /// an alignment or breakpoint check.
    pub fn select_tlb(&mut self) {
        let control = &self.control;
        let by_slow_path = control.checks_alignment() || control.debug.watches();
        self.mmu
            .select((!by_slow_path).then(|| control.privilege()));
    }

    /// Selects the decoded code that is valid at the current privilege, code size and
    /// floating-point mode.
    pub fn select_code(&mut self) {
        let control = &self.control;
        self.code
            .select(control.cpl == 3, control.code_size, control.fp_mode);
    }

    /// Charges for a scan of so many table entries.
    fn charge_scan(&mut self, scanned: usize) {
        self.meter.charge((scanned / ENTRIES_PER_WORK) as i64);
    }

    /// Flushes the TLBs: all entries, or those of pages that are not global.
    pub fn flush_tlb(&mut self, keep_global: bool) {
        let scanned = self.mmu.flush(keep_global);
        self.charge_scan(scanned);
        self.code.flush_fetch(keep_global);
    }

    /// Invalidates the TLB entries of one page (`invlpg`), global or not.
    pub fn flush_page(&mut self, la: u64) {
        let scanned = self.mmu.flush_page(la);
        self.charge_scan(scanned);
        self.code.flush_fetched(la);
    }

    /// Translates `la` for an access and fills the TLB if RAM backs the page.
    ///
    /// # Errors
    /// #PF, with CR2 set.
    pub fn translate(&mut self, la: u64, want: Want, privilege: Privilege) -> Result<u64, Stop> {
        self.counts.tlb_misses += 1;
        let found = self.walk(la, want, privilege)?;
        if want != Want::Fetch {
            let writable = found.writable && !self.code.holds(found.gpa);
            self.mmu.insert(privilege, la, writable, &found);
        }
        Ok(found.gpa)
    }

    /// Walks the page tables.
    ///
    /// # Errors
    /// #PF, with CR2 set.
    pub fn walk(&mut self, la: u64, want: Want, privilege: Privilege) -> Result<Translation, Stop> {
        if walk::is_paging(&self.control) {
            self.meter.charge(WALK_WORK);
        }
        match walk::walk(&self.mmu.ram, &self.control, la, want, privilege) {
            Ok(found) => {
                for gpa in found.marked.into_iter().flatten() {
                    // Entries of either size are in one quadword.
                    self.ram_written(gpa & !7, size_of::<u64>() as u64);
                }
                Ok(found)
            }
            Err(fault) => {
                self.control.cr2 = la;
                Err(fault.into())
            }
        }
    }

    /// Drops the decoded code in the bytes written at `gpa`, all in one page.
    pub fn ram_written(&mut self, gpa: u64, len: u64) {
        if self.code.holds(gpa) {
            let invalidated = self.code.invalidate(gpa, len);
            self.meter.leave_block |= invalidated.any;
            self.meter.charge(invalidated.work);
        }
    }

    /// Makes writes to the page at `gpa` take the slow path, as code was decoded there.
    pub fn protect_code(&mut self, gpa: u64) {
        if let Some(host) = self.mmu.ram.host(gpa) {
            let scanned = self.mmu.protect(host);
            self.charge_scan(scanned);
        }
    }
}
