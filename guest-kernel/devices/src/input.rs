//! The input stream: standard input that is no terminal (`abi::ports::INPUT`).

use abi::ports;
use arch::port;

use crate::io_apic;

/// What there is to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Available {
    /// So many bytes at once; after 0 bytes an interrupt announces more, or the end.
    Bytes(usize),
    /// The end of input.
    End,
}

/// Asks the device; one VM exit.
pub fn available() -> Available {
    // SAFETY: the device has no access to memory.
    match unsafe { port::read_u32(ports::INPUT) } {
        ports::INPUT_END => Available::End,
        count => Available::Bytes(count as usize),
    }
}

/// Fills `bytes`, as many as there are at most.
pub fn read(bytes: &mut [u8]) {
    // SAFETY: as for `available`.
    unsafe { port::read_all(ports::INPUT_DATA, bytes) }
}

/// Makes each arrival after a lack of bytes, and the end, call `handler`.
pub fn enable_interrupt(handler: fn()) {
    io_apic::connect(ports::INPUT_GSI, handler);
}
