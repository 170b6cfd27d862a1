//! The timer's next deadline.
//!
//! The timer is set to one deadline at a time. While a program runs that is the next tick,
//! counted from the one before and not from when its interrupt was served, so that ticks do
//! not drift; or that of a sleeper who wants to wake earlier. While nothing runs it is only
//! the latter.

use core::cell::Cell;
use core::sync::atomic::Ordering::Relaxed;

use abi::trace::{Kind, wanted};
use arch::shared;
use arch::trace;
use arch::{SingleCpu, clock, local_apic};

/// In counts of the time-stamp counter.
#[derive(Clone, Copy)]
struct Tick {
    /// From tick to tick.
    period: u64,
    /// The next one.
    next: u64,
    /// What the timer is set to; [`NEVER`] if it is not.
    set_to: u64,
}

const NEVER: u64 = u64::MAX;

static TICK: SingleCpu<Cell<Tick>> = SingleCpu::new(Cell::new(Tick {
    period: 0,
    next: NEVER,
    set_to: NEVER,
}));

/// Starts the tick.
pub fn start(tick_ns: u64) {
    let period = clock::counts(tick_ns);
    TICK.set(Tick {
        period,
        ..TICK.get()
    });
    restart(None);
}

/// Counts from tick to tick.
pub fn period() -> u64 {
    TICK.get().period
}

/// Gives whoever runs a whole tick from now, unless `sleeper` wants to wake before.
pub fn restart(sleeper: Option<u64>) {
    let tick = TICK.get();
    let next = clock::counter().saturating_add(tick.period);
    TICK.set(Tick { next, ..tick });
    set_to(next.min(sleeper.unwrap_or(NEVER)));
}

/// Records that the timer has interrupted, and so is not set any more.
pub fn note_interrupt() {
    TICK.set(Tick {
        set_to: NEVER,
        ..TICK.get()
    });
}

/// Takes the tick that is due at `now`; says whether one was.
pub fn take(now: u64) -> bool {
    let tick = TICK.get();
    let is_due = now >= tick.next;
    if is_due {
        shared::count(&shared::PAGE.timer_ticks);
        if trace::wants(wanted::TICKS) {
            trace::send(Kind::Tick, &[shared::PAGE.timer_ticks.load(Relaxed)]);
        }
        let next = next_tick(tick.next, tick.period, now);
        TICK.set(Tick { next, ..tick });
    }
    is_due
}

/// Sets the timer to the next tick, or to when `sleeper` wants to wake.
pub fn await_next(sleeper: Option<u64>) {
    set_to(TICK.get().next.min(sleeper.unwrap_or(NEVER)));
}

/// Makes sure that the timer interrupts at `deadline` at the latest.
pub fn await_no_later_than(deadline: u64) {
    if deadline < TICK.get().set_to {
        set_to(deadline);
    }
}

/// Sets the timer to when `sleeper` wants to wake, and to nothing else.
pub fn await_only(sleeper: Option<u64>) {
    set_to(sleeper.unwrap_or(NEVER));
}

fn set_to(deadline: u64) {
    let tick = TICK.get();
    if tick.set_to != deadline {
        TICK.set(Tick {
            set_to: deadline,
            ..tick
        });
        match deadline {
            NEVER => local_apic::clear_deadline(),
            deadline => local_apic::set_deadline(deadline),
        }
    }
}

/// The first multiple of `period` after `last` that lies after `now`: ticks that were
/// missed are not made up for.
fn next_tick(last: u64, period: u64, now: u64) -> u64 {
    let next = last.saturating_add(period);
    if next > now {
        return next;
    }
    now - (now - last) % period.max(1) + period
}

#[cfg(test)]
mod tests {
    use super::next_tick;

    #[test]
    fn ticks_keep_their_grid() {
        assert_eq!(next_tick(100, 10, 101), 110);
        assert_eq!(next_tick(100, 10, 109), 110);
        assert_eq!(next_tick(100, 10, 110), 120);
        assert_eq!(next_tick(100, 10, 135), 140);
    }
}
