//! The alarm of a process: SIGALRM at a certain time, and again after each interval
//! (`setitimer`).
//!
//! The next interval begins when the signal is handled. So a process that asks for one
//! every nanosecond is interrupted in its own turns only.

use arch::clock;
use single_cpu::SingleCpu;

use crate::proc::process::Process;
use crate::proc::signal::{self, Signal};
use crate::proc::tick;
use crate::proc::timer_queue::TimerQueue;

static ALARMS: SingleCpu<TimerQueue<Process>> = SingleCpu::new(TimerQueue::new());

/// An alarm, in counts of the time-stamp counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alarm {
    /// Until the signal; 0 is no alarm.
    pub rest: u64,
    /// From one signal to the next; 0 is no next one.
    pub interval: u64,
}

/// The alarm as it is set.
pub fn get(process: &Process) -> Alarm {
    let rest = process.alarm.deadline().map_or(0, |deadline| {
        // One that is due is still to come.
        deadline.saturating_sub(clock::counter()).max(1)
    });
    Alarm {
        rest,
        interval: process.alarm_interval.get(),
    }
}

/// Sets another one, or none.
pub fn set(process: &'static Process, alarm: Alarm) {
    ALARMS.remove(process);
    process.alarm_interval.set(alarm.interval);
    if alarm.rest > 0 {
        start(process, alarm.rest);
    }
}

fn start(process: &'static Process, rest: u64) {
    let deadline = clock::counter().saturating_add(rest);
    ALARMS.insert(process, deadline);
    tick::await_no_later_than(deadline);
}

/// Starts the next interval, as the signal has been handled.
pub fn taken(process: &'static Process) {
    let interval = process.alarm_interval.get();
    if interval > 0 && process.alarm.deadline().is_none() {
        start(process, interval);
    }
}

/// When the first alarm is due.
pub fn deadline() -> Option<u64> {
    ALARMS.deadline()
}

/// Sends the signals that are due at `now`.
pub fn ring(now: u64) {
    while let Some(process) = ALARMS.pop_due(now) {
        signal::send(process, Signal::SIGALRM);
    }
}
