//! Clocks.

use core::arch::x86_64::_rdtsc;

use linux_raw_sys::general::CLOCK_MONOTONIC;

use crate::syscall::{self, Entry};

/// Nanoseconds on the monotonic clock, by a system call.
pub fn now_ns() -> u64 {
    syscall::clock_gettime(Entry::Syscall, CLOCK_MONOTONIC).expect("there is such a clock")
}

/// The time-stamp counter, without a system call.
pub fn counter() -> u64 {
    // SAFETY: every x86-64 CPU has it and the kernel lets programs read it.
    unsafe { _rdtsc() }
}

/// Keeps the CPU busy for `ns` nanoseconds: after a sample of 2 ms, in which it measures
/// the counter's frequency, without a system call.
///
/// Returns how many of them it did not run, since the host or another process had the CPU:
/// the sum of leaps of the counter by more than a millisecond.
pub fn spin(ns: u64) -> u64 {
    const SAMPLE_NS: u64 = 2_000_000;
    const LEAP_NS: u64 = 1_000_000;
    let start = both();
    let end = loop {
        let end = both();
        if end.ns - start.ns >= SAMPLE_NS {
            break end;
        }
    };
    let (sample_counts, sample_ns) = (end.counter - start.counter, end.ns - start.ns);
    let scaled = |value: u64, to: u64, from: u64| {
        (u128::from(value) * u128::from(to) / u128::from(from)) as u64
    };
    let counts = scaled(ns, sample_counts, sample_ns);
    let leap = scaled(LEAP_NS, sample_counts, sample_ns);
    let (mut last, mut stalled) = (end.counter, 0);
    while last - start.counter < counts {
        core::hint::spin_loop();
        let now = counter();
        if now - last > leap {
            stalled += now - last;
        }
        last = now;
    }
    scaled(stalled, sample_ns, sample_counts)
}

/// The same moment by both clocks.
struct Moment {
    ns: u64,
    counter: u64,
}

/// Reads both clocks. The kernel reads its own during a call, between two reads of the
/// counter; of several tries the one with the closest reads counts, since in others the
/// program may have been interrupted, or its first instructions paged in.
fn both() -> Moment {
    const TRIES: usize = 8;
    let attempt = || {
        let before = counter();
        let ns = now_ns();
        let width = counter() - before;
        (
            width,
            Moment {
                ns,
                counter: before + width / 2,
            },
        )
    };
    let attempts = core::iter::repeat_with(attempt).take(TRIES);
    let best = attempts.min_by_key(|(width, _)| *width);
    best.expect("there are some").1
}
