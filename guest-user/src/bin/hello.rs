//! Greets from ring 3 (R4).

#![no_std]
#![no_main]

use guest_user::{Arguments, cpu, println};

guest_user::entry!(main);

fn main(_: Arguments) -> u8 {
    println!("Hello from ring {}!", cpu::privilege_level());
    0
}
