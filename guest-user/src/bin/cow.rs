//! After `fork` memory is shared until written: a child of a process with so many MiB (16)
//! costs few frames (R15, R18).

#![no_std]
#![no_main]

use guest_user::memory::{self, PAGE, PROT_READ, PROT_WRITE};
use guest_user::{Arguments, println, process};

guest_user::entry!(main);

const MIB: usize = 1 << 20;

fn main(arguments: Arguments) -> u8 {
    let len = arguments.number_or(16) as usize * MIB;
    let start = memory::map(len, PROT_READ | PROT_WRITE).expect("memory");
    let page = |number: usize| start.wrapping_add(number * PAGE).cast::<u64>();
    let pages = len / PAGE;
    for number in 0..pages {
        // SAFETY: inside the mapping, which nothing borrows.
        unsafe { page(number).write_volatile(number as u64) };
    }
    // SAFETY: as above.
    let whole =
        |step: u64| (0..pages).all(|n| unsafe { page(n).read_volatile() } == n as u64 * step);
    let child = process::spawn(|| {
        let seen = whole(1);
        for number in (0..pages).step_by(2) {
            // SAFETY: as above.
            unsafe { page(number).write_volatile(0) };
        }
        u8::from(!seen)
    });
    println!(
        "child sees the parent's memory: {}",
        process::wait(child.expect("a child")).expect("it ended")
    );
    println!("parent does not see the child's: {}", whole(1));
    let mut children = 0;
    for _ in 0..8 {
        let child = process::spawn(|| u8::from(!whole(1))).expect("a child");
        children += u32::from(process::wait(child) == Ok(process::Status::Exited(0)));
    }
    println!("{children} children in a row");
    0
}
