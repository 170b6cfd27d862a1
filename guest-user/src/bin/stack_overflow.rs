//! Recurses without end until the stack overflows (R3, R20).

#![no_std]
#![no_main]

use core::hint::black_box;

use guest_user::{Arguments, println};

guest_user::entry!(main);

/// Bytes of stack that one level takes at least.
const FRAME: usize = 256;

fn main(_: Arguments) -> u8 {
    println!("recursing");
    println!("came back from level {}", descend(0));
    1
}

fn descend(level: u64) -> u64 {
    let frame = black_box([level; FRAME / size_of::<u64>()]);
    if black_box(false) {
        return level;
    }
    descend(level + 1) + frame[0]
}
