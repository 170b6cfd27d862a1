//! The stack grows by itself to its limit; past it, that process alone dies (R20).

#![no_std]
#![no_main]

use core::hint::black_box;

use guest_user::{Arguments, println, process};

guest_user::entry!(main);

const FRAME: usize = 4096;
const DEEP: u32 = 1000;

fn main(_: Arguments) -> u8 {
    println!("{DEEP} frames of {FRAME} bytes: {}", deepen(DEEP));
    let child = process::spawn(|| deepen(u32::MAX) as u8);
    println!(
        "without end: {}",
        process::wait(child.expect("a child")).expect("it ended")
    );
    println!("the parent goes on");
    0
}

#[inline(never)]
fn deepen(depth: u32) -> u32 {
    let frame = black_box([depth as u8; FRAME]);
    match depth {
        0 => 0,
        _ => deepen(black_box(depth - 1)) + 1 + u32::from(frame[FRAME - 1] != depth as u8),
    }
}
