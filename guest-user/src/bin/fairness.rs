//! So many processes (4) spin for one second; the shares of CPU time differ by 5 % at most (R12, R17).

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use guest_user::memory::{self, PAGE};
use guest_user::{Arguments, println, process, time};

guest_user::entry!(main);

const RUN_NS: u64 = 1_000_000_000;
/// Time to start all processes before they spin.
const START_MS: u64 = 50;
const MAX: usize = 64;
const TOLERATED_PERCENT: u64 = 5;

fn main(arguments: Arguments) -> u8 {
    let count = (arguments.number_or(4) as usize).clamp(1, MAX);
    let shared = memory::map_shared(PAGE)
        .expect("a page")
        .cast::<AtomicU64>();
    // SAFETY: a page of zeros, which are good atomics, and it is never unmapped.
    let times = unsafe { core::slice::from_raw_parts(shared, count) };
    if spin_together(times) > 0 {
        for (number, time) in times.iter().enumerate() {
            println!("process {number}: {} ns", time.load(Relaxed));
        }
        return 1;
    }
    println!("{count} processes within {TOLERATED_PERCENT} % of an equal share");
    0
}

/// Lets one process for each of `times` spin; says how many had no equal share.
fn spin_together(times: &[AtomicU64]) -> usize {
    let start = time::now_ns() + START_MS * 1_000_000;
    for time in times {
        process::spawn(|| {
            process::sleep_ms(start.saturating_sub(time::now_ns()) / 1_000_000);
            let before = process::cpu_time_ns();
            while time::now_ns() < start + RUN_NS {
                core::hint::spin_loop();
            }
            time.store(process::cpu_time_ns() - before, Relaxed);
            0
        })
        .expect("a child");
    }
    while process::wait_any().is_ok() {}
    let total: u64 = times.iter().map(|time| time.load(Relaxed)).sum();
    let fair = total / times.len() as u64;
    let is_unfair = |time: &&AtomicU64| {
        let difference = time.load(Relaxed).abs_diff(fair);
        difference * 100 > fair * TOLERATED_PERCENT
    };
    times.iter().filter(is_unfair).count()
}
