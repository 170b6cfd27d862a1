//! The Ringfence guest kernel: runs processes in ring 3 and serves their traps.
//!
//! In layers, each of which uses only those below it:
//!
//! ```text
//! ring3, start   the loop that every process lives in; from the boot code to init
//! syscall        system calls, by Linux's numbers and structures
//! fs             k2: open files, console, initramfs
//! proc           k1: processes, programs, who runs when
//! mm             k0: frames, address spaces, user memory
//! arch           k0: the processor and the board
//! errno, shared, trace  what all layers use
//! ```
//!
//! One edge points up: a process descriptor holds the process's file table. `proc` stores
//! it and never looks inside.
//!
//! What is not hardware is tested on the host; the image is linked by `main.rs`, built by
//! `vmm/build.rs`.

#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]
// On the host's test build nothing starts the kernel.
#![cfg_attr(test, allow(dead_code))]

mod arch;
mod command_line;
mod errno;
mod fs;
mod mm;
#[cfg(all(not(test), feature = "image"))]
mod panic;
mod proc;
mod ring3;
mod shared;
mod start;
mod syscall;
mod trace;

/// Prints a line of the kernel's own.
macro_rules! log_line {
    ($($argument:tt)*) => {{
        use core::fmt::Write as _;
        // A serial port never fails.
        let _ = writeln!($crate::arch::serial::Log, "kernel: {}", format_args!($($argument)*));
    }};
}
use log_line;
