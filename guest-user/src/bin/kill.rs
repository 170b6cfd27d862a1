//! Sends SIGTERM to the processes with these numbers (R16).

#![no_std]
#![no_main]

use guest_user::process::{self, SIGTERM};
use guest_user::{Arguments, io};

guest_user::entry!(main);

fn main(arguments: Arguments) -> u8 {
    let mut status = 0;
    for argument in arguments.iter().skip(1) {
        let sent = argument.parse().ok().map(|pid| process::kill(pid, SIGTERM));
        if sent != Some(Ok(())) {
            io::print(io::STDERR, format_args!("kill: {argument}: {sent:?}\n"));
            status = 1;
        }
    }
    status
}
