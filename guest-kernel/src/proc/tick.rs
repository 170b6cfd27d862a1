//! The timer's next deadline.
//!
//! The timer is set to one deadline at a time. While a program runs that is the next tick,
//! counted from the one before and not from when its interrupt was served, so that ticks do
//! not drift; or that of a sleeper who wants to wake earlier. While nothing runs it is only
//! the latter. Each CPU has its own timer, and ticks only while it runs a program.

use core::cell::Cell;
use core::sync::atomic::Ordering::Relaxed;

use abi::trace::{Kind, wanted};
use arch::shared;
use arch::trace;
use arch::{clock, local_apic, processors};
use single_cpu::SingleCpu;

/// The timer of a CPU, in counts of the time-stamp counter.
#[derive(Clone, Copy)]
struct Tick {
    /// The next tick.
    next: u64,
    /// What the timer is set to; [`NEVER`] if it is not.
    set_to: u64,
}

const NEVER: u64 = u64::MAX;

const IDLE: Tick = Tick {
    next: NEVER,
    set_to: NEVER,
};

static TICKS: SingleCpu<[Cell<Tick>; processors::MOST]> =
    SingleCpu::new([const { Cell::new(IDLE) }; processors::MOST]);

/// From tick to tick.
static PERIOD: SingleCpu<Cell<u64>> = SingleCpu::new(Cell::new(0));

/// That of this CPU.
fn own() -> &'static Cell<Tick> {
    &TICKS[processors::number()]
}

/// Starts the tick.
pub fn start(tick_ns: u64) {
    PERIOD.set(clock::counts(tick_ns));
    restart(None);
}

/// Counts from tick to tick.
pub fn period() -> u64 {
    PERIOD.get()
}

/// Gives whoever runs a whole tick from now, unless `sleeper` wants to wake before.
pub fn restart(sleeper: Option<u64>) {
    let next = clock::counter().saturating_add(period());
    own().set(Tick {
        next,
        ..own().get()
    });
    set_to(next.min(sleeper.unwrap_or(NEVER)));
}

/// Records that the timer has interrupted, and so is not set any more.
pub fn note_interrupt() {
    own().set(Tick {
        set_to: NEVER,
        ..own().get()
    });
}

/// Takes the tick that is due at `now`; says whether one was.
pub fn take(now: u64) -> bool {
    let tick = own().get();
    let is_due = now >= tick.next;
    if is_due {
        shared::count(&shared::PAGE.timer_ticks);
        if trace::wants(wanted::TICKS) {
            trace::send(Kind::Tick, &[shared::PAGE.timer_ticks.load(Relaxed)]);
        }
        let next = next_tick(tick.next, period(), now);
        own().set(Tick { next, ..tick });
    }
    is_due
}

/// Sets the timer to the next tick, or to when `sleeper` wants to wake.
pub fn await_next(sleeper: Option<u64>) {
    set_to(own().get().next.min(sleeper.unwrap_or(NEVER)));
}

/// Makes sure that the timer interrupts at `deadline` at the latest.
pub fn await_no_later_than(deadline: u64) {
    if deadline < own().get().set_to {
        set_to(deadline);
    }
}

/// Sets the timer to when `sleeper` wants to wake, and to nothing else; to nothing at all, if that
/// of another CPU is set to come first. That stays so: whoever sets his timer anew looks at all who
/// sleep.
pub fn await_only(sleeper: Option<u64>) {
    let deadline = sleeper.unwrap_or(NEVER);
    let others = TICKS.iter().enumerate().take(processors::count());
    let is_awaited = others
        .filter(|(number, _)| *number != processors::number())
        .any(|(_, tick)| tick.get().set_to <= deadline);
    set_to(if is_awaited { NEVER } else { deadline });
}

fn set_to(deadline: u64) {
    let tick = own().get();
    if tick.set_to != deadline {
        own().set(Tick {
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
