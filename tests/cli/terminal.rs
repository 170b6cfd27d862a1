//! The terminal is the guest's while it runs, and afterwards as it was, however it ended.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, Termios, tcgetattr};
use nix::unistd::Pid;

use crate::support::suite::Case;
use crate::support::{Target, binary};

/// Longer than any of these runs takes.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);

pub const CASES: &[Case] = &[
    ("terminal_after_an_exit", after_an_exit),
    ("terminal_after_bad_input", after_bad_input),
    ("terminal_after_a_signal", after_a_signal),
    ("terminal_after_a_timeout", after_a_timeout),
];

/// A run of `vmm` on a terminal of its own.
struct Session {
    child: Child,
    terminal: OwnedFd,
    master: File,
    before: Termios,
}

impl Session {
    fn start(target: Target, args: &[&str]) -> Self {
        let pty = openpty(None, None).expect("the host has pseudo-terminals");
        let before = mode(&pty.slave);
        let terminal = || Stdio::from(pty.slave.try_clone().expect("a descriptor"));
        let child = Command::new(binary())
            .arg("run")
            .args(target.options())
            .args(args)
            .stdin(terminal())
            .stdout(terminal())
            .stderr(terminal())
            .spawn()
            .expect("the binary under test starts");
        Self {
            child,
            terminal: pty.slave,
            master: pty.master.into(),
            before,
        }
    }

    /// Waits until the guest has the terminal: keys come one by one and are not echoed.
    fn wait_for_guest(&mut self) {
        let start = Instant::now();
        while mode(&self.terminal)
            .local_flags
            .contains(LocalFlags::ICANON)
        {
            let ended = self.child.try_wait().expect("our child");
            assert_eq!(ended, None, "the VMM ended early");
            assert!(
                start.elapsed() < PATIENCE,
                "the guest never got the terminal"
            );
            thread::sleep(POLL);
        }
        assert!(!mode(&self.terminal).local_flags.contains(LocalFlags::ECHO));
    }

    /// Waits for the end; returns the exit status and what the terminal showed.
    fn end(mut self) -> (Option<i32>, String) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("our child") {
                break status;
            }
            if start.elapsed() > PATIENCE {
                self.child.kill().expect("our child");
                panic!("the VMM did not end");
            }
            thread::sleep(POLL);
        };
        assert_eq!(
            mode(&self.terminal),
            self.before,
            "the terminal was changed"
        );
        drop(self.terminal);
        let mut shown = Vec::new();
        // A terminal without a user reads as an error after its last byte.
        let _ = self.master.read_to_end(&mut shown);
        (status.code(), String::from_utf8_lossy(&shown).into_owned())
    }
}

fn mode(terminal: &impl AsFd) -> Termios {
    tcgetattr(terminal).expect("it is a terminal")
}

fn after_an_exit(target: Target) {
    let (status, shown) = Session::start(target, &["hello"]).end();
    assert_eq!(status, Some(0), "{shown}");
    assert!(shown.contains("Outcome  exited with status 0"), "{shown}");
}

fn after_bad_input(target: Target) {
    let (status, shown) = Session::start(target, &["no such program"]).end();
    assert_eq!(status, Some(2), "{shown}");
    assert_eq!(shown.lines().count(), 1, "{shown}");
}

fn after_a_signal(target: Target) {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut session = Session::start(target, &["--report", "none", "spin", "3600000"]);
        session.wait_for_guest();
        let pid = Pid::from_raw(session.child.id().try_into().expect("a process id"));
        kill(pid, signal).expect("our child");
        let (status, shown) = session.end();
        assert_eq!(status, Some(128 + signal as i32), "{shown}");
    }
}

fn after_a_timeout(target: Target) {
    let args = ["--report", "none", "--timeout", "300ms", "spin", "3600000"];
    let (status, shown) = Session::start(target, &args).end();
    assert_eq!(status, Some(124), "{shown}");
    assert!(shown.contains("vmm: timeout"), "{shown}");
}
