//! A run of `vmm` on a terminal of its own, which controls it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, Termios, tcgetattr};
use nix::unistd::Pid;

use crate::support::{Target, binary};

/// Longer than any of these runs takes.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);
/// Within what a run ends after a signal or its limit, with as much again for a host that
/// is busy with other tests.
pub const PROMPTLY: Duration = Duration::from_millis(500 + 500);

/// The run, and its terminal as a user has it.
pub struct Session {
    child: Child,
    terminal: OwnedFd,
    keyboard: File,
    screen: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
    before: Termios,
}

impl Session {
    /// Starts `vmm run` with `args`, as the leader of a session with this terminal.
    pub fn start(target: Target, args: &[&str]) -> Self {
        let pty = openpty(None, None).expect("the host has pseudo-terminals");
        let before = mode(&pty.slave);
        let terminal = || Stdio::from(pty.slave.try_clone().expect("a descriptor"));
        let mut command = Command::new(binary());
        command.arg("run").args(target.options()).args(args);
        command
            .stdin(terminal())
            .stdout(terminal())
            .stderr(terminal());
        // SAFETY: only system calls that a child of a process with threads may make.
        unsafe { command.pre_exec(lead_session) };
        let child = command.spawn().expect("the binary under test starts");
        let keyboard = File::from(pty.master);
        let master = keyboard.try_clone().expect("a descriptor");
        let screen = Arc::default();
        let shown = Arc::clone(&screen);
        Self {
            child,
            terminal: pty.slave,
            keyboard,
            screen,
            reader: thread::spawn(move || show(master, &shown)),
            before,
        }
    }

    /// Waits until the guest has the terminal: keys come one by one and are not echoed.
    pub fn wait_for_guest(&mut self) {
        self.wait(|session| !session.is_canonical());
        assert!(!mode(&self.terminal).local_flags.contains(LocalFlags::ECHO));
    }

    /// Waits until the terminal is as it was.
    pub fn wait_for_restored(&mut self) {
        self.wait(|session| mode(&session.terminal) == session.before);
    }

    /// Waits until the screen shows `text`.
    pub fn wait_for_text(&mut self, text: &str) {
        self.wait(|session| session.shown().contains(text));
    }

    #[track_caller]
    fn wait(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            let ended = self.child.try_wait().expect("our child");
            assert_eq!(ended, None, "ended early: {}", self.shown());
            assert!(start.elapsed() < PATIENCE, "not yet: {}", self.shown());
            thread::sleep(POLL);
        }
    }

    fn is_canonical(&self) -> bool {
        mode(&self.terminal)
            .local_flags
            .contains(LocalFlags::ICANON)
    }

    pub fn shown(&self) -> String {
        let screen = self.screen.lock().expect("the reader does not panic");
        String::from_utf8_lossy(&screen).into_owned()
    }

    /// Types `keys`.
    pub fn type_keys(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).expect("the terminal is open");
    }

    /// Sends a signal to the VMM alone.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("our child");
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().expect("a process id"))
    }

    /// Waits for the end; asserts that the terminal is as it was, and returns how the
    /// process ended and what the terminal showed.
    pub fn end(mut self) -> (ExitStatus, String) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("our child") {
                break status;
            }
            if start.elapsed() > PATIENCE {
                self.child.kill().expect("our child");
                panic!("the VMM did not end: {}", self.shown());
            }
            thread::sleep(POLL);
        };
        let after = mode(&self.terminal);
        assert_eq!(after, self.before, "{status}: {}", self.shown());
        drop(self.terminal);
        self.reader.join().expect("the reader does not panic");
        let screen = self.screen.lock().expect("the reader does not panic");
        (status, String::from_utf8_lossy(&screen).into_owned())
    }

    /// The same within [`PROMPTLY`] of now.
    #[track_caller]
    pub fn end_promptly(self) -> (ExitStatus, String) {
        let start = Instant::now();
        let ended = self.end();
        assert!(start.elapsed() < PROMPTLY, "{:?}", start.elapsed());
        ended
    }
}

/// What a status says, as a shell would: 128+n if signal n killed the process.
pub fn shell_status(status: ExitStatus) -> i32 {
    let killed = status.signal().map(|signal| 128 + signal);
    status.code().or(killed).expect("a process ends either way")
}

/// Keeps what the terminal shows until it has no user any more, which reads as an error.
fn show(mut master: File, screen: &Mutex<Vec<u8>>) {
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = master.read(&mut chunk) {
        let mut screen = screen.lock().expect("nobody panics with it");
        screen.extend(&chunk[..count]);
    }
}

/// Makes this process lead a new session that standard input, a terminal, controls.
fn lead_session() -> io::Result<()> {
    nix::unistd::setsid()?;
    // SAFETY: a plain system call on an open descriptor.
    match unsafe { libc::ioctl(io::stdin().as_raw_fd(), libc::TIOCSCTTY, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn mode(terminal: &impl AsFd) -> Termios {
    tcgetattr(terminal).expect("it is a terminal")
}
