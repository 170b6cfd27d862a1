//! Divides by zero (R8).

#![no_std]
#![no_main]

use core::arch::asm;

use guest_user::{Arguments, println};

guest_user::entry!(main);

fn main(_: Arguments) -> u8 {
    println!("dividing by zero");
    // SAFETY: it traps.
    unsafe { asm!("div {0:e}", in(reg) 0, inout("eax") 1 => _, inout("edx") 0 => _) };
    println!("divided by zero");
    1
}
