//! The standard streams: what descriptors 0, 1 and 2 of the first program stand for.
//!
//! A stream is a terminal only if it is one on the host. If any is, there is one terminal:
//! its keys are the console's input, and what it shows is standard output, or standard
//! error where output goes elsewhere.

use abi::Errno;
use devices::serial::SerialPort;
use formats::command_line::{StandardErrors, StandardStreams};
use linux_raw_sys::general as linux;
use mm::Shared;

use crate::fs::device::Device;
use crate::fs::open_file::{Object, OpenFile};
use crate::fs::terminal::Line;

/// Where the terminal's input comes from and its output goes. Output that no terminal
/// shows goes to standard error.
pub fn line(streams: StandardStreams) -> Line {
    let (output, is_shown) = match (streams.output_is_stream, streams.errors) {
        (false, _) => (SerialPort::CONSOLE, true),
        (true, StandardErrors::WithOutput) => (SerialPort::CONSOLE, false),
        (true, StandardErrors::Terminal) => (SerialPort::ERRORS, true),
        (true, StandardErrors::Stream) => (SerialPort::ERRORS, false),
    };
    Line {
        has_input: !streams.input_is_stream,
        output,
        is_shown,
    }
}

/// Opens them.
///
/// # Errors
/// There is no memory.
pub fn open(streams: StandardStreams) -> Result<[Shared<OpenFile>; 3], Errno> {
    let console = || OpenFile::new(Object::Device(Device::Console), linux::O_RDWR);
    let stream = |port| OpenFile::new(Object::Output(port), linux::O_WRONLY);
    let input = match streams.input_is_stream {
        true => OpenFile::new(Object::Input, linux::O_RDONLY)?,
        false => console()?,
    };
    let output = match streams.output_is_stream {
        true => stream(SerialPort::CONSOLE)?,
        false if streams.input_is_stream => console()?,
        false => input.clone(),
    };
    let errors = match streams.errors {
        StandardErrors::WithOutput => output.clone(),
        StandardErrors::Terminal => OpenFile::new(Object::Device(Device::Errors), linux::O_RDWR)?,
        StandardErrors::Stream => stream(SerialPort::ERRORS)?,
    };
    Ok([input, output, errors])
}
