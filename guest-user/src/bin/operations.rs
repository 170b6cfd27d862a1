//! Does one operation so many times (1000): what each costs is counted from outside (R10, R27).
//!
//! `operations NAME COUNT time BEFORE` also prints how many nanoseconds they took, after so many
//! that are not timed.

#![no_std]
#![no_main]

use core::hint::black_box;

use guest_user::file::{self, Fd, O_WRONLY};
use guest_user::io::STDOUT;
use guest_user::memory::{self, PAGE, PROT_READ, PROT_WRITE};
use guest_user::path::Path;
use guest_user::process::{self, Status};
use guest_user::syscall::{self, Entry};
use guest_user::{Arguments, println, thread, time};

guest_user::entry!(main);

/// Name, what it is, and how to do it so many times.
type Operation = (&'static str, &'static str, fn(&str, u64));

const OPERATIONS: [Operation; 14] = [
    ("call", "a call of a function", |_, count| {
        repeat(count, || assert_eq!(identity(black_box(7)), 7));
    }),
    ("store", "a byte into memory", |_, count| {
        let mut byte = 0_u8;
        repeat(count, || *black_box(&mut byte) = 7);
    }),
    (
        "write",
        "a byte to the console, by a write of its own",
        |_, count| {
            repeat(count, || file::write_all(STDOUT, b"x").expect("it is open"));
        },
    ),
    (
        "write_batch",
        "a byte to the console, by one write for all",
        write_batch,
    ),
    ("write_null", "a byte to /dev/null", |_, count| {
        let null = file::open(c"/dev/null", O_WRONLY).expect("there is one");
        repeat(count, || file::write_all(null, b"x").expect("it is open"));
    }),
    ("thread", "a thread, and waiting for its end", |_, count| {
        repeat(count, || {
            let thread = thread::spawn(|| 7).expect("there is room");
            assert_eq!(thread.join(), 7);
        });
    }),
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
    let number = |n| arguments.iter().nth(n).and_then(|word| word.parse().ok());
    let count = number(2).unwrap_or(1000);
    let timed = arguments.iter().nth(3) == Some("time");
    let wanted = arguments.first();
    match OPERATIONS.iter().find(|(name, ..)| Some(*name) == wanted) {
        Some((.., run)) => {
            if timed {
                if let Some(before @ 1..) = number(4) {
                    run(own, before);
                }
                let start = time::now_ns();
                run(own, count);
                // As many characters whatever it took, for each one is a VM exit.
                println!("\n{:20}", time::now_ns() - start);
            } else {
                run(own, count);
            }
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

#[inline(never)]
fn identity(value: u64) -> u64 {
    black_box(value)
}

fn write_batch(_: &str, count: u64) {
    let len = count as usize;
    let start = memory::map(len.next_multiple_of(PAGE), PROT_READ | PROT_WRITE).expect("memory");
    // SAFETY: the mapping, zeroed, which nothing else borrows.
    let bytes = unsafe { core::slice::from_raw_parts_mut(start, len) };
    bytes.fill(b'x');
    file::write_all(STDOUT, bytes).expect("it is open");
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
