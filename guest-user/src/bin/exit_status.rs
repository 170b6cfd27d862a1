//! Exits with the status that its argument says, 42 without one (R16).

#![no_std]
#![no_main]

use guest_user::Arguments;

guest_user::entry!(main);

fn main(arguments: Arguments) -> u8 {
    // As everywhere, the low byte counts.
    arguments.number_or(42) as u8
}
