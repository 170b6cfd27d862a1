//! CPU time of threads, by the time-stamp counter.
//!
//! What the current thread uses is gathered here and written to its descriptor when the
//! CPU goes to another, since this is done at every entry to the kernel and every exit.

use core::cell::Cell;

use arch::{SingleCpu, clock};

use crate::proc::thread::{CpuTime, Thread};

struct Meter {
    /// The counter up to which all time has been accounted.
    mark: Cell<u64>,
    /// The counter as the current turn began.
    turn: Cell<u64>,
    /// What the current thread has used since then.
    user: Cell<u64>,
    system: Cell<u64>,
}

static METER: SingleCpu<Meter> = SingleCpu::new(Meter {
    mark: Cell::new(0),
    turn: Cell::new(0),
    user: Cell::new(0),
    system: Cell::new(0),
});

impl Meter {
    /// Gives the time since the mark to `account`; returns the counter.
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
}

/// The kernel is about to run the current thread's program.
pub fn enter_ring_3() {
    METER.charge(&METER.system);
}

/// The program has come back.
pub fn leave_ring_3() {
    METER.charge(&METER.user);
}

/// The current thread's turn is over; says for how long it had the CPU.
pub fn end_turn() -> u64 {
    let now = METER.charge(&METER.system);
    now.wrapping_sub(METER.turn.replace(now))
}

/// The CPU goes from `last` to another thread.
pub fn switch(last: &Thread) {
    last.cpu_time.set(last.cpu_time.get().plus(take()));
}

/// What `thread`, which is the current one, has used in all.
pub fn used_by_current(thread: &Thread) -> CpuTime {
    METER.charge(&METER.system);
    let used = thread.cpu_time.get().plus(take());
    thread.cpu_time.set(used);
    used
}

fn take() -> CpuTime {
    CpuTime {
        user: METER.user.take(),
        system: METER.system.take(),
    }
}

/// Ends idle time, which began when the last turn was over.
pub fn stop_idling() {
    let now = clock::counter();
    METER.mark.set(now);
    METER.turn.set(now);
}

/// For how long the current turn has lasted at `now`.
pub fn turn(now: u64) -> u64 {
    now.wrapping_sub(METER.turn.get())
}
