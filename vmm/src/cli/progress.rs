//! A progress line, while standard error is a terminal.

use std::io::{self, IsTerminal, Write};

/// The line. Show nothing while a guest prints.
pub struct Progress {
    terminal: bool,
    shown: bool,
}

impl Progress {
    /// None yet.
    pub fn new() -> Self {
        Self {
            terminal: io::stderr().is_terminal(),
            shown: false,
        }
    }

    /// Replaces the line.
    pub fn show(&mut self, text: &str) {
        if self.terminal {
            Self::write(text);
            self.shown = true;
        }
    }

    /// Takes the line away.
    pub fn clear(&mut self) {
        if self.shown {
            Self::write("");
        }
    }

    /// Replaces the line by `text`. Nothing is lost if the terminal is gone.
    fn write(text: &str) {
        const CARRIAGE_RETURN_AND_CLEAR: &str = "\r\x1b[K";
        let mut stderr = io::stderr().lock();
        let _ = write!(stderr, "{CARRIAGE_RETURN_AND_CLEAR}{text}");
        let _ = stderr.flush();
    }
}
