//! Gives up the CPU so many times (10) of its own free will (R13).

#![no_std]
#![no_main]

use guest_user::syscall::{Entry, sched_yield};
use guest_user::{Arguments, println};

guest_user::entry!(main);

fn main(arguments: Arguments) -> u8 {
    let times = arguments.number_or(10);
    for _ in 0..times {
        sched_yield(Entry::Syscall).expect("yielding cannot fail");
    }
    println!("yielded {times} times");
    0
}
