//! Tries to stop init, which is this program, by all means: it goes on (R16, R23).

#![no_std]
#![no_main]

use guest_user::{Arguments, println, process, signal};

guest_user::entry!(main);

fn main(_: Arguments) -> u8 {
    let init = process::id();
    process::kill(init, signal::SIGSTOP).expect("it is there");
    let child = process::spawn(|| {
        let sent = process::kill(init, signal::SIGSTOP).and(process::kill(init, process::SIGKILL));
        u8::from(sent.is_err())
    });
    let ended = child.and_then(process::wait);
    assert_eq!(ended, Ok(process::Status::Exited(0)));
    println!("not stopped");
    0
}
