//! A run of `vmm` on a terminal of its own, which controls it.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::pty::{Screen, Terminal};
use crate::support::{Target, binary};

/// Longer than any of these runs takes.
pub const PATIENCE: Duration = Duration::from_secs(20);
pub const POLL: Duration = Duration::from_millis(5);
/// How long after its cause a run may end.
const PROMISE: Duration = Duration::from_millis(500);
/// How often a run may be late because the host is busy.
const TRIES: usize = 4;
/// A run that would take an hour.
pub const LONG: [&str; 2] = ["spin", "3600000"];

/// The run, and its terminal.
pub struct Session {
    child: Child,
    pub terminal: Terminal,
}

impl Session {
    /// Starts `vmm run` with `args`, as the leader of a session with a terminal.
    pub fn start(target: Target, args: &[&str]) -> Self {
        Self::start_on(Terminal::open(Screen::Seen), target, args)
    }

    /// The same with this terminal.
    pub fn start_on(terminal: Terminal, target: Target, args: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command
            .arg("run")
            .args(target.options())
            .args(["--report", "none"])
            .args(args)
            .stdin(terminal.descriptor())
            .stdout(terminal.descriptor())
            .stderr(terminal.descriptor());
        let child = lead_session(&mut command, &terminal);
        Self { child, terminal }
    }

    /// Waits until the guest has the terminal.
    #[track_caller]
    pub fn wait_for_guest(&mut self) {
        self.wait(|terminal| terminal.is_for_guest());
    }

    /// Waits until the terminal is as it was.
    #[track_caller]
    pub fn wait_for_restored(&mut self) {
        self.wait(|terminal| terminal.is_restored());
    }

    /// Waits until the screen shows `text`.
    #[track_caller]
    pub fn wait_for_text(&mut self, text: &str) {
        self.wait(|terminal| terminal.shown().contains(text));
    }

    /// Types a key until the screen shows `text` for it: as long as what it is for has not
    /// started yet, nobody takes it.
    #[track_caller]
    pub fn type_until(&mut self, key: u8, text: &str) {
        let from = self.terminal.shown().len();
        let mut next = Instant::now();
        self.wait(|terminal| {
            let is_shown = terminal.shown()[from..].contains(text);
            if !is_shown && Instant::now() >= next {
                terminal.type_keys(&[key]);
                next = Instant::now() + Duration::from_secs(1);
            }
            is_shown
        });
    }

    #[track_caller]
    fn wait(&mut self, mut done: impl FnMut(&mut Terminal) -> bool) {
        let start = Instant::now();
        while !done(&mut self.terminal) {
            let shown = || self.terminal.shown();
            let ended = self.child.try_wait().expect("our child");
            assert_eq!(ended, None, "ended early: {}", shown());
            assert!(start.elapsed() < PATIENCE, "not yet: {}", shown());
            thread::sleep(POLL);
        }
    }

    pub fn type_keys(&mut self, keys: &[u8]) {
        self.terminal.type_keys(keys);
    }

    /// Sends a signal to the VMM alone.
    pub fn signal(&self, signal: Signal) {
        send(self.pid(), signal as i32);
    }

    /// Sends a signal to the VMM's thread of this name alone, when there is one.
    #[track_caller]
    pub fn signal_thread(&mut self, name: &str, signal: i32) {
        let pid = self.pid();
        let mut thread = None;
        self.wait(|_| {
            thread = thread_of(pid, name);
            thread.is_some()
        });
        let thread = thread.expect("waited for");
        // SAFETY: a plain system call, which no memory is part of.
        let sent = unsafe { libc::syscall(libc::SYS_tgkill, pid.as_raw(), thread, signal) };
        assert_eq!(sent, 0, "{name}");
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().expect("a process id"))
    }

    /// Waits for the end; asserts that the terminal is as it was, and returns how the
    /// process ended and what the terminal showed.
    #[track_caller]
    pub fn end(mut self) -> (ExitStatus, String) {
        let status = wait_for_end(&mut self.child);
        self.terminal.assert_restored();
        (status, self.terminal.close())
    }

    /// Closes the terminal under the run, and waits for its end.
    pub fn hang_up(mut self) -> ExitStatus {
        self.terminal.hang_up();
        wait_for_end(&mut self.child)
    }
}

/// Has `cause` end runs that `start` starts, until one ends in time, and returns how.
#[track_caller]
pub fn ends_in_time(
    start: impl Fn() -> Session,
    cause: impl Fn(&mut Session),
) -> (ExitStatus, String) {
    let mut late = Vec::new();
    while late.len() < TRIES {
        let mut session = start();
        cause(&mut session);
        let caused = Instant::now();
        let ended = session.end();
        if caused.elapsed() < PROMISE {
            return ended;
        }
        late.push(caused.elapsed());
    }
    panic!("late by {late:?}");
}

fn wait_for_end(child: &mut Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("our child") {
            return status;
        }
        if start.elapsed() > PATIENCE {
            child.kill().expect("our child");
            panic!("the VMM did not end");
        }
        thread::sleep(POLL);
    }
}

/// Waits until a process of somebody else's has ended, whether it has been waited for or
/// not.
#[track_caller]
pub fn wait_until_ended(pid: Pid) {
    let status = format!("/proc/{pid}/status");
    let has_ended = |text: String| text.contains("State:\tZ") || text.contains("State:\tX");
    let runs = || fs::read_to_string(&status).is_ok_and(|text| !has_ended(text));
    let start = Instant::now();
    while runs() {
        assert!(start.elapsed() < PATIENCE, "it did not end");
        thread::sleep(POLL);
    }
}

/// Sends a signal, perhaps one of those that have no name, to a process that has not been
/// waited for.
pub fn send(pid: Pid, signal: i32) {
    // SAFETY: a plain system call, which no memory is part of.
    assert_eq!(unsafe { libc::kill(pid.as_raw(), signal) }, 0, "{signal}");
}

/// The thread of this name, if there is one yet.
fn thread_of(pid: Pid, name: &str) -> Option<libc::pid_t> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let mut paths = threads.filter_map(|thread| Some(thread.ok()?.path()));
    let path = paths.find(|path| {
        let found = fs::read_to_string(path.join("comm"));
        found.is_ok_and(|found| found.trim_end() == name)
    });
    path?.file_name()?.to_str()?.parse().ok()
}

/// Starts `command` as the leader of a new session that `terminal` controls.
pub fn lead_session(command: &mut Command, terminal: &Terminal) -> Child {
    let descriptor = terminal.descriptor();
    let lead = move || -> io::Result<()> {
        nix::unistd::setsid()?;
        // SAFETY: a plain system call on an open descriptor.
        match unsafe { libc::ioctl(descriptor.as_raw_fd(), libc::TIOCSCTTY, 0) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: only system calls that a child of a process with threads may make.
    unsafe { command.pre_exec(lead) };
    command.spawn().expect("the command starts")
}
