//! Events between instructions, in the order in which they are checked (AMD APM vol. 2 8.5;
//! Intel SDM vol. 3A 6.9).
//!
//! | event | from |
//! |---|---|
//! | trap | the previous instruction: a single step, a data or port breakpoint |
//! | exit | the same: a request to the VMM |
//! | missing mode | the same: the emulator does not support the mode |
//! | kick, limit, alarm | the VMM: another thread, the instruction limit, counted time |
//! | injection | the VMM: an external interrupt, which it has acknowledged |
//! | NMI | the VMM |
//! | window | the VMM: an interrupt could be injected now |
//! | breakpoint | the next instruction: a fault, before any of its own |
//!
//! A trap comes first because it belongs to the previous instruction, so an exit shows it
//! delivered. An exit changes nothing for the guest, but an injection does: its handler's
//! first instruction is then the next. An interrupt shadow inhibits NMIs, windows and, after
//! `mov ss` and `pop ss`, traps; breakpoints on the next instruction it does not (on Intel's
//! processors it does), and they take the traps that wait with them. An NMI comes before an
//! external interrupt because the VMM injects none while one is due (`ready`).

use crate::emu::arithmetic::flags::rflags;
use crate::emu::cpu::Cpu;
use crate::emu::outside::exit::ExitKind;
use crate::emu::state::breakpoints::{SINGLE_STEP, kind};

/// An event before the next instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The guest takes a #DB trap, for these reasons as DR6 has them.
    Trap(u64),
    /// The VMM gets an exit.
    Exit,
    /// The guest is in a mode that the emulator does not support.
    Missing(&'static str),
    Kick,
    Limit,
    Alarm,
    /// The guest takes the interrupt of this vector.
    Injection(u8),
    /// The guest takes an NMI.
    Nmi,
    Window,
    /// The guest takes a #DB fault, for these breakpoints as DR6 has them.
    Breakpoint(u64),
}

impl Cpu {
    /// How many instructions may be retired before the next check.
    ///
    /// # Errors
    /// The event that comes before them.
    #[inline(always)]
    pub fn boundary(&mut self) -> Result<i64, Event> {
        if let Some(reasons) = self.trap() {
            return Err(Event::Trap(reasons));
        }
        if self.outside.exit.kind != ExitKind::None {
            return Err(Event::Exit);
        }
        if let Some(mode) = self.control.unsupported {
            return Err(Event::Missing(mode));
        }
        if self.events.take_kick() {
            return Err(Event::Kick);
        }
        let retired = self.meter.retired();
        let to_limit = match self.events.limit {
            None => u64::MAX,
            Some(limit) => limit.saturating_sub(retired),
        };
        if to_limit <= self.events.slack {
            return Err(Event::Limit);
        }
        let to_alarm = self.meter.until_alarm();
        if to_alarm == 0 {
            return Err(Event::Alarm);
        }
        if (self.events.injected.is_some() || self.events.nmi_pending)
            && let Some(event) = self.arrival()
        {
            return Err(event);
        }
        if self.events.window_wanted && self.interruptible() {
            return Err(Event::Window);
        }
        if let Some(hits) = self.breakpoint() {
            return Err(Event::Breakpoint(hits));
        }
        Ok(i64::try_from(to_limit.min(to_alarm)).unwrap_or(i64::MAX))
    }

    /// The interrupt that is taken now, of those that wait.
    #[cold]
    fn arrival(&mut self) -> Option<Event> {
        let injected = self.events.injected.take().map(Event::Injection);
        injected.or_else(|| self.nmi_due().then_some(Event::Nmi))
    }

    /// Whether the guest takes an NMI before its next instruction; outside the engine.
    pub fn nmi_due(&self) -> bool {
        self.events.nmi_pending
            && !self.events.nmi_blocked
            && !self.events.shadowed(self.meter.retired())
            && !self.outside.replies.pending()
    }

    /// Prepares a slice; `resumed` if its first instruction ignores breakpoints
    /// (RFLAGS.RF). Returns whether the slice must be a single instruction.
    #[inline(always)]
    pub fn begin_slice(&mut self, resumed: bool) -> bool {
        let retired = self.meter.retired();
        let shadowed = self.events.shadowed(retired);
        let waits = self.outside.replies.pending();
        self.outside.replies.rewind();
        self.meter.leave_block = false;
        self.events.stepping = self.control.system_flags & rflags::TF != 0;
        if !self.events.traps_shadowed(retired) {
            self.events.hits = 0;
        }
        let by_shadow = shadowed && (self.events.window_wanted || self.events.nmi_pending);
        self.control.steps_by_element() || resumed || waits || by_shadow
    }

    /// Whether an external interrupt would be taken now; outside the engine.
    pub fn interruptible(&self) -> bool {
        self.control.system_flags & rflags::IF != 0
            && !self.events.shadowed(self.meter.retired())
            && !self.outside.replies.pending()
            && !self.may_trap_when_complete()
    }

    /// Whether an exception may follow when the instruction of the current exit completes:
    /// its handler may not want interrupts.
    fn may_trap_when_complete(&self) -> bool {
        match self.outside.exit.kind {
            ExitKind::MsrRead { .. } | ExitKind::MsrWrite { .. } => true,
            ExitKind::PioIn { .. } => self.control.steps_by_element(),
            _ => false,
        }
    }

    /// The reasons of a pending trap (AMD APM vol. 2 13.1.4): the previous instruction
    /// began with RFLAGS.TF set, or hit breakpoints.
    #[inline(always)]
    pub fn trap(&mut self) -> Option<u64> {
        if !std::mem::take(&mut self.events.ended) {
            return None;
        }
        let step = if self.events.stepping { SINGLE_STEP } else { 0 };
        let reasons = self.events.hits | step;
        let due = reasons != 0 && !self.events.traps_shadowed(self.meter.retired());
        due.then_some(reasons)
    }

    /// The breakpoints on the instruction at `rip`, unless RFLAGS.RF suppresses them or the
    /// instruction has begun.
    fn breakpoint(&self) -> Option<u64> {
        let resumed = self.control.system_flags & rflags::RF != 0;
        if !self.control.debug.watches() || resumed || self.outside.replies.pending() {
            return None;
        }
        let la = self.control.code_address(self.regs.rip);
        let hits = self.control.debug.touched(&[kind::EXECUTE], la, 1);
        (hits != 0).then_some(hits)
    }
}
