//! The guest's standard streams: three serial lines out, and input by either of two
//! devices.
//!
//! ```text
//!   console, 0x3f8 ──► standard output      what is typed at a terminal ──► console
//!   errors, 0x3e8 ───► standard error       a file or a pipe ──► input stream, or console
//!   log, 0x2e8 ──────► the kernel's lines                        if the kernel asks there
//! ```
//!
//! Without a destination for errors or log there is no such device. Lines that may have the
//! same destination keep their order: the buffer of one line is flushed before another line
//! is written.

use std::io::{self, Read, Write};

use super::console::Console;
use super::input_stream::{self, InputStream};
use super::serial::Serial;

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
    /// Devices after reset.
    pub fn new(host: HostStreams) -> Self {
        let line = |sink| Serial::new(Console::new(sink));
        Self {
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
            while self.is_ready() && self.input.wants_input() {
                self.read_source(self.input.room());
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
        (self.console.wants_input() || self.input.wants_input()) && !self.input_ended
    }

    /// The same where input is handed in.
    pub fn wants_input(&self) -> bool {
        self.is_read() && matches!(self.source, HostInput::HandedIn)
    }

    /// Gives a guest that reads the console what is always ready.
    pub fn fill_console(&mut self) {
        if self.console.wants_input() && self.is_ready() {
            self.read_source(super::serial::FIFO_LEN);
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
        if !self.console.wants_input() {
            return self.input.input(bytes);
        }
        let taken = self.console.input(bytes);
        if let Some(&last) = bytes[..taken].last() {
            self.at_line_start = last == b'\n';
        }
        taken
    }

    /// Ends input, perhaps because of an error. A console gets the key for it.
    pub fn end_input(&mut self, error: Option<io::Error>) {
        if self.console.wants_input() {
            let keys = [END_OF_LINE_OR_INPUT; 2];
            self.console.input(&keys[usize::from(self.at_line_start)..]);
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
mod tests {
    use super::{HostInput, HostStreams, Line, Streams};
    use crate::devices::console::tests::Recorder;

    const DATA: u8 = 0;
    const INTERRUPT_ENABLE: u8 = 1;
    const LINE_STATUS: u8 = 5;

    fn streams(input: HostInput) -> (Streams, Recorder) {
        let recorder = Recorder::default();
        let sink = || Box::new(recorder.clone());
        let streams = Streams::new(HostStreams {
            output: sink(),
            errors: Some(sink()),
            log: None,
            input,
        });
        (streams, recorder)
    }

    fn ready(streams: &mut Streams) -> u32 {
        let mut answer = [0; 4];
        streams.read_input(0, 4, &mut answer);
        u32::from_le_bytes(answer)
    }

    fn console(streams: &mut Streams, offset: u8) -> u8 {
        let mut byte = [0];
        streams.read(Line::Console, offset, 1, &mut byte);
        byte[0]
    }

    #[test]
    fn lines_keep_the_order_in_which_they_were_written() {
        let (mut streams, recorder) = streams(HostInput::None);
        streams.write(Line::Console, DATA, 1, b"out");
        streams.write(Line::Errors, DATA, 1, b"err\n");
        streams.write(Line::Log, DATA, 1, b"nobody has it\n");
        streams.write(Line::Console, DATA, 1, b"put\n");
        let written: [&[u8]; 3] = [b"out", b"err\n", b"put\n"];
        assert_eq!(recorder.writes(), written);
        let mut nothing = [0];
        streams.read(Line::Log, LINE_STATUS, 1, &mut nothing);
        assert_eq!(nothing, [0xff]);
    }

    #[test]
    fn a_file_is_there_at_once_and_ends() {
        let (mut streams, _) = streams(HostInput::Ready(Box::new(&b"ab"[..])));
        assert_eq!(ready(&mut streams), 2);
        let mut bytes = [0; 2];
        streams.read_input(4, 1, &mut bytes);
        assert_eq!(&bytes, b"ab");
        assert_eq!(ready(&mut streams), abi::ports::INPUT_END);
        assert!(!streams.is_ready());
    }

    #[test]
    fn no_input_is_an_end_and_a_failure_is_told() {
        let (mut none, _) = streams(HostInput::None);
        assert_eq!(ready(&mut none), abi::ports::INPUT_END);
        assert!(none.take_input_error().is_none());
        let folder = std::fs::File::open(".").expect("a folder");
        let (mut folder, _) = streams(HostInput::Ready(Box::new(folder)));
        assert_eq!(ready(&mut folder), abi::ports::INPUT_END);
        assert!(folder.take_input_error().is_some());
    }

    #[test]
    fn a_kernel_that_reads_the_console_gets_it_there() {
        let (mut streams, _) = streams(HostInput::Ready(Box::new(&b"ab"[..])));
        streams.write(Line::Console, INTERRUPT_ENABLE, 1, &[1]);
        streams.fill_console();
        assert_eq!(streams.take_interrupts(), (true, false));
        assert_eq!([0; 2].map(|_| console(&mut streams, DATA)), *b"ab");
        // The line has not ended: one key ends it, another the input.
        streams.fill_console();
        assert_eq!([0; 2].map(|_| console(&mut streams, DATA)), [4, 4]);
        streams.fill_console();
        assert_eq!(console(&mut streams, LINE_STATUS) & 1, 0);
    }

    #[test]
    fn what_is_handed_in_is_told_by_an_interrupt() {
        let (mut streams, _) = streams(HostInput::HandedIn);
        assert_eq!(ready(&mut streams), 0);
        assert_eq!(streams.input(b"x"), 1);
        assert_eq!(streams.take_interrupts(), (false, true));
        streams.end_input(None);
        assert_eq!(ready(&mut streams), 1);
    }
}
