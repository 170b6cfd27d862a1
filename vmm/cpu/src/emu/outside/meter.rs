//! Accounting of a vCPU: instructions retired, by privilege, guest time, and host work.

use std::sync::Arc;

use crate::{CountedTime, GuestClock, InstructionCounts};

/// The clock of guest time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// The host's monotonic clock.
    #[default]
    Host,
    /// One nanosecond for each instruction retired, by whichever vCPU: two runs of one guest
    /// see the same times. Idle time does not advance it; see [`CountedTime`].
    Instructions,
}

impl Clock {
    /// Such a clock, at zero.
    pub fn start(self) -> GuestClock {
        match self {
            Self::Host => GuestClock::host(),
            Self::Instructions => GuestClock::Counted(Arc::default()),
        }
    }
}

/// Frequency of the time-stamp counter: one count a nanosecond.
pub const TSC_KHZ: u32 = 1_000_000;

/// Counts, clocks, and what is left of the current slice. The fields that every block uses
/// come first.
#[repr(C)]
pub struct Meter {
    /// Instructions that may still be retired before the engine returns.
    pub budget: i64,
    /// Host work left to this slice; see [`Meter::charge`].
    pub work: i64,
    /// Leave the block after this instruction: its write invalidated decoded code, or the
    /// slice's work is spent.
    pub leave_block: bool,
    clock: GuestClock,
    /// Instructions retired before the engine was entered last.
    base: u64,
    /// Budget with which the engine was entered last; 0 outside.
    slice: i64,
    /// Of those retired before `switched`, how many at CPL 3.
    ring3: u64,
    /// Retired count at the last change of privilege.
    switched: u64,
    /// Retired count at the first entry into CPL 3.
    boot: Option<u64>,
    /// Guest time less instructions retired, where the clock counts instructions: what
    /// passed while this vCPU was idle, or others had their turns.
    elsewhere: u64,
    /// Time-stamp counter less nanoseconds.
    tsc_offset: u64,
}

impl Meter {
    /// A meter with all counts zero, of a machine with this clock.
    pub fn new(clock: GuestClock) -> Self {
        Self {
            budget: 0,
            work: 0,
            leave_block: false,
            clock,
            base: 0,
            slice: 0,
            ring3: 0,
            switched: 0,
            boot: None,
            elsewhere: 0,
            tsc_offset: 0,
        }
    }

    /// The clock, for the VMM.
    pub fn clock(&self) -> &GuestClock {
        &self.clock
    }

    /// The clock, if it counts instructions.
    pub fn counted(&self) -> Option<&CountedTime> {
        match &self.clock {
            GuestClock::Host(_) => None,
            GuestClock::Counted(time) => Some(time),
        }
    }

    /// Nanoseconds of guest time when `retired` instructions have been.
    pub fn now_ns(&self, retired: u64) -> u64 {
        match self.counted() {
            None => self.clock.now_ns(),
            Some(_) => retired.saturating_add(self.elsewhere),
        }
    }

    /// Takes the clock's time for this vCPU's, before it runs and where it is asked for the
    /// time while it does not.
    pub fn take_time(&mut self) {
        if let Some(time) = self.counted() {
            self.elsewhere = time.now_ns().saturating_sub(self.retired());
        }
    }

    /// Instructions retired; inside the engine, up to the start of the current block.
    pub fn retired(&self) -> u64 {
        self.base.wrapping_add((self.slice - self.budget) as u64)
    }

    /// Instructions that may be retired before the clock's alarm is due.
    pub fn until_alarm(&self) -> u64 {
        self.counted().map_or(u64::MAX, |time| {
            time.until_alarm(self.now_ns(self.retired()))
        })
    }

    /// Counts one instruction that finishes outside the engine.
    pub fn retire_one(&mut self) {
        self.base += 1;
    }

    /// Allows the engine `budget` instructions.
    pub fn start_slice(&mut self, budget: i64) {
        self.slice = budget;
        self.budget = budget;
    }

    /// Updates the counts after the engine has returned.
    pub fn end_slice(&mut self) {
        self.base = self.retired();
        self.slice = 0;
        self.budget = 0;
    }

    /// Charges host work to the slice: work that costs much more than the instruction that
    /// causes it. A spent slice ends with the block, however few instructions it had;
    /// instruction counts do not change.
    #[inline(always)]
    pub fn charge(&mut self, work: i64) {
        self.work -= work;
        if self.work <= 0 {
            self.end_work();
        }
    }

    #[cold]
    fn end_work(&mut self) {
        self.leave_block = true;
        self.want_attention();
    }

    /// Makes the engine return at the end of the current block.
    pub fn want_attention(&mut self) {
        self.slice -= self.budget;
        self.budget = 0;
    }

    /// Records that privilege changes from `from` to `to` with `retired` instructions
    /// retired.
    pub fn count_switch(&mut self, from: u8, to: u8, retired: u64) {
        if from == 3 {
            self.ring3 += retired - self.switched;
        }
        if to == 3 && self.boot.is_none() {
            self.boot = Some(retired);
        }
        self.switched = retired;
    }

    /// Instructions retired, by privilege, now that it is `cpl`; outside the engine.
    pub fn counts(&self, cpl: u8) -> InstructionCounts {
        let retired = self.retired();
        let since = if cpl == 3 { retired - self.switched } else { 0 };
        let ring3 = self.ring3 + since;
        InstructionCounts {
            ring0: retired - ring3,
            ring3,
            boot: self.boot,
        }
    }

    /// The time-stamp counter: 1 GHz, offset as software set it. `before` instructions of
    /// the current block have been retired.
    pub fn tsc(&self, before: u8) -> u64 {
        self.now_ns(self.retired() + u64::from(before))
            .wrapping_add(self.tsc_offset)
    }

    /// The time-stamp counter less nanoseconds, as software set it.
    pub fn tsc_offset(&self) -> u64 {
        self.tsc_offset
    }

    /// Sets the time-stamp counter.
    pub fn set_tsc(&mut self, value: u64, before: u8) {
        self.tsc_offset = 0;
        self.tsc_offset = value.wrapping_sub(self.tsc(before));
    }
}
