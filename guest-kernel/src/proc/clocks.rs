//! Clocks, by the numbers that programs have for them.
//!
//! What a process or a thread has used of the CPU is a clock too, and has a number, as
//! `clock_getcpuclockid` and `pthread_getcpuclockid` make it: from bit 3 on the complement of the
//! process's or thread's, then whether it is a thread's, then what it counts.

use core::ptr;

use linux_raw_sys::general as linux;

use crate::proc::cpu_alarm::{self, Kind};
use crate::proc::process::Process;
use crate::proc::thread::CpuTime;
use crate::proc::{current, current_thread, table};

const KIND: i32 = 0b11;
const IS_THREAD: i32 = 1 << 2;
const ID_SHIFT: u32 = 3;
/// Time in ring 3 alone.
const VIRTUAL: i32 = 1;
/// What is no kind.
const NONE: i32 = 3;

/// What a clock shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The time of day.
    Day,
    /// Time since boot.
    Boot,
    /// CPU time.
    Cpu(CpuClock),
}

/// A clock of CPU time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuClock {
    process: u32,
    /// The thread of the process that is meant, if not all.
    thread: Option<u32>,
    kind: Kind,
}

impl Clock {
    /// The clock of this number, if there is one.
    pub fn of_number(number: u32) -> Option<Self> {
        Some(match number {
            linux::CLOCK_MONOTONIC
            | linux::CLOCK_MONOTONIC_RAW
            | linux::CLOCK_MONOTONIC_COARSE
            | linux::CLOCK_BOOTTIME => Self::Boot,
            linux::CLOCK_REALTIME | linux::CLOCK_REALTIME_COARSE | linux::CLOCK_TAI => Self::Day,
            linux::CLOCK_PROCESS_CPUTIME_ID => Self::Cpu(CpuClock::of(0, false, Kind::All)?),
            linux::CLOCK_THREAD_CPUTIME_ID => Self::Cpu(CpuClock::of(0, true, Kind::All)?),
            _ => Self::Cpu(CpuClock::of_number(number.cast_signed())?),
        })
    }
}

impl CpuClock {
    fn of_number(number: i32) -> Option<Self> {
        let kind = match number & KIND {
            NONE => return None,
            VIRTUAL => Kind::User,
            _ => Kind::All,
        };
        let id = (!(number >> ID_SHIFT)).cast_unsigned();
        (number < 0).then(|| Self::of(id, number & IS_THREAD != 0, kind))?
    }

    /// That of the thread with this number, of the current process, or of any process; 0 is the
    /// current one.
    fn of(id: u32, is_thread: bool, kind: Kind) -> Option<Self> {
        let own = current_thread().tid();
        let (process, thread) = match (id, is_thread) {
            (0, true) => (current(), Some(own)),
            (tid, true) => {
                let thread = table::thread(tid)?;
                let is_own = ptr::eq(thread.process(), current());
                (current(), is_own.then_some(Some(tid))?)
            }
            (0, false) => (current(), None),
            (pid, false) if pid == own => (current(), None),
            (pid, false) => (table::process(pid)?, None),
        };
        Some(Self {
            process: process.pid(),
            thread,
            kind,
        })
    }

    /// The process, as long as there is anything left of it.
    pub fn process(self) -> Option<&'static Process> {
        table::process(self.process)
    }

    /// What it shows, in counts of the time-stamp counter, as long as its process or thread is
    /// there.
    pub fn now(self) -> Option<u64> {
        let process = self.process()?;
        self.now_of(process, || process.cpu_time())
    }

    /// The same of its process, of which all that it has used is known.
    pub fn now_of(self, process: &Process, all: impl FnOnce() -> CpuTime) -> Option<u64> {
        let time = match self.thread {
            None => all(),
            Some(tid) => {
                let thread = table::thread(tid)?;
                let is_there = ptr::eq(thread.process(), process);
                is_there.then(|| thread.cpu_time())?
            }
        };
        Some(cpu_alarm::used(time, self.kind))
    }
}
