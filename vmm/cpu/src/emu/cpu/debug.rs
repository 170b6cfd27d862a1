//! Breakpoint checks of instructions, and delivery of #DB: see
//! [`crate::emu::state::breakpoints`].

use x86::vector;

use crate::emu::cpu::Cpu;
use crate::emu::outside::exit::ExitKind;
use crate::emu::state::breakpoints::kind;
use crate::emu::state::control::bits;
use crate::emu::state::exception::{Exception, Stop};

impl Cpu {
    /// Compares an access of the current instruction to `size` bytes at `la` with
    /// breakpoints; a hit is a trap when it ends.
    pub fn watch_access(&mut self, la: u64, size: usize, write: bool) {
        if self.control.debug.watches() {
            let kinds: &[u64] = if write {
                &[kind::WRITE, kind::ACCESS]
            } else {
                &[kind::ACCESS]
            };
            self.events.hits |= self.control.debug.touched(kinds, la, size as u64);
        }
    }

    /// The same for ports.
    pub fn watch_port(&mut self, port: u16, size: u8) {
        if self.control.debug.watches() && self.control.cr4 & bits::CR4_DE != 0 {
            let (port, size) = (u64::from(port), u64::from(size));
            self.events.hits |= self.control.debug.touched(&[kind::PORT], port, size);
        }
    }

    /// Delivers the fault of the breakpoints `hits` on the instruction at `rip`.
    pub fn take_breakpoint(&mut self, hits: u64) {
        let mut reasons = hits;
        if self.events.traps_shadowed(self.meter.retired()) {
            reasons |= std::mem::take(&mut self.events.hits);
        }
        self.control.debug.note(reasons);
        self.take_fault(Exception::plain(vector::DB));
    }

    /// Delivers the trap that follows an instruction, for `reasons`.
    pub fn take_trap(&mut self, reasons: u64) {
        (self.events.stepping, self.events.hits) = (false, 0);
        if self.outside.exit.kind == ExitKind::Hlt {
            // It wakes the processor.
            self.outside.exit.kind = ExitKind::None;
        }
        self.control.debug.note(reasons);
        self.take_exception(Exception::plain(vector::DB));
    }

    /// Checks that debug registers may be used.
    ///
    /// # Errors
    /// #DB if DR7.GD is set.
    pub fn may_use_debug_registers(&mut self) -> Result<(), Stop> {
        if self.control.debug.detects_use() {
            return Err(Exception::plain(vector::DB).into());
        }
        Ok(())
    }
}
