//! Lines of the kernel's own.

use core::fmt;
use core::sync::atomic::{AtomicU16, Ordering::Relaxed};

use abi::ports;

use crate::port;

/// The serial port that they go to, by its first I/O port.
static PORT: AtomicU16 = AtomicU16::new(ports::SERIAL);

/// Where they go, as the target of `write!`: the console, unless that is changed.
pub struct Log;

impl Log {
    /// Sends the lines to the serial port at `port` from now on.
    pub fn use_port(port: u16) {
        PORT.store(port, Relaxed);
    }
}

impl fmt::Write for Log {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: the first register of a serial port only sends what it gets.
        unsafe { port::write_all(PORT.load(Relaxed), text.as_bytes()) };
        Ok(())
    }
}
