//! Who runs, and until when.
//!
//! The timer is set to one moment at a time. While a program runs that is the next tick,
//! counted from the one before and not from when its interrupt was served, so that ticks
//! do not drift. While nothing runs it is the moment at which the sleeper wants to wake:
//! an idle machine takes no ticks.

use core::cell::Cell;

use super::process::{State, current};
use crate::arch::trap::{vector, wait_for_interrupt};
use crate::arch::{SingleCpu, clock, local_apic};
use crate::shared;

#[derive(Clone, Copy)]
struct Tick {
    /// Time-stamp counts from tick to tick.
    period: u64,
    /// Time-stamp counter at the next one.
    next: u64,
}

static TICK: SingleCpu<Cell<Tick>> = SingleCpu::new(Cell::new(Tick { period: 0, next: 0 }));

/// Starts the tick.
pub fn start(tick_ns: u64) {
    let period = clock::counts(tick_ns);
    TICK.set(Tick { period, next: 0 });
    restart_tick();
}

/// Gives whoever runs a whole tick from now.
fn restart_tick() {
    let tick = TICK.get();
    let next = clock::counter().saturating_add(tick.period);
    TICK.set(Tick { next, ..tick });
    local_apic::set_deadline(next);
}

/// Serves an interrupt that came while a program ran.
pub fn interrupt(number: u8) {
    acknowledge(number);
    if number == vector::TIMER {
        let now = clock::counter();
        let tick = TICK.get();
        if now >= tick.next {
            shared::count(&shared::PAGE.timer_ticks);
            current().account(|used| used.ticks += 1);
            let next = next_tick(tick.next, tick.period, now);
            TICK.set(Tick { next, ..tick });
        }
        local_apic::set_deadline(TICK.get().next);
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

fn acknowledge(number: u8) {
    if number != vector::SPURIOUS {
        local_apic::end_of_interrupt();
    }
}

/// Blocks the current process until `wake_ns` nanoseconds after boot.
pub fn sleep_until(wake_ns: u64) {
    let process = current();
    let wake = clock::counter_at(wake_ns);
    process.set_state(State::Blocked);
    while clock::counter() < wake {
        local_apic::set_deadline(wake);
        acknowledge(wait_for_interrupt());
    }
    process.set_state(State::Running);
    restart_tick();
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
