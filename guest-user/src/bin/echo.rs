//! Prints its arguments in one line (R22).

#![no_std]
#![no_main]

use guest_user::{Arguments, print, println};

guest_user::entry!(main);

fn main(arguments: Arguments) -> u8 {
    for (number, argument) in arguments.iter().skip(1).enumerate() {
        let space = if number == 0 { "" } else { " " };
        print!("{space}{argument}");
    }
    println!();
    0
}
