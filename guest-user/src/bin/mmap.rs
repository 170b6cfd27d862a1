//! Memory by `mmap`, its permissions by `mprotect`, and what dies when it breaks them (R19).

#![no_std]
#![no_main]

use guest_user::memory::{self, PAGE, PROT_EXEC, PROT_NONE, PROT_READ, PROT_WRITE};
use guest_user::{Arguments, println, process};

guest_user::entry!(main);

const LEN: usize = 4 * PAGE;
/// `ret`
const RETURN: u8 = 0xc3;

fn main(_: Arguments) -> u8 {
    let start = memory::map(LEN, PROT_READ | PROT_WRITE).expect("memory");
    let (read, write, jump) = (|| read(start), || write(start), || jump(start));
    println!(
        "zeroed: {}",
        (0..LEN).all(|offset| read_at(start, offset) == 0)
    );
    println!("read and write: {}, {}", end_of(read), end_of(write));
    println!("execute: {}", end_of(jump));
    write();
    for (name, protection) in [
        ("read", PROT_READ),
        ("execute", PROT_READ | PROT_EXEC),
        ("nothing", PROT_NONE),
    ] {
        protect(start, protection);
        println!("{name}: read {}", end_of(read));
        println!("{name}: write {}", end_of(write));
        println!("{name}: execute {}", end_of(jump));
    }
    protect(start, PROT_READ);
    println!("contents are kept: {}", read_at(start, 0) == RETURN);
    // SAFETY: nothing uses the memory any more.
    let unmapped = unsafe { memory::unmap(start, LEN) };
    println!("unmap: {unmapped:?}, then read {}", end_of(read));
    println!("no bytes: {:?}", memory::map(0, PROT_READ).err());
    println!("too many: {:?}", memory::map(1 << 50, PROT_READ).err());
    0
}

fn protect(start: *mut u8, protection: u32) {
    // SAFETY: no reference leads there.
    unsafe { memory::protect(start, LEN, protection) }.expect("it is mapped");
}

/// How a child ends that does this.
fn end_of(body: impl FnOnce()) -> process::Status {
    let child = process::spawn(|| {
        body();
        0
    });
    process::wait(child.expect("a child")).expect("it ended")
}

fn read_at(start: *mut u8, offset: usize) -> u8 {
    // SAFETY: the memory is mapped, or this child dies.
    unsafe { start.add(offset).read_volatile() }
}

fn read(start: *mut u8) {
    read_at(start, 0);
}

fn write(start: *mut u8) {
    // SAFETY: the memory is mapped, or this child dies.
    unsafe { start.write_volatile(RETURN) };
}

fn jump(start: *mut u8) {
    // SAFETY: there is a `ret`, or this child dies.
    unsafe { core::arch::asm!("call {}", in(reg) start, clobber_abi("C")) };
}
