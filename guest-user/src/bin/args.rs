//! Prints its arguments and environment, one a line (R16).

#![no_std]
#![no_main]

use guest_user::{Arguments, println};

guest_user::entry!(main);

fn main(arguments: Arguments) -> u8 {
    for (number, argument) in arguments.iter().enumerate() {
        println!("argument {number}: {argument:?}");
    }
    for string in arguments.environment() {
        println!("environment: {string:?}");
    }
    0
}
