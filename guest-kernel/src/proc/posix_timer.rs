//! Timers that a process makes (`timer_create`): a signal of its choice at a certain time, and
//! again after each interval.
//!
//! As with the alarm, the next interval begins when the signal is taken; intervals that have
//! passed until then are counted, not made up for. Descriptors are slots that stay where they
//! are, as the queue of deadlines wants them, and are used again.
//!
//! Timers of CPU time are in a list of the process whose time it is. Its ticks look after them, as
//! after [`cpu_alarm`](crate::proc::cpu_alarm)'s.

use core::cell::Cell;
use core::ptr;

use abi::Errno;
use arch::clock;
use mm::Owned;
use single_cpu::SingleCpu;

use crate::proc::alarm::Alarm;
use crate::proc::clocks::Clock;
use crate::proc::list::{Link, Linked, List};
use crate::proc::process::Process;
use crate::proc::signal::{self, Cause, Signal};
use crate::proc::thread::Thread;
use crate::proc::timer_queue::{Timed, Timer, TimerQueue};
use crate::proc::{table, tick};

/// Timers that there can be.
const MOST: usize = 1024;

static DEADLINES: SingleCpu<TimerQueue<PosixTimer>> = SingleCpu::new(TimerQueue::new());
/// Slots without a timer.
static FREE: SingleCpu<List<PosixTimer, OfProcess>> = SingleCpu::new(List::new());
/// Slots.
static COUNT: SingleCpu<Cell<usize>> = SingleCpu::new(Cell::new(0));

/// What a timer does when it is due.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// The signal, if there is one.
    pub signal: Option<Signal>,
    /// To which thread, if not to the process.
    pub thread: Option<u32>,
    /// What the handler is told; the timer's number if nothing.
    pub value: Option<u64>,
    /// By which clock it is due.
    pub clock: Clock,
}

impl Event {
    const NONE: Self = Self {
        signal: None,
        thread: None,
        value: None,
        clock: Clock::Boot,
    };
}

/// A timer.
pub struct PosixTimer {
    number: Cell<u32>,
    owner: Cell<Option<&'static Process>>,
    event: Cell<Event>,
    timer: Timer<PosixTimer>,
    /// By which process's CPU time it is due, and when, while it is in the list of it.
    cpu_deadline: Cell<Option<(&'static Process, u64)>>,
    /// In counts of the time-stamp counter; 0 if there is but one signal.
    interval: Cell<u64>,
    /// The same as it was set, in nanoseconds.
    interval_ns: Cell<u64>,
    /// When it was due last, as its signal is pending.
    pending_since: Cell<Option<u64>>,
    /// Whether it is due at a time of day.
    is_of_day: Cell<bool>,
    /// Intervals that had passed, besides the first, as its last signal was taken.
    overrun: Cell<u32>,
    process_link: Link<PosixTimer>,
    cpu_link: Link<PosixTimer>,
}

/// The timers of a process.
pub enum OfProcess {}

impl Linked<OfProcess> for PosixTimer {
    fn link(&self) -> &Link<Self> {
        &self.process_link
    }
}

/// The timers that are set to the CPU time of a process.
pub enum ByCpuTime {}

impl Linked<ByCpuTime> for PosixTimer {
    fn link(&self) -> &Link<Self> {
        &self.cpu_link
    }
}

impl Timed for PosixTimer {
    fn timer(&self) -> &Timer<Self> {
        &self.timer
    }
}

/// Makes a timer, which is not set; returns its number.
///
/// # Errors
/// EAGAIN: there are too many, or there is no memory.
pub fn create(process: &'static Process, event: Event) -> Result<u32, Errno> {
    let timer = match FREE.pop_front() {
        Some(timer) => timer,
        None => new_slot()?,
    };
    let is_used = |number| {
        process
            .timers
            .iter()
            .any(|timer| timer.number.get() == number)
    };
    let number = (0..MOST as u32).find(|&number| !is_used(number));
    let number = number.expect("there are no more timers than numbers");
    timer.number.set(number);
    timer.owner.set(Some(process));
    timer.event.set(event);
    timer.interval.set(0);
    timer.interval_ns.set(0);
    timer.pending_since.set(None);
    timer.overrun.set(0);
    process.timers.push_back(timer);
    Ok(number)
}

fn new_slot() -> Result<&'static PosixTimer, Errno> {
    if COUNT.get() == MOST {
        return Err(Errno::EAGAIN);
    }
    let slot = Owned::new(PosixTimer {
        number: Cell::new(0),
        owner: Cell::new(None),
        event: Cell::new(Event::NONE),
        timer: Timer::new(),
        cpu_deadline: Cell::new(None),
        interval: Cell::new(0),
        interval_ns: Cell::new(0),
        pending_since: Cell::new(None),
        is_of_day: Cell::new(false),
        overrun: Cell::new(0),
        process_link: Link::new(),
        cpu_link: Link::new(),
    });
    let slot = slot.map_err(|_| Errno::EAGAIN)?.leak();
    COUNT.set(COUNT.get() + 1);
    Ok(slot)
}

/// The timer of a process with this number.
///
/// # Errors
/// EINVAL: there is none.
pub fn find(process: &Process, number: u32) -> Result<&'static PosixTimer, Errno> {
    let mut timers = process.timers.iter();
    let timer = timers.find(|timer| timer.number.get() == number);
    timer.ok_or(Errno::EINVAL)
}

/// Ends a timer.
pub fn delete(timer: &'static PosixTimer) {
    timer.stop();
    if let Some(process) = timer.owner.take() {
        process.timers.remove(timer);
    }
    FREE.push_back(timer);
}

/// Ends all timers of a process.
pub fn delete_all(process: &Process) {
    process.timers.iter().for_each(delete);
}

impl PosixTimer {
    /// The clock by which it is due.
    pub fn clock(&self) -> Clock {
        self.event.get().clock
    }

    /// What that shows, in counts of the time-stamp counter, if it is still there.
    pub fn now(&self) -> Option<u64> {
        match self.clock() {
            Clock::Day | Clock::Boot => Some(clock::counter()),
            Clock::Cpu(clock) => clock.now(),
        }
    }

    fn deadline(&self) -> Option<u64> {
        let cpu_deadline = self.cpu_deadline.get().map(|(_, deadline)| deadline);
        self.timer.deadline().or(cpu_deadline)
    }

    /// Intervals that had passed, besides the first, as its last signal was taken.
    pub fn overrun(&self) -> u32 {
        self.overrun.get()
    }

    /// The timer as it is set.
    pub fn get(&self) -> Alarm {
        let interval = self.interval.get();
        let rest = self.now().map_or(0, |now| {
            match (self.deadline(), self.pending_since.get()) {
                // One that is due is still to come.
                (Some(deadline), _) => deadline.saturating_sub(now).max(1),
                (None, Some(since)) if interval > 0 => {
                    interval - now.saturating_sub(since) % interval
                }
                _ => 0,
            }
        });
        Alarm { rest, interval }
    }

    /// Nanoseconds from signal to signal; 0 if there is but one.
    pub fn interval_ns(&self) -> u64 {
        self.interval_ns.get()
    }

    /// Sets it to `deadline`, in counts of its clock, and from then on to each end of so many
    /// nanoseconds; or to nothing. One that `is_of_day` moves when the clock is set.
    pub fn set(&'static self, deadline: Option<u64>, interval_ns: u64, is_of_day: bool) {
        self.stop();
        self.is_of_day.set(is_of_day);
        self.pending_since.set(None);
        self.interval.set(0);
        self.interval_ns.set(0);
        if let Some(deadline) = deadline {
            self.interval_ns.set(interval_ns);
            self.interval.set(match interval_ns {
                0 => 0,
                ns => clock::counts(ns).max(1),
            });
            self.start(deadline);
        }
        // A process that sleeps has no ticks, so what has passed is due at once.
        if let Some((process, _)) = self.cpu_deadline.get() {
            ring_of_cpu_time(process);
        }
    }

    fn start(&'static self, deadline: u64) {
        let Clock::Cpu(clock) = self.clock() else {
            DEADLINES.insert(self, deadline);
            return tick::await_no_later_than(deadline);
        };
        if let Some(process) = clock.process().filter(|process| process.is_alive()) {
            self.cpu_deadline.set(Some((process, deadline)));
            process.cpu_timers.push_back(self);
        }
    }

    fn stop(&'static self) {
        DEADLINES.remove(self);
        if let Some((process, _)) = self.cpu_deadline.take() {
            process.cpu_timers.remove(self);
        }
    }

    /// It was due at `deadline`.
    fn ring(&'static self, deadline: u64, now: u64) {
        let Some(process) = self.owner.get() else {
            return;
        };
        let event = self.event.get();
        self.pending_since.set(Some(deadline));
        let Some(signal) = event.signal else {
            return;
        };
        let number = self.number.get();
        let cause = Cause::timer(number, event.value.unwrap_or(number.into()));
        let is_pending = match event.thread {
            None => {
                let _ = signal::send_for(process, signal, cause);
                process.pending_signals.set().contains(signal)
            }
            Some(tid) => {
                let mine = |thread: &&'static Thread| ptr::eq(thread.process(), process);
                table::thread(tid).filter(mine).is_some_and(|thread| {
                    let _ = signal::send_to_thread(thread, signal, cause);
                    thread.pending_signals.set().contains(signal)
                })
            }
        };
        if !is_pending && self.interval.get() > 0 {
            // Ignored: it goes on, at most once a tick.
            self.pending_since.set(None);
            self.start(now.saturating_add(self.interval.get().max(tick::period())));
        }
    }
}

/// The clock has been set forward by so many counts, or back.
pub fn clock_was_set(change: i64) {
    for timer in table::processes().flat_map(|process| process.timers.iter()) {
        if let Some(deadline) = timer.timer.deadline().filter(|_| timer.is_of_day.get()) {
            DEADLINES.remove(timer);
            timer.start(deadline.saturating_add_signed(change.saturating_neg()));
        }
    }
}

/// A timer's signal is taken: its next interval begins. Returns how many were missed.
pub fn taken(process: &Process, number: u32) -> u32 {
    let Ok(timer) = find(process, number) else {
        return 0;
    };
    let Some(since) = timer.pending_since.take() else {
        return 0;
    };
    let interval = timer.interval.get();
    let now = timer.now().unwrap_or(since);
    let missed = now.saturating_sub(since).checked_div(interval);
    let missed = missed.unwrap_or(0);
    if interval > 0 {
        let passed = missed.saturating_add(1).saturating_mul(interval);
        timer.start(since.saturating_add(passed));
    }
    let overrun = missed.min(i32::MAX as u64) as u32;
    timer.overrun.set(overrun);
    overrun
}

/// Sends the signals that are due by the CPU time of a process, at a tick.
pub fn ring_of_cpu_time(process: &Process) {
    let mut all = None;
    for timer in process.cpu_timers.iter() {
        let (Clock::Cpu(clock), Some((_, deadline))) = (timer.clock(), timer.cpu_deadline.get())
        else {
            continue;
        };
        let all = || *all.get_or_insert_with(|| process.cpu_time());
        if let Some(now) = clock.now_of(process, all).filter(|&now| deadline <= now) {
            timer.stop();
            timer.ring(deadline, now);
        }
    }
}

/// A process uses no more CPU time.
pub fn cpu_time_ends(process: &Process) {
    while let Some(timer) = process.cpu_timers.pop_front() {
        timer.cpu_deadline.set(None);
    }
}

/// When the first timer is due.
pub fn deadline() -> Option<u64> {
    DEADLINES.deadline()
}

/// Sends the signals that are due at `now`.
pub fn ring(now: u64) {
    while let Some((timer, deadline)) = pop_due(now) {
        timer.ring(deadline, now);
    }
}

fn pop_due(now: u64) -> Option<(&'static PosixTimer, u64)> {
    let deadline = DEADLINES.deadline()?;
    Some((DEADLINES.pop_due(now)?, deadline))
}
