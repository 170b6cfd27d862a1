//! So many processes (4) spin for so many seconds (1); the shares of CPU time differ by 5 % at
//! most (R12, R17).
//!
//! While the host lets the guest stand still, that one process has the guest's CPU whose
//! turn it is. The kernel takes that off its later turns, so all of a process's CPU time is
//! counted, from its creation on: a stall while it got ready is paid back while it spins.
//! But what is measured may end before a stall is paid back, and a long one is forgiven in
//! part. A process sees it as a leap of its own CPU time, so the longest one is allowed
//! for, at both ends, and named if the shares need it.

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use guest_user::memory::{self, PAGE};
use guest_user::{Arguments, file, println, process, time};

guest_user::entry!(main);

const NS_PER_S: u64 = 1_000_000_000;
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

/// Lets one process for each of `shares` spin for so long, from the moment that all are
/// there.
fn spin_together(shares: &[Share], run_ns: u64) {
    let (starts, start) = file::pipe(0).expect("a pipe");
    for share in shares {
        process::spawn(|| {
            let mut end = [0; 8];
            assert_eq!(file::read_full(starts, &mut end), Ok(end.len()));
            let end_ns = u64::from_le_bytes(end);
            let (mut last, mut stall) = (0, 0);
            while time::now_ns() < end_ns {
                let now = process::cpu_time_ns();
                stall = stall.max(now - last);
                last = now;
            }
            share.used_ns.store(last, Relaxed);
            share.stall_ns.store(stall, Relaxed);
            0
        })
        .expect("a child");
    }
    let end_ns = time::now_ns() + run_ns;
    let ends = [end_ns.to_le_bytes(); MAX];
    file::write_all(start, ends[..shares.len()].as_flattened()).expect("they all listen");
    while process::wait_any().is_ok() {}
}
