//! Spins for so many milliseconds (100) without a system call; the tick interrupts it (R12).
//!
//! With a second argument it says as well for how long it stood still meanwhile.

#![no_std]
#![no_main]

use guest_user::{Arguments, println, time};

guest_user::entry!(main);

const NS_PER_MS: u64 = 1_000_000;

fn main(arguments: Arguments) -> u8 {
    let milliseconds = arguments.number_or(100);
    let stalled_ns = time::spin(milliseconds * NS_PER_MS);
    println!("spun for {milliseconds} ms");
    if arguments.iter().nth(2).is_some() {
        println!("stood still for {} ms", stalled_ns / NS_PER_MS);
    }
    0
}
