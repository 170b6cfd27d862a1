//! Prints the size of the terminal, and again each time that it is another: as often as it is
//! told (1).

#![no_std]
#![no_main]

use guest_user::io::STDOUT;
use guest_user::signal::{self, Context, Info, SIGWINCH};
use guest_user::{Arguments, println, terminal};

guest_user::entry!(main);

fn main(arguments: Arguments) -> u8 {
    signal::handle(SIGWINCH, on_change, 0, 0).expect("it can be handled");
    // So that none comes between a look and the wait.
    signal::block(signal::set_of(SIGWINCH)).expect("it can be blocked");
    let times = arguments.number_or(1);
    for time in 1..=times {
        let (columns, rows) = terminal::window_size(STDOUT).expect("it is a terminal");
        println!("{columns} x {rows}");
        if time < times {
            let _ = signal::suspend(0);
        }
    }
    0
}

extern "C" fn on_change(_: u32, _: &Info, _: &mut Context) {}
