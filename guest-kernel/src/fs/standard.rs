//! The standard streams: what descriptors 0, 1 and 2 of the first program stand for.
//!
//! A stream is a terminal only if it is one on the host. If any is, there is one terminal:
//! its keys are the console's input, and what it shows is standard output, or standard
//! error where output goes elsewhere.

use abi::Errno;
use devices::serial::SerialPort;
use linux_raw_sys::general as linux;
use mm::Shared;

use crate::fs::device::Device;
use crate::fs::open_file::{Object, OpenFile};
use crate::fs::terminal::Line;

/// What the VMM says that they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandardStreams {
    /// Standard input is the input stream, not a terminal.
    pub input_is_stream: bool,
    /// Standard output is no terminal.
    pub output_is_stream: bool,
    /// Standard error.
    pub errors: StandardErrors,
}

/// What standard error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandardErrors {
    /// The same as standard output.
    WithOutput,
    /// The terminal, by a port of its own.
    Terminal,
    /// A port of its own and no terminal.
    Stream,
}

impl StandardStreams {
    /// All are the console, and that is a terminal.
    pub const CONSOLE: Self = Self {
        input_is_stream: false,
        output_is_stream: false,
        errors: StandardErrors::WithOutput,
    };

    /// Where the terminal's input comes from and its output goes. Output that no terminal
    /// shows goes to standard error.
    pub fn line(self) -> Line {
        let (output, is_shown) = match (self.output_is_stream, self.errors) {
            (false, _) => (SerialPort::CONSOLE, true),
            (true, StandardErrors::WithOutput) => (SerialPort::CONSOLE, false),
            (true, StandardErrors::Terminal) => (SerialPort::ERRORS, true),
            (true, StandardErrors::Stream) => (SerialPort::ERRORS, false),
        };
        Line {
            has_input: !self.input_is_stream,
            output,
            is_shown,
        }
    }

    /// Opens them.
    ///
    /// # Errors
    /// There is no memory.
    pub fn open(self) -> Result<[Shared<OpenFile>; 3], Errno> {
        let console = || OpenFile::new(Object::Device(Device::Console), linux::O_RDWR);
        let stream = |port| OpenFile::new(Object::Output(port), linux::O_WRONLY);
        let input = match self.input_is_stream {
            true => OpenFile::new(Object::Input, linux::O_RDONLY)?,
            false => console()?,
        };
        let output = match self.output_is_stream {
            true => stream(SerialPort::CONSOLE)?,
            false if self.input_is_stream => console()?,
            false => input.clone(),
        };
        let errors = match self.errors {
            StandardErrors::WithOutput => output.clone(),
            StandardErrors::Terminal => {
                OpenFile::new(Object::Device(Device::Errors), linux::O_RDWR)?
            }
            StandardErrors::Stream => stream(SerialPort::ERRORS)?,
        };
        Ok([input, output, errors])
    }
}
