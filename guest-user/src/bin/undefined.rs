//! Executes an instruction that is none (R8).

#![no_std]
#![no_main]

use core::arch::asm;

use guest_user::{Arguments, println};

guest_user::entry!(main);

fn main(_: Arguments) -> u8 {
    println!("executing ud2");
    // SAFETY: it traps.
    unsafe { asm!("ud2") };
    println!("ud2 did not trap");
    1
}
