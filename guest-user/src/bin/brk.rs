//! The heap grows and shrinks by `brk`; what it gives back is gone (R20).

#![no_std]
#![no_main]

use guest_user::memory::{self, PAGE};
use guest_user::{Arguments, println, process};

guest_user::entry!(main);

const GROWTH: u64 = 64 * PAGE as u64;

fn main(_: Arguments) -> u8 {
    // SAFETY: asks only.
    let start = unsafe { memory::brk(0) };
    // SAFETY: the heap only grows.
    let end = unsafe { memory::brk(start + GROWTH) };
    println!("grew by {} pages", (end - start) / PAGE as u64);
    let bytes = start as *mut u8;
    for offset in (0..GROWTH as usize).step_by(PAGE) {
        // SAFETY: inside the heap, which nothing borrows.
        unsafe {
            assert_eq!(bytes.add(offset).read_volatile(), 0, "a new page is zeroed");
            bytes.add(offset).write_volatile(1);
        }
    }
    println!("zeroed and writable");
    // SAFETY: nothing uses the heap.
    let end = unsafe { memory::brk(start) };
    println!("shrank back: {}", end == start);
    let child = process::spawn(|| {
        // SAFETY: not mapped: this child dies.
        unsafe { bytes.add(PAGE).read_volatile() }
    });
    println!(
        "read past the end: {}",
        process::wait(child.expect("a child")).expect("it ended")
    );
    // SAFETY: nothing uses the heap.
    let end = unsafe { memory::brk(1 << 46) };
    println!("too much is refused: {}", end == start);
    0
}
