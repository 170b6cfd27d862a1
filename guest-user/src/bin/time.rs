//! Reads the clocks: the monotonic one never goes back, the real one counts from 1970 (R10).
//!
//! With any argument it prints the real time and nothing else, in nanoseconds.

#![no_std]
#![no_main]

use guest_user::syscall::{Entry, clock_gettime, nanosleep};
use guest_user::{Arguments, println, time};
use linux_raw_sys::general::{CLOCK_MONOTONIC, CLOCK_REALTIME};

guest_user::entry!(main);

const READS: u32 = 1000;
const NO_CLOCK: u32 = 999;
/// 2020-01-01, in nanoseconds since 1970.
const YEAR_2020: u64 = 1_577_836_800 * 1_000_000_000;

fn main(arguments: Arguments) -> u8 {
    let read = |clock| clock_gettime(Entry::Syscall, clock).expect("there is such a clock");
    if arguments.iter().count() > 1 {
        println!("{}", read(CLOCK_REALTIME));
        return 0;
    }
    let mut last = 0;
    for _ in 0..READS {
        let now = time::now_ns();
        assert!(now >= last, "the clock went from {last} back to {now}");
        last = now;
    }
    println!("monotonic clock read {READS} times: never went back");
    let monotonic = read(CLOCK_MONOTONIC);
    let is_set = if read(CLOCK_REALTIME) - monotonic >= YEAR_2020 {
        "is"
    } else {
        "is not"
    };
    println!("real clock {is_set} set");
    println!(
        "clock {NO_CLOCK}: {:?}",
        clock_gettime(Entry::Syscall, NO_CLOCK)
    );
    println!("sleep of -1 ns: {:?}", nanosleep(Entry::Syscall, 0, -1));
    println!(
        "sleep of 1000000000 ns in one field: {:?}",
        nanosleep(Entry::Syscall, 0, 1_000_000_000)
    );
    0
}
