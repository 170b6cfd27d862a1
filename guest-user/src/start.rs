//! The entry point of every program.

use core::arch::global_asm;

use crate::{Arguments, syscall};

unsafe extern "Rust" {
    /// Defined by `entry!`.
    safe fn program_main(arguments: Arguments) -> u8;
}

// rsp points to the number of arguments and is aligned to 16 bytes (System V ABI for
// x86-64, 3.4.1).
global_asm!(
    ".pushsection .text._start, \"ax\"",
    ".global _start",
    "_start:",
    "mov rdi, rsp",
    "xor ebp, ebp",
    "call {start}",
    "ud2",
    ".popsection",
    start = sym start,
);

extern "C" fn start(stack: *const u64) -> ! {
    // SAFETY: `stack` is what the kernel left in rsp.
    let arguments = unsafe { Arguments::from_stack(stack) };
    syscall::exit(program_main(arguments))
}
