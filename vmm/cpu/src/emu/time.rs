//! Instructions retired, by privilege, and the time that follows from them.

use std::sync::Arc;
use std::time::Instant;

use super::cpu::Cpu;
use crate::{CountedTime, GuestClock, InstructionCounts};

/// What guest time goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// The host's monotonic clock.
    #[default]
    Host,
    /// One nanosecond for each instruction retired: two runs of one guest see the same
    /// times. Idle time does not pass by itself; see [`CountedTime`].
    Instructions,
}

/// Frequency of the time-stamp counter: one count a nanosecond.
pub(super) const TSC_KHZ: u32 = 1_000_000;

/// Counts and clocks.
pub(super) struct Time {
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
    /// Time-stamp counter less nanoseconds.
    pub(super) tsc_offset: u64,
}

impl Time {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock: match clock {
                Clock::Host => GuestClock::Host(Instant::now()),
                Clock::Instructions => GuestClock::Counted(Arc::default()),
            },
            base: 0,
            slice: 0,
            ring3: 0,
            switched: 0,
            boot: None,
            tsc_offset: 0,
        }
    }

    /// The clock, for the VMM.
    pub(super) fn clock(&self) -> &GuestClock {
        &self.clock
    }

    /// The clock, if it goes by instructions.
    pub(super) fn counted(&self) -> Option<&CountedTime> {
        match &self.clock {
            GuestClock::Host(_) => None,
            GuestClock::Counted(time) => Some(time),
        }
    }

    /// Nanoseconds of guest time when `retired` instructions have been.
    pub(super) fn now_ns(&self, retired: u64) -> u64 {
        match self.counted() {
            None => self.clock.now_ns(),
            Some(time) => retired.saturating_add(time.skipped_ns()),
        }
    }
}

impl Cpu {
    /// Instructions retired; inside the engine, up to the start of the block at hand.
    pub(super) fn retired(&self) -> u64 {
        self.time
            .base
            .wrapping_add((self.time.slice - self.budget) as u64)
    }

    /// Instructions that may be retired before the clock's alarm is due.
    pub(super) fn until_alarm(&self) -> u64 {
        self.time.counted().map_or(u64::MAX, |time| {
            time.until_alarm(self.time.now_ns(self.retired()))
        })
    }

    /// Counts one instruction that finishes outside the engine.
    pub(super) fn retire_one(&mut self) {
        self.time.base += 1;
    }

    /// Allows the engine `budget` instructions.
    pub(super) fn start_slice(&mut self, budget: i64) {
        self.time.slice = budget;
        self.budget = budget;
    }

    /// Settles the counts after the engine.
    pub(super) fn end_slice(&mut self) {
        self.time.base = self.retired();
        self.time.slice = 0;
        self.budget = 0;
    }

    /// Takes host work from the slice: what costs much more than the instruction that
    /// brings it about. A spent slice ends with the block, however few instructions it had;
    /// their counts are not touched.
    #[inline(always)]
    pub(super) fn charge(&mut self, work: i64) {
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

    /// Makes the engine return at the end of the block at hand.
    pub(super) fn want_attention(&mut self) {
        self.time.slice -= self.budget;
        self.budget = 0;
    }

    /// Notes that privilege changes from `from` to `to` with `retired` instructions
    /// retired.
    pub(super) fn count_switch(&mut self, from: u8, to: u8, retired: u64) {
        let time = &mut self.time;
        if from == 3 {
            time.ring3 += retired - time.switched;
        }
        if to == 3 && time.boot.is_none() {
            time.boot = Some(retired);
        }
        time.switched = retired;
    }

    /// Instructions retired, by privilege; outside the engine.
    pub(super) fn counts(&self) -> InstructionCounts {
        let retired = self.retired();
        let since = if self.cpl == 3 {
            retired - self.time.switched
        } else {
            0
        };
        let ring3 = self.time.ring3 + since;
        InstructionCounts {
            ring0: retired - ring3,
            ring3,
            boot: self.time.boot,
        }
    }

    /// The time-stamp counter: 1 GHz, offset as software set it. `before` instructions of
    /// the block at hand have been retired.
    pub(super) fn tsc(&self, before: u8) -> u64 {
        self.time
            .now_ns(self.retired() + u64::from(before))
            .wrapping_add(self.time.tsc_offset)
    }

    /// Sets the time-stamp counter.
    pub(super) fn set_tsc(&mut self, value: u64, before: u8) {
        self.time.tsc_offset = 0;
        self.time.tsc_offset = value.wrapping_sub(self.tsc(before));
    }
}
