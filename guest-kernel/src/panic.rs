//! The end of the kernel: a bug, or a machine that it cannot run on.

use core::fmt::Write;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use abi::debug_exit::GuestExit;

use crate::arch::{exit, serial::Console};

/// Whether the kernel is panicking.
static PANICKING: AtomicBool = AtomicBool::new(false);

/// Says why on the console and ends the machine. A panic, or an exception, that this
/// itself meets ends the machine without another word.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if PANICKING.load(Relaxed) {
        exit::exit(GuestExit::Panicked);
    }
    PANICKING.store(true, Relaxed);
    // The console never fails.
    let _ = match info.location() {
        Some(location) => writeln!(Console, "kernel panic: {} ({location})", info.message()),
        None => writeln!(Console, "kernel panic: {}", info.message()),
    };
    exit::exit(GuestExit::Panicked)
}
