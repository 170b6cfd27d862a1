//! Serial ports (16550A; National Semiconductor's PC16550D datasheet, 8.0).
//!
//! Bytes are sent without reading the line status: the UART of a virtual machine takes a
//! byte at once, and each read would be a VM exit. It also needs no set-up to transmit.

use abi::ports;
use arch::port;

use crate::io_apic;

/// Registers by their offset.
mod register {
    /// Receive buffer when read, transmit buffer when written.
    pub const DATA: u16 = 0;
    pub const INTERRUPT_ENABLE: u16 = 1;
    pub const FIFO_CONTROL: u16 = 2;
    pub const MODEM_CONTROL: u16 = 4;
    pub const LINE_STATUS: u16 = 5;
    pub const SCRATCH: u16 = 7;
}

const ENABLE_RECEIVED_DATA: u8 = 1 << 0;
const ENABLE_FIFO: u8 = 1 << 0;
/// Data terminal ready, request to send, and the output that gates a PC's interrupts.
const MODEM_READY: u8 = 1 << 0 | 1 << 1 | 1 << 3;
const DATA_READY: u8 = 1 << 0;

/// One of the machine's serial ports, by its first I/O port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SerialPort(u16);

impl SerialPort {
    /// The console, which every machine has.
    pub const CONSOLE: Self = Self(ports::SERIAL);
    /// The link to another machine.
    pub const LINK: Self = Self(ports::LINK);
    /// Takes what programs write to standard error, if the command line says so.
    pub const ERRORS: Self = Self(ports::ERRORS);

    /// Whether there is such a port in the machine.
    pub fn is_present(self) -> bool {
        // Neither value is what an absent port reads.
        [0x55, 0xaa].into_iter().all(|pattern| {
            self.write_register(register::SCRATCH, pattern);
            self.read_register(register::SCRATCH) == pattern
        })
    }

    /// Sends `bytes`; one VM exit each.
    pub fn send(self, bytes: &[u8]) {
        // SAFETY: the transmit register only sends what it gets.
        unsafe { port::write_all(self.0 + register::DATA, bytes) }
    }

    /// Makes each arrival of bytes interrupt by line `gsi`, which calls `handler`. Bytes
    /// that have arrived before can be received.
    pub fn enable_receive(self, gsi: u32, handler: fn()) {
        io_apic::connect(gsi, handler);
        self.write_register(register::FIFO_CONTROL, ENABLE_FIFO);
        self.write_register(register::MODEM_CONTROL, MODEM_READY);
        self.write_register(register::INTERRUPT_ENABLE, ENABLE_RECEIVED_DATA);
    }

    /// Ends that. Bytes that have arrived can still be received.
    pub fn disable_receive(self) {
        self.write_register(register::INTERRUPT_ENABLE, 0);
    }

    /// The next byte that has arrived.
    pub fn receive(self) -> Option<u8> {
        let ready = self.read_register(register::LINE_STATUS) & DATA_READY != 0;
        ready.then(|| self.read_register(register::DATA))
    }

    fn read_register(self, offset: u16) -> u8 {
        // SAFETY: a UART has no access to memory.
        unsafe { port::read_u8(self.0 + offset) }
    }

    fn write_register(self, offset: u16, value: u8) {
        // SAFETY: as for `read_register`.
        unsafe { port::write_u8(self.0 + offset, value) }
    }
}
