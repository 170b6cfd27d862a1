//! A program's own failure: a message, and status 101 as Rust has it elsewhere.

use core::panic::PanicInfo;

use crate::{io, syscall};

const STATUS: u8 = 101;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    io::print(io::STDERR, format_args!("panic: {}\n", info.message()));
    syscall::exit(STATUS)
}
