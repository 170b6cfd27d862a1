//! Serial ports (16550A; National Semiconductor's PC16550D datasheet, 8.0).
//!
//! Bytes go out without a look at the line status: the UART of a virtual machine takes a
//! byte at once, and each look would be a VM exit. It also needs no set-up to transmit.

use core::fmt;

use abi::ports;

use super::{io_apic, port};

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

/// One of the machine's serial ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SerialPort {
    base: u16,
    gsi: u32,
}

impl SerialPort {
    /// The console, which every machine has.
    pub const CONSOLE: Self = Self {
        base: ports::SERIAL,
        gsi: ports::SERIAL_GSI,
    };

    /// The link to another machine.
    pub const LINK: Self = Self {
        base: ports::LINK,
        gsi: ports::LINK_GSI,
    };

    /// Whether there is such a port in the machine.
    pub fn is_present(self) -> bool {
        // Neither is what reads where there is nothing.
        [0x55, 0xaa].into_iter().all(|pattern| {
            self.write_register(register::SCRATCH, pattern);
            self.read_register(register::SCRATCH) == pattern
        })
    }

    /// Sends `bytes`; one VM exit each.
    pub fn send(self, bytes: &[u8]) {
        // SAFETY: the transmit register only sends what it gets.
        unsafe { port::write_all(self.base + register::DATA, bytes) }
    }

    /// Has each arrival of bytes interrupt, which calls `handler`. What has arrived before
    /// is there to be received.
    pub fn enable_receive(self, handler: fn()) {
        io_apic::connect(self.gsi, handler);
        self.write_register(register::FIFO_CONTROL, ENABLE_FIFO);
        self.write_register(register::MODEM_CONTROL, MODEM_READY);
        self.write_register(register::INTERRUPT_ENABLE, ENABLE_RECEIVED_DATA);
    }

    /// The next byte that has arrived.
    pub fn receive(self) -> Option<u8> {
        let ready = self.read_register(register::LINE_STATUS) & DATA_READY != 0;
        ready.then(|| self.read_register(register::DATA))
    }

    fn read_register(self, offset: u16) -> u8 {
        // SAFETY: a UART has no access to memory.
        unsafe { port::read_u8(self.base + offset) }
    }

    fn write_register(self, offset: u16, value: u8) {
        // SAFETY: as for `read_register`.
        unsafe { port::write_u8(self.base + offset, value) }
    }
}

/// The console as the target of `write!`.
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        SerialPort::CONSOLE.send(text.as_bytes());
        Ok(())
    }
}
