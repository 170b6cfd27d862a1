//! The end of the kernel: a bug, or a machine that it cannot run on.

use core::fmt::Write;
use core::panic::PanicInfo;

use abi::debug_exit::GuestExit;

use crate::arch::{exit, serial::Console};

/// Says why on the console and ends the machine.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    // The console never fails.
    let _ = match info.location() {
        Some(location) => writeln!(Console, "kernel panic: {} ({location})", info.message()),
        None => writeln!(Console, "kernel panic: {}", info.message()),
    };
    exit::exit(GuestExit::Panicked)
}
