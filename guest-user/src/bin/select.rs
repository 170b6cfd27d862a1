//! `select` waits for several files by sets of descriptors, and lets signals in (R22).

#![no_std]
#![no_main]

use guest_user::signal::{self, Context, Info, SIGALRM};
use guest_user::{Arguments, file, println, process};

guest_user::entry!(main);

fn main(_: Arguments) -> u8 {
    let (first, first_end) = file::pipe(0).expect("a pipe");
    let (second, second_end) = file::pipe(0).expect("a pipe");
    let names = [
        (first, "first"),
        (first_end, "first end"),
        (second, "second"),
    ];
    let both = 1 << first | 1 << second;
    let show = |what: &str, mut read: u64, mut write: u64, timeout_ms, blocked| {
        let found = file::select(&mut read, &mut write, timeout_ms, blocked);
        println!("{what}: {found:?}");
        for (fd, name) in names {
            if found.is_ok() && (read | write) & 1 << fd != 0 {
                println!("  {name}");
            }
        }
    };
    show("nothing yet", both, 0, Some(0), None);
    show("room", both, 1 << first_end, None, None);
    show("time is up", both, 0, Some(20), None);
    let child = process::spawn(|| {
        process::sleep_ms(10);
        u8::from(file::write_all(second_end, b"x").is_err())
    });
    show("a child wrote", both, 0, None, None);
    process::wait(child.expect("a child")).expect("it ended");
    file::close(first_end).expect("it was open");
    show("no writer", both, 0, None, None);
    show("not open", 1 << first_end, 0, None, None);

    signal::handle(SIGALRM, nothing, signal::SA_RESTART, 0).expect("it can be handled");
    signal::block(signal::set_of(SIGALRM)).expect("it can be blocked");
    signal::set_alarm(10_000, 0).expect("there is an alarm");
    show("signal let in", 0, 0, None, Some(0));
    let blocked = signal::block(0) == Ok(signal::set_of(SIGALRM));
    println!("blocked again: {blocked}");
    0
}

extern "C" fn nothing(_: u32, _: &Info, _: &mut Context) {}
