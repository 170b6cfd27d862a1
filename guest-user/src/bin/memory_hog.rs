//! Touches so many MiB of memory (1024), page by page, whether or not there are as many (R23).

#![no_std]
#![no_main]

use guest_user::{Arguments, println};

guest_user::entry!(main);

const MIB: usize = 1 << 20;
/// Most that it can touch.
const MAX_MIB: usize = 1024;
const PAGE: usize = 4096;

// Memory of the program's that has no bytes in its file. Made by the assembler: the
// compiler would need as much memory as the array has.
core::arch::global_asm!(".local hoard", ".comm hoard, {size}, 4096", size = const MAX_MIB * MIB);

unsafe extern "C" {
    static mut hoard: [u8; MAX_MIB * MIB];
}

fn main(arguments: Arguments) -> u8 {
    let mib = (arguments.number_or(MAX_MIB as u64) as usize).min(MAX_MIB);
    println!("touching {mib} MiB");
    let start = (&raw mut hoard).cast::<u8>();
    for offset in (0..mib * MIB).step_by(PAGE) {
        // SAFETY: the offset is inside the array, which nothing else uses.
        unsafe { start.add(offset).write_volatile(1) };
    }
    println!("touched {mib} MiB");
    0
}
