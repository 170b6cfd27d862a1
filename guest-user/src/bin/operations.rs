//! Does one operation of the kernel so many times (1000): what each costs is counted from outside (R10, R27).

#![no_std]
#![no_main]

use guest_user::file::{self, Fd};
use guest_user::memory::{self, PAGE, PROT_READ, PROT_WRITE};
use guest_user::path::Path;
use guest_user::process::{self, Status};
use guest_user::syscall::{self, Entry};
use guest_user::{Arguments, println};

guest_user::entry!(main);

/// Name, what it is, and how to do it so many times.
const OPERATIONS: [(&str, &str, fn(&str, u64)); 8] = [
    ("getpid", "getpid by syscall", |_, count| {
        repeat(count, || assert!(syscall::getpid(Entry::Syscall).is_ok()));
    }),
    ("getpid_int80", "getpid by int 0x80", |_, count| {
        repeat(count, || assert!(syscall::getpid(Entry::Int80).is_ok()));
    }),
    (
        "yield",
        "sched_yield to another process and back",
        yield_to_child,
    ),
    (
        "pipe",
        "a byte through a pipe to another process and back",
        pipe,
    ),
    ("fork", "fork, exit and wait", |_, count| {
        repeat(count, || {
            assert_eq!(wait(process::spawn(|| 7)), Status::Exited(7))
        });
    }),
    ("exec", "fork, exec, exit and wait", exec),
    ("touch", "the first touch of a page", touch),
    ("nothing", "nothing at all, once", |_, _| {}),
];

fn main(arguments: Arguments) -> u8 {
    let own = arguments.iter().next().unwrap_or("");
    let count = arguments.iter().nth(2).and_then(|word| word.parse().ok());
    let wanted = arguments.first();
    match OPERATIONS.iter().find(|(name, ..)| Some(*name) == wanted) {
        Some((.., run)) => {
            run(own, count.unwrap_or(1000));
            0
        }
        None => {
            println!("usage: operations NAME [COUNT]");
            for (name, what, _) in OPERATIONS {
                println!("{name}: {what}");
            }
            2
        }
    }
}

fn repeat(count: u64, mut operation: impl FnMut()) {
    (0..count).for_each(|_| operation());
}

fn wait(child: syscall::Result<process::Pid>) -> Status {
    let ended = child.and_then(process::wait);
    ended.expect("there was a child")
}

/// Both processes do nothing but yield, so each yield is a switch.
fn yield_to_child(_: &str, count: u64) {
    let child = process::spawn(|| {
        repeat(count, process::yield_now);
        0
    });
    repeat(count, process::yield_now);
    assert_eq!(wait(child), Status::Exited(0));
}

/// The child sends back what it gets.
fn pipe(_: &str, count: u64) {
    let (from_parent, to_child) = file::pipe(0).expect("a pipe");
    let (from_child, to_parent) = file::pipe(0).expect("a pipe");
    let child = process::spawn(|| {
        repeat(count, || pass_on(from_parent, to_parent));
        0
    });
    repeat(count, || {
        file::write_all(to_child, b"x").expect("the child reads");
        let mut byte = [0];
        assert_eq!(file::read(from_child, &mut byte), Ok(1));
    });
    assert_eq!(wait(child), Status::Exited(0));
}

fn pass_on(from: Fd, to: Fd) {
    let mut byte = [0];
    assert_eq!(file::read(from, &mut byte), Ok(1));
    file::write_all(to, &byte).expect("the parent reads");
}

/// Runs this very program, which then does nothing.
fn exec(own: &str, count: u64) {
    let path = Path::of_program(own, "operations");
    let arguments = [path.as_c_str(), c"nothing"];
    repeat(count, || {
        assert_eq!(
            wait(process::run(path.as_c_str(), &arguments)),
            Status::Exited(0)
        );
    });
}

/// Writes one byte to each of as many pages.
fn touch(_: &str, count: u64) {
    let start = memory::map(count as usize * PAGE, PROT_READ | PROT_WRITE).expect("memory");
    for page in 0..count as usize {
        // SAFETY: inside the mapping, which nothing borrows.
        unsafe { start.add(page * PAGE).write_volatile(1) };
    }
}
