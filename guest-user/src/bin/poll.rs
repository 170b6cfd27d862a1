//! `poll` waits for several files at once, for so long or not at all (R22).

#![no_std]
#![no_main]

use guest_user::file::{self, POLLHUP, POLLIN, POLLNVAL, POLLOUT, PollFd};
use guest_user::{Arguments, println, process, time};

guest_user::entry!(main);

const TIMEOUT_MS: i32 = 30;
const NOT_OPEN: u32 = 77;

fn main(_: Arguments) -> u8 {
    let (first, first_end) = file::pipe(0).expect("a pipe");
    let (second, second_end) = file::pipe(0).expect("a pipe");
    show("nothing yet", &[(first, POLLIN), (second, POLLIN)], 0);
    show("room", &[(first_end, POLLOUT), (second, POLLIN)], -1);
    let start = time::now_ns();
    show("time is up", &[(first, POLLIN)], TIMEOUT_MS);
    println!(
        "waited: {}",
        time::now_ns() - start >= TIMEOUT_MS as u64 * 1_000_000
    );
    let child = process::spawn(|| {
        process::sleep_ms(10);
        u8::from(file::write_all(second_end, b"x").is_err())
    });
    show("a child wrote", &[(first, POLLIN), (second, POLLIN)], -1);
    process::wait(child.expect("a child")).expect("it ended");
    file::close(first_end).expect("it was open");
    show("no writer", &[(first, POLLIN)], -1);
    show("not open", &[(NOT_OPEN, POLLIN)], -1);
    0
}

fn show(what: &str, wanted: &[(file::Fd, u32)], timeout_ms: i32) {
    let mut files = [const {
        PollFd {
            fd: -1,
            events: 0,
            revents: 0,
        }
    }; 2];
    for (file, (fd, events)) in files.iter_mut().zip(wanted) {
        (file.fd, file.events) = (*fd as i32, *events as i16);
    }
    println!(
        "{what}: {:?}",
        file::poll(&mut files[..wanted.len()], timeout_ms)
    );
    for (number, file) in files.iter().enumerate() {
        for (flag, name) in [
            (POLLIN, "POLLIN"),
            (POLLOUT, "POLLOUT"),
            (POLLHUP, "POLLHUP"),
            (POLLNVAL, "POLLNVAL"),
        ] {
            if file.revents & flag as i16 != 0 {
                println!("  file {number}: {name}");
            }
        }
    }
}
