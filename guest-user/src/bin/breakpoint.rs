//! Executes `int3`, the one exception that a program may raise on purpose (R9).

#![no_std]
#![no_main]

use core::arch::asm;

use guest_user::{Arguments, println};

guest_user::entry!(main);

fn main(_: Arguments) -> u8 {
    println!("executing int3");
    // SAFETY: it traps.
    unsafe { asm!("int3") };
    println!("int3 did not trap");
    1
}
