//! The guest's standard streams: three serial lines out, and input by either of two
//! devices.
//!
//! ```text
//!   console, 0x3f8 ──► standard output      what is typed at a terminal ──► console
//!   errors, 0x3e8 ───► standard error       a file or a pipe ──► input stream, or console
//!   log, 0x2e8 ──────► the kernel's lines                        if the kernel asks there
//! ```
//!
//! Beside console and errors there may be virtio consoles (`virtio`), with the same
//! destination.
//!
//! Without a destination for errors or log there is no such device. Lines that may have the
//! same destination keep their order: the buffer of one line is flushed before another line
//! is written.

mod virtio;

use std::io::{self, Read, Write};

use super::console::Console;
use super::input_stream::{self, InputStream};
use super::serial::{FIFO_LEN, Serial};
use super::virtio::{ScreenSize, VirtioConsole};
use crate::memory::GuestRam;

/// What ends a line of a terminal, or the input at the start of one (ASCII EOT).
const END_OF_LINE_OR_INPUT: u8 = 4;

/// Where the streams come from and go to. Writers must block: an error, even
/// [`io::ErrorKind::WouldBlock`], ends their line.
pub struct HostStreams {
    /// Standard output: one write a line.
    pub output: Box<dyn Write + Send>,
    /// Standard error, if that is apart.
    pub errors: Option<Box<dyn Write + Send>>,
    /// The kernel's own lines, if they are apart.
    pub log: Option<Box<dyn Write + Send>>,
    /// Standard input.
    pub input: HostInput,
    /// The size of the terminal that shows the output, if there is one.
    pub screen: Option<ScreenSize>,
}

/// Where input comes from.
pub enum HostInput {
    /// None: input is at its end.
    None,
    /// From a reader that never has to wait, such as a file.
    Ready(Box<dyn Read + Send>),
    /// The caller hands it in (`Streams::input`).
    HandedIn,
}

impl HostStreams {
    /// No input, and output is discarded.
    pub fn none() -> Self {
        Self {
            output: Box::new(io::sink()),
            errors: None,
            log: None,
            input: HostInput::None,
            screen: None,
        }
    }
}

/// A line out of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Standard output.
    Console,
    /// Standard error.
    Errors,
    /// The kernel's own lines.
    Log,
}

impl Line {
    const ALL: [Self; 3] = [Self::Console, Self::Errors, Self::Log];

    /// What the host calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Console => "standard output",
            Self::Errors => "standard error",
            Self::Log => "the kernel's lines",
        }
    }
}

/// A device that takes input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receiver {
    Console,
    Virtio,
    Stream,
}

/// A failure of the host on a stream.
#[derive(Debug)]
pub struct StreamError {
    /// Which.
    pub line: Line,
    /// How.
    pub error: io::Error,
}

/// The devices.
pub struct Streams {
    console: Serial<Console>,
    errors: Option<Serial<Console>>,
    log: Option<Serial<Console>>,
    virtio_console: Option<VirtioConsole>,
    virtio_errors: Option<VirtioConsole>,
    input: InputStream,
    source: HostInput,
    input_error: Option<io::Error>,
    input_ended: bool,
    /// Whether the last byte that went to the console ended a line, or there was none.
    at_line_start: bool,
    last_written: Line,
    /// Whether a line has an error to be taken.
    failed: bool,
}

impl Streams {
    /// Devices after reset; with virtio consoles in a machine with this RAM, if it is given.
    pub fn new(host: HostStreams, virtio: Option<&GuestRam>) -> Self {
        let line = |sink| Serial::new(Console::new(sink));
        let console = |screen| virtio.map(|ram| VirtioConsole::new(ram.clone(), screen));
        Self {
            virtio_console: console(host.screen),
            virtio_errors: host.errors.as_ref().and_then(|_| console(None)),
            console: line(host.output),
            errors: host.errors.map(line),
            log: host.log.map(line),
            input: InputStream::default(),
            source: host.input,
            input_error: None,
            input_ended: false,
            at_line_start: true,
            last_written: Line::Console,
            failed: false,
        }
    }

    fn line(&mut self, line: Line) -> Option<&mut Serial<Console>> {
        match line {
            Line::Console => Some(&mut self.console),
            Line::Errors => self.errors.as_mut(),
            Line::Log => self.log.as_mut(),
        }
    }

    /// Reads a line's registers, as [`Serial::read`].
    pub fn read(&mut self, line: Line, offset: u8, size: u8, items: &mut [u8]) {
        match self.line(line) {
            Some(serial) => serial.read(offset, size, items),
            None => items.fill(0xff),
        }
    }

    /// Writes a line's registers, as [`Serial::write`].
    #[inline]
    pub fn write(&mut self, line: Line, offset: u8, size: u8, items: &[u8]) {
        if self.last_written != line {
            self.send_all();
            self.last_written = line;
        }
        let serial = self.line(line);
        let failed = serial.is_some_and(|serial| {
            serial.write(offset, size, items);
            serial.output().has_failed()
        });
        self.failed |= failed;
    }

    /// Says whether the console's interrupt reaches a CPU.
    pub fn connect_console(&mut self, connected: bool) {
        self.console.connect(connected);
    }

    /// Reads the input stream's ports. What is always ready is there as soon as the guest
    /// asks, all that it can be offered: so it finds the same in every run.
    pub fn read_input(&mut self, offset: u8, size: u8, items: &mut [u8]) {
        if self.input.is_asked(offset) {
            while self.is_ready() && self.input.room_in_offer() > 0 {
                self.read_source(self.input.room_in_offer());
            }
        }
        self.input.read(offset, size, items);
    }

    /// Flushes output that waits for the end of its line.
    pub fn send_all(&mut self) {
        for line in Line::ALL {
            let serial = self.line(line);
            let failed = serial.is_some_and(|serial| {
                serial.output().send();
                serial.output().has_failed()
            });
            self.failed |= failed;
        }
    }

    /// Whether anything waits for that.
    #[inline]
    pub fn output_waits(&self) -> bool {
        let lines = [Some(&self.console), self.errors.as_ref(), self.log.as_ref()];
        let mut lines = lines.into_iter().flatten();
        lines.any(|serial| serial.output_ref().waits())
    }

    /// Whether a failure of the host has ended a line.
    #[inline]
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// That failure, once.
    pub fn take_error(&mut self) -> Option<StreamError> {
        if !self.failed {
            return None;
        }
        let error = Line::ALL.into_iter().find_map(|line| {
            let error = self.line(line)?.output().take_error()?;
            Some(StreamError { line, error })
        });
        self.failed = error.is_some();
        error
    }

    /// Why input ended before its end, once.
    pub fn take_input_error(&mut self) -> Option<io::Error> {
        self.input_error.take()
    }

    /// Whether the guest waits for input, and there may be some.
    #[inline]
    pub fn is_read(&self) -> bool {
        !self.input_ended && self.receiver().is_some()
    }

    /// The device that takes input now.
    #[inline]
    fn receiver(&self) -> Option<Receiver> {
        if self.console.wants_input() {
            Some(Receiver::Console)
        } else if self.input.was_asked() {
            self.input.wants_input().then_some(Receiver::Stream)
        } else {
            let virtio = self.virtio_console.as_ref();
            let wants = virtio.is_some_and(VirtioConsole::wants_input) && !self.console.is_read();
            wants.then_some(Receiver::Virtio)
        }
    }

    /// The same where input is handed in.
    pub fn wants_input(&self) -> bool {
        self.is_read() && matches!(self.source, HostInput::HandedIn)
    }

    /// Gives a guest that reads the console what is always ready.
    pub fn fill_console(&mut self) {
        match self.receiver() {
            Some(Receiver::Console) if self.is_ready() => self.read_source(FIFO_LEN),
            Some(Receiver::Virtio) if self.is_ready() => self.read_source(self.input.room()),
            _ => {}
        }
    }

    /// Whether there is more input that is always ready.
    fn is_ready(&self) -> bool {
        !self.input_ended && !matches!(self.source, HostInput::HandedIn)
    }

    /// Takes up to `len` bytes from the source, or its end.
    fn read_source(&mut self, len: usize) {
        let mut chunk = [0; input_stream::CAPACITY];
        let read = match &mut self.source {
            HostInput::Ready(source) => source.read(&mut chunk[..len]),
            HostInput::None | HostInput::HandedIn => Ok(0),
        };
        match read {
            Ok(0) => self.end_input(None),
            Ok(count) => {
                // All of it, but for a guest that reads console and stream at once.
                self.input(&chunk[..count]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => self.end_input(Some(error)),
        }
    }

    /// Hands `bytes` to the device that the guest reads; returns how many it took, from the
    /// first on.
    pub fn input(&mut self, bytes: &[u8]) -> usize {
        let taken = match self.receiver() {
            Some(Receiver::Console) => self.console.input(bytes),
            Some(Receiver::Virtio) => {
                let taken = self.input.input(bytes);
                self.fill_virtio();
                taken
            }
            _ => return self.input.input(bytes),
        };
        if let Some(&last) = bytes[..taken].last() {
            self.at_line_start = last == b'\n';
        }
        taken
    }

    /// Ends input, perhaps because of an error. A console gets the key for it.
    pub fn end_input(&mut self, error: Option<io::Error>) {
        let keys = &[END_OF_LINE_OR_INPUT; 2][usize::from(self.at_line_start)..];
        if self.console.wants_input() {
            self.console.input(keys);
        } else if self.is_virtio_console() {
            self.input.input(keys);
            self.fill_virtio();
        }
        self.input.end();
        self.input_ended = true;
        self.input_error = error;
    }

    /// Whether console and input stream have raised their interrupts since the last call.
    pub fn take_interrupts(&mut self) -> (bool, bool) {
        (self.console.take_interrupt(), self.input.take_interrupt())
    }

    /// Whether the console asserts its interrupt line.
    pub fn is_console_interrupting(&self) -> bool {
        self.console.is_interrupting()
    }
}

#[cfg(test)]
mod tests;
