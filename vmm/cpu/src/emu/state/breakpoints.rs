//! Debug registers: DR0 to DR3 with the addresses of hardware breakpoints, and what DR6 and
//! DR7 say of them (AMD APM vol. 2 13.1).
//!
//! While one is enabled the engine executes an instruction at a time, and every access
//! takes the slow path, where it is compared; so breakpoints cost nothing while none is
//! enabled. What the processor reads and writes for itself (page tables, descriptors,
//! frames of exceptions) is not compared.
//!
//! Rejected: decoded blocks with breakpoints in them, and a TLB without the watched pages:
//! faster with breakpoints enabled, where speed does not matter.

use x86::{Dr6Flags, Dr7Flags};

use crate::DebugRegs;

/// DR7: two bits for each breakpoint, of which either enables it.
const ENABLED: u64 = 0xff;
/// DR7: where the kinds and lengths begin, four bits for each breakpoint.
const KINDS_SHIFT: usize = 16;

/// DR6: the breakpoints that were met.
const BREAKPOINTS: u64 = 0xf;
/// DR6: a single step.
pub const SINGLE_STEP: u64 = Dr6Flags::STEP.bits();
/// DR7: uses of debug registers are #DB.
const GENERAL_DETECT: u64 = Dr7Flags::GENERAL_DETECT_ENABLE.bits();

/// What a breakpoint is for, as DR7 has it.
pub mod kind {
    pub const EXECUTE: u64 = 0;
    pub const WRITE: u64 = 1;
    /// Of ports, with CR4.DE.
    pub const PORT: u64 = 2;
    pub const ACCESS: u64 = 3;
}

/// The registers, as [`DebugRegs`] has them.
pub struct DebugRegisters(pub [u64; 8]);

impl DebugRegisters {
    /// As after reset.
    pub fn new() -> Self {
        Self(DebugRegs::default().0)
    }

    /// Register `number`, modulo 8.
    pub fn get(&self, number: usize) -> u64 {
        self.0[number % 8]
    }

    /// Sets register `number`, modulo 8; undefined bits keep their fixed values.
    pub fn set(&mut self, number: usize, value: u64) {
        self.0[number % 8] = match number {
            6 => value & 0xf00f | x86::DR6_RESET,
            7 => value & 0xffff_2bff | x86::DR7_RESET,
            _ => value,
        };
    }

    /// Whether any breakpoint is enabled.
    #[inline(always)]
    pub fn watches(&self) -> bool {
        self.0[7] & ENABLED != 0
    }

    /// Whether a use of these registers is #DB, which is recorded in DR6.
    pub fn detects_use(&mut self) -> bool {
        let detects = self.0[7] & GENERAL_DETECT != 0;
        if detects {
            self.note(Dr6Flags::ACCESS_DETECTED.bits());
        }
        detects
    }

    /// The enabled breakpoints of `kinds` that `size` bytes at `start` touch, as DR6 has
    /// them.
    pub fn touched(&self, kinds: &[u64], start: u64, size: u64) -> u64 {
        let mut hits = 0;
        for number in 0..4 {
            let enabled = self.0[7] >> (2 * number) & 3 != 0;
            let control = self.0[7] >> (KINDS_SHIFT + 4 * number);
            let len = [1, 2, 8, 4][(control >> 2 & 3) as usize];
            let first = self.0[number] & !(len - 1);
            let apart = start.wrapping_sub(first) >= len && first.wrapping_sub(start) >= size;
            if enabled && kinds.contains(&(control & 3)) && !apart {
                hits |= 1 << number;
            }
        }
        hits
    }

    /// Records the `reasons` of a #DB that is about to be delivered, as DR6 has them. Only
    /// those that name breakpoints do not stay from earlier ones.
    pub fn note(&mut self, reasons: u64) {
        self.0[6] = self.0[6] & !BREAKPOINTS | reasons;
        self.0[7] &= !GENERAL_DETECT;
    }
}
