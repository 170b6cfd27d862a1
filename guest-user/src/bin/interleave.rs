//! Two processes print "hello" and "goodbye" so many times (10) each; lines stay whole (R12, R15).

#![no_std]
#![no_main]

use guest_user::{Arguments, println, process, time};

guest_user::entry!(main);

/// Longer than a tick, so that lines of both mix.
const PAUSE_NS: u64 = 12_000_000;

fn main(arguments: Arguments) -> u8 {
    let times = arguments.number_or(10);
    let say = |word: &str| {
        for number in 1..=times {
            println!("{word} {number}");
            time::spin(PAUSE_NS);
        }
    };
    let child = process::spawn(|| {
        say("goodbye");
        0
    });
    say("hello");
    process::wait(child.expect("a child")).expect("it ended");
    0
}
