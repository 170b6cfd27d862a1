//! Hardware breakpoints: DR0 to DR3, and what DR6 and DR7 say of them (AMD APM vol. 2
//! 13.1).
//!
//! While one is enabled the engine executes an instruction at a time, and every access
//! takes the slow way, where it is compared; so breakpoints cost nothing while there are
//! none. What the processor reads and writes for itself (page tables, descriptors, frames
//! of exceptions) is not compared.
//!
//! Rejected: decoded blocks with breakpoints in them, and a TLB without the watched pages:
//! both would be faster where breakpoints are in use, which nobody waits for.

use super::cpu::{CS, CodeSize, Cpu, bits};
use super::exception::{Exception, Stop, vector};
use super::flags::rflags;

/// Bits of DR6 (AMD APM vol. 2 13.1.1.3); the lowest four name breakpoints.
mod dr6 {
    pub const GENERAL_DETECT: u64 = 1 << 13;
    pub const SINGLE_STEP: u64 = 1 << 14;
}

/// Bits of DR7 (AMD APM vol. 2 13.1.1.4).
mod dr7 {
    /// Two for each breakpoint, of which either enables it.
    pub const ENABLED: u64 = 0xff;
    /// Uses of debug registers are #DB.
    pub const GENERAL_DETECT: u64 = 1 << 13;
    /// Where the kinds and lengths begin, four bits for each breakpoint.
    pub const KINDS_SHIFT: usize = 16;
}

/// What a breakpoint is for, as DR7 has it.
mod kind {
    pub const EXECUTE: u64 = 0;
    pub const WRITE: u64 = 1;
    /// Of ports, with CR4.DE.
    pub const PORT: u64 = 2;
    pub const ACCESS: u64 = 3;
}

impl Cpu {
    /// Whether each element of a repeated instruction is looked at by itself.
    #[inline(always)]
    pub(super) fn steps_by_element(&self) -> bool {
        self.system_flags & rflags::TF != 0 || self.watches()
    }

    /// Whether any breakpoint is enabled.
    pub(super) fn watches(&self) -> bool {
        self.dr[7] & dr7::ENABLED != 0
    }

    /// The enabled breakpoints of `kinds` that `size` bytes at `start` touch, as DR6 has
    /// them.
    fn touched(&self, kinds: &[u64], start: u64, size: u64) -> u64 {
        let mut hits = 0;
        for number in 0..4 {
            let enabled = self.dr[7] >> (2 * number) & 3 != 0;
            let control = self.dr[7] >> (dr7::KINDS_SHIFT + 4 * number);
            let len = [1, 2, 8, 4][(control >> 2 & 3) as usize];
            let first = self.dr[number] & !(len - 1);
            let apart = start.wrapping_sub(first) >= len && first.wrapping_sub(start) >= size;
            if enabled && kinds.contains(&(control & 3)) && !apart {
                hits |= 1 << number;
            }
        }
        hits
    }

    /// Notes an access to `size` bytes at `la` by the instruction at hand, which has the
    /// trap when it ends.
    pub(super) fn watch_access(&mut self, la: u64, size: usize, write: bool) {
        if self.watches() {
            let kinds: &[u64] = if write {
                &[kind::WRITE, kind::ACCESS]
            } else {
                &[kind::ACCESS]
            };
            self.hits |= self.touched(kinds, la, size as u64);
        }
    }

    /// The same for ports.
    pub(super) fn watch_port(&mut self, port: u16, size: u8) {
        if self.watches() && self.cr4 & bits::CR4_DE != 0 {
            self.hits |= self.touched(&[kind::PORT], u64::from(port), u64::from(size));
        }
    }

    /// Has the guest take the fault of a breakpoint on the instruction at `rip`, and says
    /// whether there is one. Not after an instruction with an interrupt shadow.
    pub(super) fn take_breakpoint(&mut self) -> bool {
        let la = if self.code_size == CodeSize::Bits64 {
            self.rip
        } else {
            self.segments[CS].base.wrapping_add(self.rip) & 0xffff_ffff
        };
        let hits = self.touched(&[kind::EXECUTE], la, 1);
        let taken = hits != 0 && self.shadow != Some(self.retired());
        if taken {
            self.note_debug(hits);
            self.take_fault(Exception::plain(vector::DB));
        }
        taken
    }

    /// Why a #DB trap follows the instruction that has ended, as DR6 has it; zero if none
    /// does.
    pub(super) fn trap_reasons(&self) -> u64 {
        self.hits | if self.stepping { dr6::SINGLE_STEP } else { 0 }
    }

    /// A #DB is about to be taken for `reasons`.
    pub(super) fn note_debug(&mut self, reasons: u64) {
        self.dr[6] |= reasons;
        self.dr[7] &= !dr7::GENERAL_DETECT;
    }

    /// Checks that debug registers may be used.
    ///
    /// # Errors
    /// #DB if DR7.GD says so.
    pub(super) fn may_use_debug_registers(&mut self) -> Result<(), Stop> {
        if self.dr[7] & dr7::GENERAL_DETECT == 0 {
            return Ok(());
        }
        self.note_debug(dr6::GENERAL_DETECT);
        Err(Exception::plain(vector::DB).into())
    }
}
