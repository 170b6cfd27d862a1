//! Instruction fetches, and how decoded blocks are found by them.

use crate::emu::code::op::Block;
use crate::emu::cpu::Cpu;
use crate::emu::memory::ram::{PAGE, PAGE_MASK};
use crate::emu::memory::walk::Want;
use crate::emu::state::control::canonical;
use crate::emu::state::exception::{Exception, Stop};

/// A page that no RAM backs, as a fetch sees it: what a bus without a device answers.
static NOTHING: [u8; PAGE as usize] = [0xff; PAGE as usize];

impl Cpu {
    /// Guest-physical and host address of the code byte at `rip` (an offset in CS).
    ///
    /// # Errors
    /// #PF or #GP for the fetch.
    pub fn fetch_page(&mut self, rip: u64) -> Result<(u64, *const u8), Stop> {
        if rip > self.control.code_limit() {
            return Err(Exception::GP.into());
        }
        let la = self.control.code_address(rip);
        let page = la & PAGE_MASK;
        let gpa = match self.code.fetched(page) {
            Some(gpa) => gpa,
            None => {
                if !canonical(la) {
                    return Err(Exception::GP.into());
                }
                let privilege = self.control.fetch_privilege();
                let found = self.walk(la, Want::Fetch, privilege)?;
                self.code.note_fetch(page, &found);
                found.gpa & PAGE_MASK
            }
        };
        let gpa = gpa | la & (PAGE - 1);
        let nothing = || NOTHING.as_ptr().wrapping_add((gpa % PAGE) as usize);
        let host = self
            .mmu
            .ram
            .host(gpa)
            .map_or_else(nothing, <*mut u8>::cast_const);
        Ok((gpa, host))
    }

    /// The block at `rip`, if it is decoded and current.
    #[inline]
    pub fn find_block(&mut self, rip: u64) -> Option<*const Block> {
        match self.code.valid(rip) {
            Some(block) => Some(block),
            None => self.confirm_block(rip),
        }
    }

    /// The block at `rip`, if it is decoded, found by its physical address.
    fn confirm_block(&mut self, rip: u64) -> Option<*const Block> {
        self.counts.jump_misses += 1;
        let (gpa, _) = self.fetch_page(rip).ok()?;
        let block = self.code.decoded(gpa, rip)?;
        // SAFETY: the cache's blocks are live.
        let header = unsafe { &*block };
        if header.ctx.get() != self.code.ctx && header.second_page != u64::MAX {
            let last = rip.wrapping_add(u64::from(header.len) - 1);
            let (last_gpa, _) = self.fetch_page(last).ok()?;
            if last_gpa & PAGE_MASK != header.second_page {
                return None;
            }
        }
        // SAFETY: as above; fetches do not clear the cache.
        let work = unsafe { self.code.validate(block) };
        self.meter.charge(work);
        Some(block)
    }

    /// Adds a block that was just decoded into room of the code cache.
    ///
    /// # Safety
    /// As for [`CodeCache::add`](crate::emu::code::cache::CodeCache::add).
    pub unsafe fn add_block(&mut self, block: *const Block) {
        // SAFETY: passed on to the caller.
        let pages = unsafe { self.code.add(block) };
        for page in pages.into_iter().flatten() {
            self.protect_code(page);
        }
    }
}
