//! Sleeps for so many milliseconds (50) while the CPU idles (R12).

#![no_std]
#![no_main]

use guest_user::syscall::{Entry, nanosleep};
use guest_user::{Arguments, println, time};

guest_user::entry!(main);

fn main(arguments: Arguments) -> u8 {
    let milliseconds = arguments.number_or(50);
    let start = time::now_ns();
    let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
    nanosleep(Entry::Syscall, seconds as i64, rest as i64 * 1_000_000).expect("a sensible time");
    let elapsed = time::now_ns() - start;
    assert!(
        elapsed >= milliseconds * 1_000_000,
        "woke after {elapsed} ns"
    );
    println!("slept for {milliseconds} ms");
    0
}
