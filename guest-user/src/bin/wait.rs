//! `wait4`: status, WNOHANG, any child, no child, and orphans that go to init (R16).

#![no_std]
#![no_main]

use guest_user::process::{self, SIGKILL};
use guest_user::{Arguments, file, println};

guest_user::entry!(main);

fn main(_: Arguments) -> u8 {
    println!("no child: {:?}", process::wait_any().err());
    statuses();
    no_hang();
    any();
    orphan();
    0
}

fn statuses() {
    for status in [0, 1, 255] {
        let child = process::spawn(|| status).expect("a child");
        println!("{}", process::wait(child).expect("it ended"));
        println!("waited for twice: {:?}", process::wait(child).err());
    }
}

fn no_hang() {
    let (read_end, write_end) = file::pipe(0).expect("a pipe");
    let child = process::spawn(|| {
        file::close(write_end).expect("it was open");
        file::read(read_end, &mut [0]).expect("the end");
        4
    })
    .expect("a child");
    println!("running: {:?}", process::try_wait(child).expect("a child"));
    file::close(write_end).expect("it was open");
    println!("let go: {}", process::wait(child).expect("it ended"));
    file::close(read_end).expect("it was open");
    let child = process::spawn(|| {
        loop {
            process::yield_now();
        }
    });
    let child = child.expect("a child");
    process::kill(child, SIGKILL).expect("it is there");
    println!("killed: {}", process::wait(child).expect("it ended"));
}

fn any() {
    const CHILDREN: u8 = 5;
    for status in 1..=CHILDREN {
        process::spawn(|| status).expect("a child");
    }
    let mut sum = 0_u32;
    let mut ended = 0;
    while let Ok((_, process::Status::Exited(status))) = process::wait_any() {
        sum += u32::from(status);
        ended += 1;
    }
    println!("{ended} children, sum of their statuses {sum}");
}

/// A child's child learns that its parent has become another.
fn orphan() {
    let (read_end, write_end) = file::pipe(0).expect("a pipe");
    let child = process::spawn(|| {
        let parent = process::id();
        let grandchild = process::spawn(|| {
            while process::parent_id() == parent {
                process::yield_now();
            }
            u8::from(file::write_all(write_end, b"adopted").is_err())
        });
        u8::from(grandchild.is_err())
    });
    process::wait(child.expect("a child")).expect("it ended");
    file::close(write_end).expect("it was open");
    let mut text = [0; 16];
    let count = file::read_full(read_end, &mut text).expect("readable");
    file::close(read_end).expect("it was open");
    println!("orphan: {:?}", core::str::from_utf8(&text[..count]));
    // If this process is init, the orphan is its to reap.
    while process::wait_any().is_ok() {}
}
