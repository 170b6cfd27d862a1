//! So many processes (4) spin for so many seconds (1); the shares of CPU time differ by 5 % at most (R12, R17).
//!
//! While the host lets the guest stand still, that one process has the guest's CPU whose
//! turn it is. The kernel takes that off its later turns, but what is measured may start
//! or end before they come. A process sees such a stall as a leap of its own CPU time, so
//! the longest one is allowed for, at both ends, and named if the shares need it.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use guest_user::memory::{self, PAGE};
use guest_user::{Arguments, println, process, time};

guest_user::entry!(main);

const NS_PER_S: u64 = 1_000_000_000;
/// Time to start all processes before they spin.
const START_MS: u64 = 50;
const NS_PER_MS: u64 = 1_000_000;
const MAX: usize = 64;
const TOLERATED_PERCENT: u64 = 5;

/// What a process tells of its time.
struct Share {
    /// CPU time that it used.
    used_ns: AtomicU64,
    /// The longest time that it had the CPU and did nothing.
    stall_ns: AtomicU64,
}

fn main(arguments: Arguments) -> u8 {
    let count = (arguments.number_or(4) as usize).clamp(1, MAX);
    let shared = memory::map_shared(PAGE).expect("a page").cast::<Share>();
    // SAFETY: a page of zeros, which are good shares, and it is never unmapped.
    let shares = unsafe { core::slice::from_raw_parts(shared, count) };
    let seconds = arguments.iter().nth(2).and_then(|word| word.parse().ok());
    spin_together(shares, seconds.unwrap_or(1) * NS_PER_S);
    let used = shares.iter().map(|share| share.used_ns.load(Relaxed));
    let fair = used.clone().sum::<u64>() / count as u64;
    let tolerated = fair * TOLERATED_PERCENT / 100;
    let worst = used.map(|used| used.abs_diff(fair)).max().unwrap_or(0);
    let stalls = shares.iter().map(|share| share.stall_ns.load(Relaxed));
    let stall = stalls.max().unwrap_or(0);
    if worst <= tolerated {
        println!("{count} processes within {TOLERATED_PERCENT} % of an equal share");
        return 0;
    }
    let stall_ms = stall / NS_PER_MS;
    if worst <= tolerated + 2 * stall {
        println!(
            "{count} processes within {TOLERATED_PERCENT} % of an equal share \
             and stalls of {stall_ms} ms"
        );
        return 0;
    }
    for (number, share) in shares.iter().enumerate() {
        println!("process {number}: {} ns", share.used_ns.load(Relaxed));
    }
    println!("longest stall: {stall_ms} ms");
    1
}

/// Lets one process for each of `shares` spin for so long.
fn spin_together(shares: &[Share], run_ns: u64) {
    let start = time::now_ns() + START_MS * NS_PER_MS;
    for share in shares {
        process::spawn(|| {
            process::sleep_ms(start.saturating_sub(time::now_ns()) / NS_PER_MS);
            let first = process::cpu_time_ns();
            let (mut last, mut stall) = (first, 0);
            while time::now_ns() < start + run_ns {
                let now = process::cpu_time_ns();
                stall = stall.max(now - last);
                last = now;
            }
            share.used_ns.store(last - first, Relaxed);
            share.stall_ns.store(stall, Relaxed);
            0
        })
        .expect("a child");
    }
    while process::wait_any().is_ok() {}
}
