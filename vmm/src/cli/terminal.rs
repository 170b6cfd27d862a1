//! The host's terminal while a guest uses it.

use std::io::{self, IsTerminal};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;

/// A terminal that passes each key to the guest, and returns to what it was when this
/// value is dropped. Keys that send signals (Ctrl-C) still do.
#[derive(Debug)]
pub struct GuestTerminal {
    stdin: io::Stdin,
    before: libc::termios,
}

impl GuestTerminal {
    /// Switches standard input, if it is a terminal.
    ///
    /// # Errors
    /// The terminal refuses.
    pub fn acquire() -> io::Result<Option<Self>> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Ok(None);
        }
        let mut before = MaybeUninit::uninit();
        // SAFETY: `before` has room for what tcgetattr writes.
        if unsafe { libc::tcgetattr(stdin.as_raw_fd(), before.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: tcgetattr succeeded and so filled it in.
        let before = unsafe { before.assume_init() };
        let mut during = before;
        during.c_lflag &= !(libc::ICANON | libc::ECHO);
        set(&stdin, &during)?;
        Ok(Some(Self { stdin, before }))
    }
}

fn set(stdin: &io::Stdin, mode: &libc::termios) -> io::Result<()> {
    // SAFETY: `mode` is a complete termios.
    match unsafe { libc::tcsetattr(stdin.as_raw_fd(), libc::TCSANOW, mode) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

impl Drop for GuestTerminal {
    fn drop(&mut self) {
        // The terminal may be gone by now (SIGHUP); then there is nothing to restore.
        let _ = set(&self.stdin, &self.before);
    }
}
