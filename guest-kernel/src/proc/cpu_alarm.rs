//! What comes of CPU time that a process has used: the signals of `setitimer`'s two timers of it
//! and of RLIMIT_CPU.
//!
//! Ticks look whether something is due, so it comes up to a tick late. Rejected: a deadline of the
//! timer for each turn, which would cost at every switch.

use core::cell::Cell;

use arch::clock;
use linux_raw_sys::general as linux;

use crate::proc::alarm::Alarm;
use crate::proc::limits::{INFINITY, Limits};
use crate::proc::process::Process;
use crate::proc::signal::{self, Signal};
use crate::proc::thread::CpuTime;

/// Nanoseconds in a second, as RLIMIT_CPU has them.
const NS_PER_S: u64 = 1_000_000_000;

/// Which CPU time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// In ring 3 (`ITIMER_VIRTUAL`).
    User,
    /// All (`ITIMER_PROF`).
    All,
}

/// What is due, in counts of CPU time; 0 is nothing.
pub struct CpuAlarms {
    due: [Cell<u64>; 2],
    interval: [Cell<u64>; 2],
    /// When the limit is reached.
    limit: Cell<u64>,
}

impl CpuAlarms {
    /// Nothing.
    pub const fn none() -> Self {
        Self {
            due: [const { Cell::new(0) }; 2],
            interval: [const { Cell::new(0) }; 2],
            limit: Cell::new(0),
        }
    }

    /// As a process begins, which may have no timers but those of its limits.
    pub fn clear(&self) {
        self.due.iter().for_each(|due| due.set(0));
    }

    /// Has the signals of these limits come.
    pub fn heed(&self, limits: &Limits) {
        self.limit.set(match limits.soft(linux::RLIMIT_CPU) {
            INFINITY => 0,
            // Linux takes no time for a second.
            seconds => clock::counts(seconds.max(1).saturating_mul(NS_PER_S)),
        });
    }
}

/// That time of all that was used.
pub(super) fn used(time: CpuTime, kind: Kind) -> u64 {
    match kind {
        Kind::User => time.user,
        Kind::All => time.user + time.system,
    }
}

/// The timer as it is set.
pub fn get(process: &Process, kind: Kind) -> Alarm {
    let alarms = &process.cpu_alarms;
    let rest = match alarms.due[kind as usize].get() {
        0 => 0,
        // One that is due is still to come.
        due => due.saturating_sub(used(process.cpu_time(), kind)).max(1),
    };
    Alarm {
        rest,
        interval: alarms.interval[kind as usize].get(),
    }
}

/// Sets another one, or none.
pub fn set(process: &Process, kind: Kind, alarm: Alarm) {
    let alarms = &process.cpu_alarms;
    alarms.interval[kind as usize].set(alarm.interval);
    alarms.due[kind as usize].set(match alarm.rest {
        0 => 0,
        rest => used(process.cpu_time(), kind).saturating_add(rest),
    });
}

/// Sends the signals that are due at a tick.
pub fn ring(process: &Process) {
    let alarms = &process.cpu_alarms;
    if alarms.limit.get() == 0 && alarms.due.iter().all(|due| due.get() == 0) {
        return;
    }
    let time = process.cpu_time();
    for (kind, signal) in [
        (Kind::User, Signal::SIGVTALRM),
        (Kind::All, Signal::SIGPROF),
    ] {
        let due = &alarms.due[kind as usize];
        let used = used(time, kind);
        if due.get() != 0 && due.get() <= used {
            due.set(match alarms.interval[kind as usize].get() {
                0 => 0,
                interval => used.saturating_add(interval),
            });
            signal::send(process, signal);
        }
    }
    let limit = alarms.limit.get();
    let used = used(time, Kind::All);
    if limit != 0 && limit <= used {
        let hard = process
            .limits()
            .get(linux::RLIMIT_CPU)
            .map_or(INFINITY, |limit| limit.hard);
        let is_last = hard != INFINITY && clock::counts(hard.saturating_mul(NS_PER_S)) <= used;
        // Again after each second.
        alarms
            .limit
            .set(used.saturating_add(clock::counts(NS_PER_S)));
        signal::send(
            process,
            if is_last {
                Signal::SIGKILL
            } else {
                Signal::SIGXCPU
            },
        );
    }
}
