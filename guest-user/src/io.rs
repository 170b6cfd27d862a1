//! Output: `print!` and `println!`.

use core::fmt::{self, Write};

use crate::syscall;

/// Standard output.
pub const STDOUT: u32 = 1;
/// Standard error.
pub const STDERR: u32 = 2;

/// Gathers text, so that a line is one system call.
struct Writer {
    fd: u32,
    buffer: [u8; 256],
    used: usize,
}

impl Writer {
    fn flush(&mut self) -> fmt::Result {
        let mut rest = &self.buffer[..self.used];
        self.used = 0;
        while !rest.is_empty() {
            let written = syscall::write(self.fd, rest).map_err(|_| fmt::Error)?;
            rest = &rest[written as usize..];
        }
        Ok(())
    }
}

impl Write for Writer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            if self.used == self.buffer.len() {
                self.flush()?;
            }
            self.buffer[self.used] = byte;
            self.used += 1;
        }
        Ok(())
    }
}

/// Writes formatted text to a file; errors are ignored.
pub fn print(fd: u32, text: fmt::Arguments<'_>) {
    let mut writer = Writer {
        fd,
        buffer: [0; 256],
        used: 0,
    };
    // An error cannot be reported.
    let _ = writer.write_fmt(text).and_then(|()| writer.flush());
}

/// Prints to standard output.
#[macro_export]
macro_rules! print {
    ($($argument:tt)*) => {
        $crate::io::print($crate::io::STDOUT, format_args!($($argument)*))
    };
}

/// Prints a line to standard output.
#[macro_export]
macro_rules! println {
    () => {
        $crate::print!("\n")
    };
    ($text:literal $($argument:tt)*) => {
        $crate::print!("{}\n", format_args!($text $($argument)*))
    };
}
