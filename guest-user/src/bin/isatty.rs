//! Says of standard input, output and error whether each is a terminal (R22).

#![no_std]
#![no_main]

use guest_user::file::STDIN;
use guest_user::io::{STDERR, STDOUT};
use guest_user::jobs::is_terminal;
use guest_user::{Arguments, println};

guest_user::entry!(main);

fn main(_: Arguments) -> u8 {
    for fd in [STDIN, STDOUT, STDERR] {
        println!("{fd}: {}", is_terminal(fd));
    }
    0
}
