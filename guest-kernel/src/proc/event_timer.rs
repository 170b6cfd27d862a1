//! The deadline of the layer above, whose timers are files: when the first of them is due.

use core::cell::Cell;

use arch::clock;
use single_cpu::SingleCpu;

use crate::proc::{resources, tick};

/// As a count of the time-stamp counter.
static DEADLINE: SingleCpu<Cell<Option<u64>>> = SingleCpu::new(Cell::new(None));

/// Sets it, in nanoseconds after boot.
pub fn set(deadline_ns: Option<u64>) {
    let deadline = deadline_ns.map(clock::counter_at);
    if DEADLINE.replace(deadline) != deadline
        && let Some(deadline) = deadline
    {
        tick::await_no_later_than(deadline);
    }
}

/// When it is.
pub fn deadline() -> Option<u64> {
    DEADLINE.get()
}

/// Tells the layer above, if something is due at `now`.
pub fn ring(now: u64) {
    if DEADLINE.get().is_some_and(|deadline| deadline <= now) {
        resources::keeper().timers_are_due();
    }
}
