//! A terminal as a user has it: a keyboard, a screen, and settings that must come back.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::termios::{FlowArg, LocalFlags, SetArg, Termios, tcflow, tcgetattr, tcsetattr};
use nix::unistd::{Pid, tcgetpgrp};

/// What becomes of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// It is read and kept.
    Seen,
    /// Nobody reads it: so many bytes have room, and no more.
    Unread,
    /// It is stopped, as by Ctrl-S.
    Stopped,
}

/// A pseudo-terminal.
pub struct Terminal {
    pub path: String,
    slave: OwnedFd,
    keyboard: File,
    screen: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
    before: Termios,
}

impl Terminal {
    pub fn open(screen: Screen) -> Self {
        // Not by openpty: runs of other tests would inherit what it opens.
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let master = posix_openpt(flags).expect("the host has pseudo-terminals");
        grantpt(&master).expect("it is ours");
        unlockpt(&master).expect("it is ours");
        let path = ptsname_r(&master).expect("it has a name");
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(libc::O_NOCTTY);
        let slave = OwnedFd::from(options.open(&path).expect("it is ours"));
        if screen == Screen::Stopped {
            tcflow(&slave, FlowArg::TCOOFF).expect("it is a terminal");
        }
        let before = mode(&slave);
        let keyboard = File::from(OwnedFd::from(master));
        let shown = Arc::default();
        let reader = (screen == Screen::Seen).then(|| {
            let master = keyboard.try_clone().expect("a descriptor");
            let shown = Arc::clone(&shown);
            thread::spawn(move || show(master, &shown))
        });
        Self {
            path,
            slave,
            keyboard,
            screen: shown,
            reader,
            before,
        }
    }

    /// For a process to use.
    pub fn descriptor(&self) -> OwnedFd {
        self.slave.try_clone().expect("a descriptor")
    }

    /// Gives the screen another size, of which the session is told.
    pub fn resize(&self, columns: u16, rows: u16) {
        let size = libc::winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // SAFETY: the call reads a complete `winsize`.
        let set = unsafe { libc::ioctl(self.keyboard.as_raw_fd(), libc::TIOCSWINSZ, &size) };
        assert_eq!(set, 0, "it is a terminal");
    }

    /// The process group in the foreground.
    pub fn foreground(&self) -> Pid {
        tcgetpgrp(&self.keyboard).expect("it controls a session")
    }

    pub fn type_keys(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).expect("the terminal is open");
    }

    /// What the screen shows, from the start.
    pub fn shown(&self) -> String {
        let screen = self.screen.lock().expect("the reader does not panic");
        String::from_utf8_lossy(&screen).into_owned()
    }

    /// Whether a guest has it: keys come one by one and are not echoed.
    pub fn is_for_guest(&self) -> bool {
        let cooked = LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG;
        !mode(&self.slave).local_flags.intersects(cooked)
    }

    pub fn is_restored(&self) -> bool {
        mode(&self.slave) == self.before
    }

    /// Asserts that every setting is as it was.
    #[track_caller]
    pub fn assert_restored(&self) {
        assert_eq!(mode(&self.slave), self.before, "{}", self.shown());
    }

    /// Puts the settings back, as some shells do when a job has stopped.
    pub fn put_back(&self) {
        tcsetattr(&self.slave, SetArg::TCSANOW, &self.before).expect("it is a terminal");
    }

    /// Waits for the last output of processes that have all ended, and returns all of it.
    pub fn close(self) -> String {
        drop(self.slave);
        if let Some(reader) = self.reader {
            reader.join().expect("the reader does not panic");
        }
        let screen = self.screen.lock().expect("the reader does not panic");
        String::from_utf8_lossy(&screen).into_owned()
    }

    /// Takes the terminal away from those who use it. Nobody can ask for its settings then.
    pub fn hang_up(self) {
        assert!(self.reader.is_none(), "its reader keeps it");
    }
}

/// Keeps what the terminal shows until it has no user any more, which reads as an error.
fn show(mut master: File, screen: &Mutex<Vec<u8>>) {
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = master.read(&mut chunk) {
        let mut screen = screen.lock().expect("nobody panics with it");
        screen.extend(&chunk[..count]);
    }
}

fn mode(terminal: &impl AsFd) -> Termios {
    tcgetattr(terminal).expect("it is a terminal")
}
