//! The serial console's transmitter (16550A).
//!
//! Bytes go out without a look at the line status: the UART of a virtual machine takes a
//! byte at once, and each look would be a VM exit. It also needs no set-up to transmit.

use core::fmt;

use super::port;

/// Writes `bytes` to the console; one VM exit each.
pub fn write(bytes: &[u8]) {
    // SAFETY: the transmit register only sends what it gets.
    unsafe { port::write_all(abi::ports::SERIAL, bytes) }
}

/// The console as the target of `write!`.
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write(text.as_bytes());
        Ok(())
    }
}
