//! Translation of addresses, and what follows when translations or memory change.

use crate::emu::cpu::Cpu;
use crate::emu::memory::ram::PAGE_MASK;
use crate::emu::memory::walk::{self, Translation, Want};
use crate::emu::state::control::Privilege;
use crate::emu::state::exception::Stop;

/// Work of a page walk.
const WALK_WORK: i64 = 8;
/// Places of a table that are looked at, one after the other, for a unit of work.
const PLACES_AT_ONCE: usize = 8;

impl Cpu {
    /// Makes the fast path use the TLB that the privilege asks for, or none where every
    /// access has its alignment checked or is compared with breakpoints.
    pub fn select_tlb(&mut self) {
        let control = &self.control;
        let by_slow_path = control.checks_alignment() || control.debug.watches();
        self.mmu
            .select((!by_slow_path).then(|| control.privilege()));
    }

    /// Makes decoded code valid that is so at the current privilege, code size and way to
    /// execute floating point.
    pub fn select_code(&mut self) {
        let control = &self.control;
        self.code
            .select(control.cpl == 3, control.code_size, control.fp_mode);
    }

    /// Charges for a look at so many places of tables, one after the other.
    fn charge_places(&mut self, looked_at: usize) {
        self.meter.charge((looked_at / PLACES_AT_ONCE) as i64);
    }

    /// Drops translations: all, or those of pages that are not global.
    pub fn flush_tlb(&mut self, keep_global: bool) {
        let looked_at = self.mmu.flush(keep_global);
        self.charge_places(looked_at);
        self.code.flush_fetch(keep_global);
    }

    /// Drops the translation of one page (`invlpg`), global or not.
    pub fn flush_page(&mut self, la: u64) {
        let looked_at = self.mmu.flush_page(la);
        self.charge_places(looked_at);
        self.code.flush_fetch(false);
    }

    /// Translates `la` for an access and fills the TLB if RAM is there.
    ///
    /// # Errors
    /// #PF, with CR2 set.
    pub fn translate(&mut self, la: u64, want: Want, privilege: Privilege) -> Result<u64, Stop> {
        let found = self.walk(la, want, privilege)?;
        if want != Want::Fetch
            && let Some(host) = self.mmu.ram.host(found.gpa & PAGE_MASK)
        {
            let writable = found.writable && !self.code.holds(found.gpa);
            self.mmu.insert(privilege, la, host, writable, &found);
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
                    self.ram_written(gpa, size_of::<u64>() as u64);
                }
                Ok(found)
            }
            Err(fault) => {
                self.control.cr2 = la;
                Err(fault.into())
            }
        }
    }

    /// So many bytes at `gpa`, all in one page, were written: code that is there is dropped.
    pub fn ram_written(&mut self, gpa: u64, len: u64) {
        if self.code.holds(gpa) {
            let invalidated = self.code.invalidate(gpa, len);
            self.meter.leave_block |= invalidated.any;
            self.meter.charge(invalidated.work);
        }
    }

    /// Code was decoded in the page at `gpa`: writes there go the slow way from now on.
    pub fn protect_code(&mut self, gpa: u64) {
        if let Some(host) = self.mmu.ram.host(gpa) {
            let looked_at = self.mmu.protect(host);
            self.charge_places(looked_at);
        }
    }
}
