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

/// Keeps the CPU busy for `ns` nanoseconds: after a sample of 2 ms, in which it learns
/// how fast the counter counts, without a system call.
pub fn spin(ns: u64) {
    const SAMPLE_NS: u64 = 2_000_000;
    // The kernel reads its clock somewhere inside the call and the counter is read after
    // it, so only differences between two such pairs mean anything. The first call is
    // slower than others wherever code is translated or paged in.
    let pair = || (now_ns(), counter());
    pair();
    let (start_ns, start) = pair();
    let (end_ns, end) = loop {
        let (end_ns, end) = pair();
        if end_ns - start_ns >= SAMPLE_NS {
            break (end_ns, end);
        }
    };
    let counts = u128::from(ns) * u128::from(end - start) / u128::from(end_ns - start_ns);
    while u128::from(counter() - start) < counts {
        core::hint::spin_loop();
    }
}
