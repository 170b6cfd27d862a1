//! Does one operation between two CPUs so many times (100), and prints how many nanoseconds they
//! took all together (R33).
//!
//! `between NAME COUNT`: one thread is on the first CPU, one on the second. `between NAME COUNT time
//! BEFORE` does so many before, which do not count.

#![no_std]
#![no_main]

use core::hint::spin_loop;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering::*};

use guest_user::memory::{self, PAGE, PROT_READ, PROT_WRITE};
use guest_user::processors::{self, Processors};
use guest_user::thread::{self, futex_wait, futex_wake};
use guest_user::{Arguments, println, time};

guest_user::entry!(main);

/// Name, what it is, and how to do it so many times.
type Operation = (&'static str, &'static str, fn(u64));

const OPERATIONS: [Operation; 3] = [
    (
        "interrupt",
        "membarrier, which has another CPU enter the kernel",
        interrupt,
    ),
    (
        "shootdown",
        "mprotect of a page that another CPU uses, and back",
        shootdown,
    ),
    (
        "wake",
        "futex wake of a thread of another, idle CPU, and back",
        wake,
    ),
];

fn main(arguments: Arguments) -> u8 {
    let number = |n| arguments.iter().nth(n).and_then(|word| word.parse().ok());
    let wanted = arguments.first();
    let Some((.., run)) = OPERATIONS.iter().find(|(name, ..)| Some(*name) == wanted) else {
        println!("usage: between NAME [COUNT]");
        for (name, what, _) in OPERATIONS {
            println!("{name}: {what}");
        }
        return 2;
    };
    if let Some(before @ 1..) = number(4) {
        run(before);
    }
    let start = time::now_ns();
    run(number(2).unwrap_or(100));
    // As many characters whatever it took, for each one is a VM exit.
    println!("{:20}", time::now_ns() - start);
    0
}

fn repeat(count: u64, mut operation: impl FnMut()) {
    (0..count).for_each(|_| operation());
}

/// Runs `other` in a thread on the second CPU, beside `own` on the first; where there is but one,
/// they share it.
fn beside(other: impl FnOnce() + Send + 'static, own: impl FnOnce()) {
    static IS_READY: AtomicU32 = AtomicU32::new(0);
    IS_READY.store(0, Relaxed);
    IS_OVER.store(false, Relaxed);
    let all = Processors::allowed().expect("there is such a call");
    let keep_to = move |cpu| all.only(cpu).keep_to().expect("it may run there");
    keep_to(0);
    let thread = thread::spawn(move || {
        keep_to(1);
        IS_READY.store(1, Release);
        futex_wake(&IS_READY, 1);
        other();
    });
    let thread = thread.expect("there is room");
    while IS_READY.load(Acquire) == 0 {
        futex_wait(&IS_READY, 0);
    }
    own();
    IS_OVER.store(true, Release);
    thread.join();
}

/// Whether the other thread has nothing to be there for any more.
static IS_OVER: AtomicBool = AtomicBool::new(false);

/// Does it again and again, as long as the other thread has an interest in that.
fn until_over(mut body: impl FnMut()) {
    while !IS_OVER.load(Acquire) {
        body();
        spin_loop();
    }
}

fn interrupt(count: u64) {
    processors::register_barriers().expect("there is such a call");
    beside(
        || until_over(|| {}),
        || repeat(count, || processors::barrier().expect("it is registered")),
    );
}

/// Only what takes a permission away concerns the other CPU.
fn shootdown(count: u64) {
    let page = memory::map(PAGE, PROT_READ | PROT_WRITE).expect("memory");
    let shared = AtomicPtr::new(page);
    let other = move || {
        let page = shared.into_inner();
        until_over(|| {
            // SAFETY: in a mapping that can be read until the program's end.
            let _ = unsafe { page.read_volatile() };
        });
    };
    beside(other, || {
        repeat(count, || {
            for protection in [PROT_READ, PROT_READ | PROT_WRITE] {
                // SAFETY: nothing writes to the page.
                unsafe { memory::protect(page, PAGE, protection) }.expect("it is mapped");
            }
        });
    });
}

/// Each of two threads sleeps until the other one has made it its turn.
fn wake(count: u64) {
    /// Whose turn it is.
    static TURN: AtomicU32 = AtomicU32::new(0);
    let await_turn = |own: u32| {
        while TURN.load(Acquire) != own {
            futex_wait(&TURN, 1 - own);
        }
    };
    let hand_on = |own: u32| {
        TURN.store(1 - own, Release);
        futex_wake(&TURN, 1);
    };
    let other = move || {
        repeat(count, || {
            await_turn(1);
            hand_on(1);
        });
    };
    beside(other, || {
        repeat(count, || {
            hand_on(0);
            await_turn(0);
        });
    });
}
