//! Serial ports: vm-superio's 16550A between the guest's ports and the console or another
//! machine.
//!
//! The UART's registers and FIFO are vm-superio's; this adapter adds where interrupts and
//! bytes go. Its interrupt is a flag that the board collects after each access and turns
//! into an edge on the port's GSI, or a line that the board looks at, so that the UART needs
//! no handle on the I/O APIC (rejected: an `Rc<RefCell<..>>` between the two).

use std::cell::Cell;
use std::convert::Infallible;
use std::io::Write;

use vm_superio::Trigger;
use vm_superio::serial::NoEvents;

/// Remembers that the UART has raised its interrupt.
#[derive(Default)]
struct Raised(Cell<bool>);

impl Trigger for Raised {
    type E = Infallible;

    fn trigger(&self) -> Result<(), Infallible> {
        self.0.set(true);
        Ok(())
    }
}

/// Where a serial port's bytes go, one at a time. Writing must not fail.
pub trait SerialOutput: Write {
    /// Ends an access of the guest, which may have been many bytes.
    fn end_access(&mut self);
}

/// Register offset of received data.
const DATA: u8 = 0;
/// Register offset of the interrupt enable register, and its bit for received data.
const INTERRUPT_ENABLE: u8 = 1;
const RECEIVED_DATA: u8 = 1;
/// The bit of the same for a transmitter that can take more, and of the register below.
const TRANSMITTER_EMPTY: u8 = 2;
/// The register that says which interrupt is pending; its bit for none, and for received
/// data.
const IDENTIFICATION: u8 = 2;
const NOTHING_PENDING: u8 = 1;
const RECEIVED_DATA_PENDING: u8 = 4;
/// Register offset of the line control register, and its bit that puts the divisor in the
/// place of the two above.
const LINE_CONTROL: u8 = 3;
const DIVISOR_LATCH: u8 = 1 << 7;
/// Register offset of the line status register.
const LINE_STATUS: u8 = 5;
/// So many reads of it in a row are a wait for data: the transmitter is always ready.
const WAITING: u8 = 8;

/// Bytes that the receiver holds.
pub const FIFO_LEN: usize = 64;

/// A 16550A with something behind it.
pub struct Serial<W: SerialOutput> {
    uart: vm_superio::Serial<Raised, NoEvents, W>,
    receiving: Receiving,
    /// Reads of the line status with nothing in between, at most [`WAITING`].
    status_reads: u8,
    divisor_latch: bool,
    /// Whether its interrupt reaches a CPU.
    connected: bool,
}

/// How the guest receives.
///
/// Input must not come before the guest takes it: drivers that look whether there is a UART,
/// or are about to start, throw bytes away.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Receiving {
    /// Not at all yet.
    Not,
    /// It reads data, or the line status time and again, and no interrupt comes to it.
    Polling,
    /// By interrupts, while they are enabled and reach a CPU.
    Interrupts { enabled: bool },
}

impl<W: SerialOutput> Serial<W> {
    /// A UART after reset.
    pub fn new(output: W) -> Self {
        Self {
            uart: vm_superio::Serial::new(Raised::default(), output),
            receiving: Receiving::Not,
            status_reads: 0,
            divisor_latch: false,
            connected: true,
        }
    }

    /// Reads registers from `offset` on into `items` of `size` bytes each; an item wider
    /// than a byte covers registers in turn, as on an ISA bus. Bytes past the last
    /// register read as ones.
    pub fn read(&mut self, offset: u8, size: u8, items: &mut [u8]) {
        self.note_read(offset);
        for item in items.chunks_mut(usize::from(size.max(1))) {
            for (byte, register) in item.iter_mut().zip(offset..) {
                *byte = match register {
                    IDENTIFICATION => self.identify(),
                    _ if u16::from(register) < abi::ports::SERIAL_LEN => self.uart.read(register),
                    _ => 0xff,
                };
            }
        }
    }

    /// Writes `items` of `size` bytes each; the converse of [`read`](Self::read).
    pub fn write(&mut self, offset: u8, size: u8, items: &[u8]) {
        self.status_reads = 0;
        for item in items.chunks(usize::from(size.max(1))) {
            for (&byte, register) in item.iter().zip(offset..) {
                if u16::from(register) < abi::ports::SERIAL_LEN {
                    self.note(register, byte);
                    // Neither the trigger nor the output can fail, and the UART drops
                    // what its own FIFO cannot take in loopback mode.
                    let _ = self.uart.write(register, byte);
                }
            }
        }
        self.uart.writer_mut().end_access();
    }

    /// Notes what a read says of how the guest receives.
    fn note_read(&mut self, offset: u8) {
        self.status_reads = match offset {
            LINE_STATUS => WAITING.min(self.status_reads + 1),
            _ => 0,
        };
        let polls = match self.receiving {
            Receiving::Interrupts { enabled: true } if self.connected => false,
            _ if self.status_reads == WAITING => true,
            Receiving::Not => offset == DATA && !self.divisor_latch,
            _ => false,
        };
        if polls {
            self.receiving = Receiving::Polling;
        }
    }

    /// Notes what a write says of how the guest receives.
    fn note(&mut self, register: u8, byte: u8) {
        let enabled = byte & RECEIVED_DATA != 0;
        match (register, self.receiving) {
            (LINE_CONTROL, _) => self.divisor_latch = byte & DIVISOR_LATCH != 0,
            (INTERRUPT_ENABLE, _) if self.divisor_latch => {}
            (INTERRUPT_ENABLE, Receiving::Not | Receiving::Polling) if !enabled => {}
            (INTERRUPT_ENABLE, _) => self.receiving = Receiving::Interrupts { enabled },
            _ => {}
        }
    }

    /// Says whether its interrupt reaches a CPU; it does until then.
    pub fn connect(&mut self, connected: bool) {
        self.connected = connected;
    }

    /// Hands `bytes` to the guest's receiver; returns how many it took, from the first on.
    pub fn input(&mut self, bytes: &[u8]) -> usize {
        // The only error is a full FIFO, which has taken nothing.
        self.uart.enqueue_raw_bytes(bytes).unwrap_or(0)
    }

    /// Whether the guest reads its port and has taken all that was handed to it.
    #[inline]
    pub fn wants_input(&self) -> bool {
        self.is_read() && self.uart.fifo_capacity() == FIFO_LEN
    }

    /// Whether the guest reads its port.
    #[inline]
    pub fn is_read(&self) -> bool {
        match self.receiving {
            Receiving::Not => false,
            Receiving::Polling => true,
            Receiving::Interrupts { enabled } => enabled && self.connected,
        }
    }

    /// Whether the UART has raised its interrupt since the last call.
    pub fn take_interrupt(&mut self) -> bool {
        self.uart.interrupt_evt().0.take()
    }

    /// Whether the UART asserts its interrupt line. Takes as long as an access.
    pub fn is_interrupting(&self) -> bool {
        let state = self.uart.state();
        let sent = state.interrupt_identification & state.interrupt_enable & TRANSMITTER_EMPTY != 0;
        sent || self.has_received()
    }

    /// The interrupt that is pending. The UART forgets that of received data when it is read;
    /// it is there until all data is taken (16550A, interrupt identification register).
    fn identify(&mut self) -> u8 {
        match self.uart.read(IDENTIFICATION) {
            value if value & NOTHING_PENDING != 0 && self.has_received() => {
                value & !NOTHING_PENDING | RECEIVED_DATA_PENDING
            }
            value => value,
        }
    }

    /// Whether received data is an interrupt.
    fn has_received(&self) -> bool {
        let waits = self.uart.fifo_capacity() != FIFO_LEN;
        waits && self.uart.state().interrupt_enable & RECEIVED_DATA != 0
    }

    /// Where its bytes go, to look at.
    #[inline]
    pub fn output_ref(&self) -> &W {
        self.uart.writer()
    }

    /// Where its bytes go.
    pub fn output(&mut self) -> &mut W {
        self.uart.writer_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        DATA, IDENTIFICATION, INTERRUPT_ENABLE, NOTHING_PENDING, RECEIVED_DATA,
        RECEIVED_DATA_PENDING, Serial, TRANSMITTER_EMPTY, WAITING,
    };
    use crate::devices::console::{Console, tests::Recorder};

    const IER: u8 = INTERRUPT_ENABLE;
    const LSR: u8 = super::LINE_STATUS;
    const SCRATCH: u8 = 7;
    const RECEIVED: u8 = RECEIVED_DATA;

    fn port(sink: impl std::io::Write + Send + 'static) -> Serial<Console> {
        Serial::new(Console::new(Box::new(sink)))
    }

    fn read(serial: &mut Serial<Console>, offset: u8) -> u8 {
        let mut byte = [0];
        serial.read(offset, 1, &mut byte);
        byte[0]
    }

    /// The line stays up until all data is taken, or nobody wants to know.
    #[test]
    fn the_line_is_as_the_registers_are() {
        let mut serial = port(std::io::sink());
        let mut byte = [0];
        assert!(!serial.is_interrupting());
        serial.write(IER, 1, &[RECEIVED]);
        serial.input(b"ab");
        for left in [true, false] {
            for _ in 0..2 {
                serial.read(IDENTIFICATION, 1, &mut byte);
                assert_eq!(byte, [0xc0 | RECEIVED_DATA_PENDING]);
            }
            assert!(serial.is_interrupting());
            serial.read(DATA, 1, &mut byte);
            assert_eq!(serial.is_interrupting(), left);
        }
        serial.read(IDENTIFICATION, 1, &mut byte);
        assert_eq!(byte, [0xc0 | NOTHING_PENDING]);
        serial.write(IER, 1, &[TRANSMITTER_EMPTY]);
        assert!(serial.is_interrupting());
        serial.write(IER, 1, &[0]);
        assert!(!serial.is_interrupting());
        serial.write(IER, 1, &[TRANSMITTER_EMPTY]);
        serial.read(IDENTIFICATION, 1, &mut byte);
        assert!(!serial.is_interrupting(), "acknowledged");
    }

    #[test]
    fn a_string_of_lines_is_one_host_write() {
        let recorder = Recorder::default();
        let mut serial = port(recorder.clone());
        serial.write(DATA, 1, b"one\ntwo\n");
        assert_eq!(recorder.writes(), [b"one\ntwo\n"]);
        assert!(!serial.take_interrupt());
    }

    #[test]
    fn input_raises_one_edge_and_stops_at_the_fifo() {
        let mut serial = port(std::io::sink());
        serial.write(IER, 1, &[RECEIVED]);
        assert!(serial.wants_input());
        assert_eq!(serial.input(&[b'a'; 100]), 64);
        assert!(!serial.wants_input());
        assert_eq!(serial.input(b"more"), 0);
        assert!(serial.take_interrupt());
        assert!(!serial.take_interrupt());
        assert_eq!(read(&mut serial, LSR) & 1, 1);
        for _ in 0..64 {
            assert_eq!(read(&mut serial, DATA), b'a');
        }
        assert_eq!(read(&mut serial, LSR) & 1, 0);
        assert!(serial.wants_input());
    }

    #[test]
    fn a_driver_that_only_looks_gets_no_input() {
        let mut serial = port(std::io::sink());
        serial.connect(false);
        serial.write(IER, 1, &[0xf]);
        assert!(!serial.wants_input());
        serial.write(IER, 1, &[0]);
        read(&mut serial, DATA);
        serial.connect(true);
        assert!(!serial.wants_input());
        // The divisor is no interrupt enable register.
        serial.write(super::LINE_CONTROL, 1, &[super::DIVISOR_LATCH]);
        serial.write(IER, 1, &[1]);
        assert!(!serial.wants_input());
        serial.write(super::LINE_CONTROL, 1, &[3]);
        serial.write(IER, 1, &[RECEIVED]);
        assert!(serial.wants_input());
    }

    #[test]
    fn a_guest_that_polls_gets_input() {
        let mut serial = port(std::io::sink());
        assert!(!serial.wants_input());
        read(&mut serial, DATA);
        serial.write(IER, 1, &[0]);
        assert!(serial.wants_input());
    }

    #[test]
    fn a_guest_that_waits_for_data_gets_input() {
        let mut serial = port(std::io::sink());
        serial.connect(false);
        serial.write(IER, 1, &[RECEIVED]);
        for _ in 1..WAITING {
            read(&mut serial, LSR);
            assert!(!serial.wants_input());
        }
        read(&mut serial, SCRATCH);
        for _ in 0..WAITING {
            assert!(!serial.wants_input());
            read(&mut serial, LSR);
        }
        assert!(serial.wants_input());
    }

    #[test]
    fn wide_accesses_cover_registers_in_turn() {
        let mut serial = port(std::io::sink());
        serial.write(SCRATCH - 1, 2, &[0xee, 0x5a, 0xee, 0xa5]);
        assert_eq!(read(&mut serial, SCRATCH), 0xa5);
        let mut wide = [0; 4];
        serial.read(SCRATCH, 4, &mut wide);
        assert_eq!(wide, [0xa5, 0xff, 0xff, 0xff]);
    }
}
