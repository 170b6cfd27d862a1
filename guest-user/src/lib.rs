//! Runtime for guest programs: what they need instead of `std`.
//!
//! A program is one file in `src/bin`:
//!
//! ```text
//! //! What it shows, and which requirement.
//! #![no_std]
//! #![no_main]
//!
//! guest_user::entry!(main);
//!
//! fn main(arguments: Arguments) -> u8 { ... }
//! ```

#![cfg_attr(not(test), no_std)]

mod arguments;
pub mod cpu;
pub mod factorial;
pub mod file;
pub mod io;
pub mod jobs;
pub mod memory;
#[cfg(all(not(test), feature = "image"))]
mod panic;
pub mod path;
pub mod process;
pub mod processors;
pub mod resources;
pub mod signal;
#[cfg(not(test))]
mod start;
pub mod storage;
pub mod sync;
pub mod syscall;
pub mod terminal;
pub mod thread;
pub mod time;

pub use arguments::Arguments;
pub use syscall::Errno;

/// Makes `$main: fn(Arguments) -> u8` the program; what it returns is the exit status.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        // SAFETY: the one program in an image; the runtime calls it by this name.
        #[unsafe(no_mangle)]
        fn program_main(arguments: $crate::Arguments) -> u8 {
            $main(arguments)
        }
    };
}

// The same support for the precompiled `core` as in the kernel.
#[cfg(not(test))]
core::arch::global_asm!(include_str!("../../guest-kernel/arch/src/core_support.S"));
