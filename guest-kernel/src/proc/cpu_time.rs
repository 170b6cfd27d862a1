//! CPU time of threads, by the time-stamp counter.
//!
//! A thread that has a CPU is charged at every entry to the kernel and every exit: up to the
//! mark, all has been accounted.

use core::cell::Cell;

use arch::clock;

use crate::proc::scheduler::current_thread;
use crate::proc::thread::{CpuTime, State, Thread};

/// What a thread has for it.
pub(super) struct Meter {
    /// The counter up to which all time has been accounted, while the thread has a CPU.
    mark: Cell<u64>,
    /// The counter as the current turn began.
    turn: Cell<u64>,
    user: Cell<u64>,
    system: Cell<u64>,
}

impl Meter {
    /// Nothing used.
    pub const fn new() -> Self {
        Self {
            mark: Cell::new(0),
            turn: Cell::new(0),
            user: Cell::new(0),
            system: Cell::new(0),
        }
    }

    /// Forgets what was used.
    pub fn clear(&self) {
        self.user.set(0);
        self.system.set(0);
    }

    /// Gives the time since the mark to `account`; returns the counter.
    #[inline(always)]
    fn charge(&self, account: &Cell<u64>) -> u64 {
        let now = clock::counter();
        account.set(
            account
                .get()
                .wrapping_add(now.wrapping_sub(self.mark.get())),
        );
        self.mark.set(now);
        now
    }

    fn used(&self) -> CpuTime {
        CpuTime {
            user: self.user.get(),
            system: self.system.get(),
        }
    }
}

/// The kernel is about to run the program of the current thread.
#[inline(always)]
pub fn enter_ring_3(thread: &Thread) {
    thread.meter.charge(&thread.meter.system);
}

/// The program has come back.
#[inline(always)]
pub fn leave_ring_3(thread: &Thread) {
    thread.meter.charge(&thread.meter.user);
}

/// The turn of the current thread is over; says for how long it had the CPU, and the counter.
pub fn end_turn(thread: &Thread) -> (u64, u64) {
    let now = thread.meter.charge(&thread.meter.system);
    (now.wrapping_sub(thread.meter.turn.replace(now)), now)
}

/// A thread gets the CPU, at `now`.
pub fn begin_turn(thread: &Thread, now: u64) {
    thread.meter.mark.set(now);
    thread.meter.turn.set(now);
}

/// For how long the current turn of a thread has lasted at `now`.
pub fn turn(thread: &Thread, now: u64) -> u64 {
    now.wrapping_sub(thread.meter.turn.get())
}

impl Thread {
    /// What it has used.
    pub fn cpu_time(&self) -> CpuTime {
        let meter = &self.meter;
        if core::ptr::eq(self, current_thread()) {
            meter.charge(&meter.system);
        } else if self.state() == State::Running && clock::counter() >= meter.mark.get() {
            // On another CPU, whose counter may be ahead of this one's: in ring 3, or on its way.
            meter.charge(&meter.user);
        }
        meter.used()
    }
}
