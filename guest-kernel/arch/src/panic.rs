//! The end of the kernel: a bug, or a machine that it cannot run on.

use core::fmt::Write;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use abi::debug_exit::GuestExit;

use crate::{exit, log::Log};

/// Whether the kernel is panicking.
static PANICKING: AtomicBool = AtomicBool::new(false);

/// Prints the reason and ends the machine. A panic or exception in here ends the machine
/// without a message.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if PANICKING.load(Relaxed) {
        exit::exit(GuestExit::Panicked);
    }
    PANICKING.store(true, Relaxed);
    // A serial port never fails.
    let _ = match info.location() {
        Some(location) => writeln!(Log, "kernel panic: {} ({location})", info.message()),
        None => writeln!(Log, "kernel panic: {}", info.message()),
    };
    exit::exit(GuestExit::Panicked)
}
