//! Signals that are pending, and why each was sent.
//!
//! A standard signal is pending once, with the cause of its first sender; each real-time
//! signal that is sent is pending, and they come in the order of sending. Causes are a list in
//! that order. A signal for whose cause there is no room is pending all the same, but for a
//! real-time signal whose sender has a value to send: that sender is told.

use core::cell::{Cell, RefCell};

use abi::Errno;
use linux_raw_sys::general as linux;
use mm::Owned;
use single_cpu::SingleCpu;

use crate::proc::signal::{Cause, Signal, Signals};

/// Causes that are kept in all: RLIMIT_SIGPENDING is about those of the one user there is.
static QUEUED: SingleCpu<Cell<u64>> = SingleCpu::new(Cell::new(0));

/// More than this many are never kept.
const MAX_QUEUED: u64 = 1 << 15;

fn queued() -> u64 {
    QUEUED.get()
}

/// The pending signals of a process or a thread.
pub struct Pending {
    set: Cell<Signals>,
    first: RefCell<Link>,
}

type Link = Option<Owned<Entry>>;

struct Entry {
    signal: Signal,
    cause: Cause,
    next: Link,
}

impl Pending {
    /// None.
    pub const fn new() -> Self {
        Self {
            set: Cell::new(Signals::EMPTY),
            first: RefCell::new(None),
        }
    }

    /// Which signals are pending.
    pub fn set(&self) -> Signals {
        self.set.get()
    }

    /// Makes a signal pending. At most `most` causes are kept, but for the kernel's own and
    /// those of standard signals by `kill`.
    ///
    /// # Errors
    /// EAGAIN: there is no room for the value that comes with a real-time signal.
    pub fn add(&self, signal: Signal, cause: Cause, most: u64) -> Result<(), Errno> {
        let is_pending = self.set().contains(signal);
        if is_pending && !signal.is_real_time() && !cause.is_timer() {
            return Ok(());
        }
        let may_exceed = !signal.is_real_time() && cause.code >= 0 || cause.is_timer();
        let has_room = queued() < most.min(MAX_QUEUED);
        let is_kept = (may_exceed || has_room) && self.append(signal, cause);
        if !is_kept && signal.is_real_time() && cause.code != linux::SI_USER as i32 {
            return Err(Errno::EAGAIN);
        }
        self.set.set(self.set().with(signal));
        Ok(())
    }

    /// Keeps a cause; says whether there was memory.
    fn append(&self, signal: Signal, cause: Cause) -> bool {
        let next = None;
        let Ok(entry) = Owned::new(Entry {
            signal,
            cause,
            next,
        }) else {
            return false;
        };
        let mut first = self.first.borrow_mut();
        let mut place = &mut *first;
        while let Some(entry) = place {
            place = &mut entry.next;
        }
        *place = Some(entry);
        QUEUED.set(QUEUED.get() + 1);
        true
    }

    /// Takes a signal that is pending, once, and says why it was sent.
    pub fn take(&self, signal: Signal) -> Cause {
        let mut first = self.first.borrow_mut();
        let found = remove_first(&mut first, signal);
        let mut rest = &*first;
        let mut is_last = true;
        while let Some(entry) = rest {
            is_last &= entry.signal != signal;
            rest = &entry.next;
        }
        if is_last {
            self.set.set(self.set().without(signal));
        }
        found.unwrap_or(Cause::UNKNOWN)
    }

    /// Forgets a signal, however often it is pending.
    pub fn forget(&self, signal: Signal) {
        if self.set().contains(signal) {
            self.set.set(self.set().without(signal));
            let mut first = self.first.borrow_mut();
            while remove_first(&mut first, signal).is_some() {}
        }
    }

    /// Forgets all. One after the other: a list that is dropped as a whole would take a part of
    /// the kernel's stack for each.
    pub fn clear(&self) {
        self.set.set(Signals::EMPTY);
        let mut first = self.first.borrow_mut();
        while let Some(mut entry) = first.take() {
            *first = entry.next.take();
            note_removed();
        }
    }
}

/// Takes the first cause of a signal out of a list.
fn remove_first(first: &mut Link, signal: Signal) -> Option<Cause> {
    let mut place = first;
    while place.as_ref().is_some_and(|entry| entry.signal != signal) {
        place = &mut place.as_mut()?.next;
    }
    let mut entry = place.take()?;
    *place = entry.next.take();
    note_removed();
    Some(entry.cause)
}

fn note_removed() {
    QUEUED.set(QUEUED.get().saturating_sub(1));
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: u64 = 1000;

    fn value(value: u64) -> Cause {
        Cause {
            words: [0, value, 0, 0],
            ..Cause::sender([7, 0], linux::SI_QUEUE)
        }
    }

    fn real_time() -> Signal {
        Signal::new(40).expect("there are 64")
    }

    #[test]
    fn real_time_signals_come_each_and_in_order() {
        let pending = Pending::new();
        for number in 1..4 {
            assert_eq!(pending.add(real_time(), value(number), MANY), Ok(()));
            assert_eq!(pending.add(Signal::SIGUSR1, value(number), MANY), Ok(()));
        }
        assert_eq!(pending.take(Signal::SIGUSR1), value(1));
        assert!(!pending.set().contains(Signal::SIGUSR1));
        for number in 1..4 {
            assert!(pending.set().contains(real_time()));
            assert_eq!(pending.take(real_time()), value(number));
        }
        assert_eq!(pending.set(), Signals::EMPTY);
    }

    #[test]
    fn who_sends_a_value_hears_that_there_is_no_room() {
        let pending = Pending::new();
        assert_eq!(pending.add(real_time(), value(1), 0), Err(Errno::EAGAIN));
        assert_eq!(pending.set(), Signals::EMPTY);
        let by_kill = Cause::sender([7, 0], linux::SI_USER as i32);
        assert_eq!(pending.add(real_time(), by_kill, 0), Ok(()));
        assert_eq!(pending.take(real_time()), Cause::UNKNOWN);
        assert_eq!(pending.add(Signal::SIGTERM, by_kill, 0), Ok(()));
        assert_eq!(pending.take(Signal::SIGTERM), by_kill);
    }

    #[test]
    fn what_is_forgotten_is_not_pending() {
        let pending = Pending::new();
        for number in 0..3 {
            assert_eq!(pending.add(real_time(), value(number), MANY), Ok(()));
        }
        assert_eq!(pending.add(Signal::SIGTERM, value(9), MANY), Ok(()));
        pending.forget(real_time());
        assert_eq!(pending.set(), Signals::EMPTY.with(Signal::SIGTERM));
        pending.clear();
        assert_eq!(pending.set(), Signals::EMPTY);
    }
}
