//! Panics: a message, and status 101 (R16).

#![no_std]
#![no_main]

use guest_user::Arguments;

guest_user::entry!(main);

fn main(_: Arguments) -> u8 {
    panic!("on purpose")
}
