//! Timers that are read (`timerfd`).
//!
//! How often one has expired is counted when somebody looks: from the first time that has not
//! been read to now. So a timer of a nanosecond costs no more than one of a second, and
//! interrupts come for the next time only, once the one before has been looked at.

mod heap;

use core::cell::{Cell, RefCell};

use abi::Errno;
use arch::clock::now_ns;
use mm::{OutOfMemory, Shared};
use single_cpu::SingleCpu;

use crate::fs::events::epoll::Watches;
use crate::fs::events::timer::heap::Heap;
use crate::fs::events::{NUMBER_SIZE, give};
use crate::fs::poll::{self, Readiness};
use crate::fs::transfer::Target;
use crate::proc::event_timer;
use crate::proc::wait_queue::WaitQueue;

static ARMED: SingleCpu<RefCell<Heap>> = SingleCpu::new(RefCell::new(Heap::new()));

/// The state of a timer, which an open file has.
pub struct TimerFile {
    /// The first time that has not been read, in nanoseconds after boot or, if negative,
    /// before.
    next: Cell<Option<i64>>,
    interval: Cell<u64>,
    on_set: Cell<OnSet>,
    /// Whether the clock has been set, which cancels it.
    is_cancelled: Cell<bool>,
    readers: WaitQueue,
    watches: Watches,
    /// When it is to interrupt, and its place in the heap.
    deadline: Cell<u64>,
    place: Cell<Option<usize>>,
}

/// A timer as it is set, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The first time: after boot where it is set, from now on where it is asked for.
    pub next: Option<i64>,
    /// From time to time; 0: it comes once.
    pub interval: u64,
}

/// What becomes of a timer when the clock is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSet {
    /// Nothing: it is not about the time of day.
    Stays,
    /// It keeps its time of day.
    Moves,
    /// That, and its readers are told (TFD_TIMER_CANCEL_ON_SET).
    Cancels,
}

/// A timer; it stops with its open file.
pub struct Timer {
    state: Shared<TimerFile>,
    is_realtime: bool,
}

impl Timer {
    /// A timer that is not set, of the time of day or of the time after boot.
    ///
    /// # Errors
    /// There is no memory.
    pub fn new(is_realtime: bool) -> Result<Self, OutOfMemory> {
        let state = Shared::new(TimerFile {
            next: Cell::new(None),
            interval: Cell::new(0),
            on_set: Cell::new(OnSet::Stays),
            is_cancelled: Cell::new(false),
            readers: WaitQueue::new(),
            watches: Watches::new(),
            deadline: Cell::new(0),
            place: Cell::new(None),
        })?;
        Ok(Self { state, is_realtime })
    }

    /// Whether its absolute times are those of the time of day.
    pub fn is_realtime(&self) -> bool {
        self.is_realtime
    }

    /// Sets it.
    ///
    /// # Errors
    /// ECANCELED: the clock was set, which would have cancelled it, and again will. It is set
    /// nevertheless. ENOMEM: it is as before.
    pub fn set(&self, setting: Setting, on_set: OnSet) -> Result<(), Errno> {
        match setting.next {
            None => disarm(&self.state),
            Some(next) => arm(&self.state, next)?,
        }
        self.state.next.set(setting.next);
        self.state.interval.set(setting.interval);
        self.state.on_set.set(on_set);
        match self.state.is_cancelled.take() && on_set == OnSet::Cancels {
            true => Err(Errno::ECANCELED),
            false => Ok(()),
        }
    }

    /// As it is set; one that comes once and has come is not.
    pub fn get(&self) -> Setting {
        let interval = self.state.interval.get();
        self.await_next();
        let next = self.state.next.get().and_then(|next| {
            let late = now().saturating_sub(next);
            match u64::try_from(late) {
                // The time after those that have passed.
                Ok(late) => Some((interval - late.checked_rem(interval)?) as i64),
                Err(_) => Some(-late),
            }
        });
        Setting { next, interval }
    }

    /// How often it has expired since it was read.
    fn expirations(&self) -> u64 {
        let late = self.state.next.get().map(|next| now().saturating_sub(next));
        match late.map(u64::try_from) {
            Some(Ok(late)) => 1 + late.checked_div(self.state.interval.get()).unwrap_or(0),
            _ => 0,
        }
    }

    /// Reads how often it has expired, once it has.
    ///
    /// # Errors
    /// EINVAL: no room for a number. EAGAIN instead of waiting, EINTR, EFAULT. ECANCELED: the
    /// clock has been set.
    pub fn read(&self, target: &mut dyn Target, nonblocking: bool) -> Result<u64, Errno> {
        if target.left() < NUMBER_SIZE {
            return Err(Errno::EINVAL);
        }
        let count = loop {
            if self.state.is_cancelled.take() {
                return Err(Errno::ECANCELED);
            }
            match self.expirations() {
                0 if nonblocking => return Err(Errno::EAGAIN),
                0 => self.state.readers.sleep()?,
                count => break count,
            }
        };
        self.state.next.set(self.next_after(count));
        self.await_next();
        give(target, &count.to_le_bytes())
    }

    /// What a poll would find.
    pub fn readiness(&self) -> Readiness {
        match self.expirations() {
            0 if !self.state.is_cancelled.get() => Readiness::empty(),
            _ => Readiness::READ,
        }
    }

    /// The time after `count` times from the first that has not been read.
    fn next_after(&self, count: u64) -> Option<i64> {
        let (next, interval) = (self.state.next.get()?, self.state.interval.get());
        let passed = i64::try_from(interval.saturating_mul(count)).unwrap_or(i64::MAX);
        (interval > 0).then(|| next.saturating_add(passed))
    }

    /// Has it interrupt when it expires for the next time, if it does. As on Linux, nothing
    /// else does that: a timer that nobody reads or asks about interrupts once.
    fn await_next(&self) {
        if self.state.place.get().is_none()
            && let Some(next) = self.next_after(self.expirations())
        {
            // Without memory it is late: when somebody looks at it.
            let _ = arm(&self.state, next);
        }
    }

    /// Whoever wants to hear of it.
    pub fn watches(&self) -> &Watches {
        &self.state.watches
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        disarm(&self.state);
    }
}

/// Nanoseconds after boot, as times before it are told from.
fn now() -> i64 {
    now_ns() as i64
}

/// Has it interrupt at so many nanoseconds after boot.
fn arm(timer: &Shared<TimerFile>, time: i64) -> Result<(), OutOfMemory> {
    let mut armed = ARMED.borrow_mut();
    armed.set(timer, u64::try_from(time).unwrap_or(0))?;
    event_timer::set(armed.deadline());
    Ok(())
}

fn disarm(timer: &Shared<TimerFile>) {
    let mut armed = ARMED.borrow_mut();
    let removed = armed.remove(timer);
    event_timer::set(armed.deadline());
    drop(armed);
    drop(removed);
}

/// Tells that timers have expired, those that are due.
pub fn ring() {
    loop {
        let due = ARMED.borrow_mut().pop_due(now_ns());
        let Some(timer) = due else { break };
        timer.readers.wake_all();
        poll::changed_at(&timer.watches, Readiness::READ);
    }
    event_timer::set(ARMED.borrow().deadline());
}

/// The clock has been set forward by so many nanoseconds, or back.
pub fn clock_was_set(change: i64) {
    let mut place = 0;
    while let Some(timer) = at(place) {
        place += 1;
        if timer.on_set.get() != OnSet::Stays {
            let next = timer.next.get().map(|next| next.saturating_sub(change));
            timer.next.set(next);
            let deadline = timer.deadline.get();
            timer
                .deadline
                .set(deadline.saturating_add_signed(change.saturating_neg()));
        }
    }
    ARMED.borrow_mut().order();
    place = 0;
    while let Some(timer) = at(place) {
        place += 1;
        if timer.on_set.get() == OnSet::Cancels {
            timer.is_cancelled.set(true);
            timer.readers.wake_all();
            poll::changed_at(&timer.watches, Readiness::READ);
        }
    }
    ring();
}

fn at(place: usize) -> Option<Shared<TimerFile>> {
    ARMED.borrow().at(place)
}
