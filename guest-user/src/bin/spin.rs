//! Spins for so many milliseconds (100) without a system call; the tick interrupts it (R12).

#![no_std]
#![no_main]

use guest_user::{Arguments, println, time};

guest_user::entry!(main);

fn main(arguments: Arguments) -> u8 {
    let milliseconds = arguments.number_or(100);
    time::spin(milliseconds * 1_000_000);
    println!("spun for {milliseconds} ms");
    0
}
