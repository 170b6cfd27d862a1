//! The session that a terminal controls, of which one process group at a time is in the
//! foreground (POSIX.1-2017, 11.1).

use abi::Errno;

use crate::fs::terminal::{CONSOLE, Found, LINK, Terminal, pseudo};
use crate::proc::signal::{Reaction, Signal, send, send_to_group};
use crate::proc::{current, current_thread, stop, table};

/// The terminal that controls this session.
pub fn of_session(session: u32) -> Option<Found> {
    find(|terminal| terminal.session() == session && !terminal.is_hung_up())
}

fn find(is_it: impl Fn(&Terminal) -> bool) -> Option<Found> {
    let ports: [&Terminal; 2] = [&CONSOLE, &LINK];
    let port = ports.into_iter().find(|terminal| is_it(terminal));
    let pseudo = || pseudo::find_terminal(is_it).map(Found::Pseudo);
    port.map(Found::Port).or_else(pseudo)
}

/// Frees the terminals of a session whose leader has ended, also one that was hung up, and
/// signals the foreground group.
pub fn leader_ended(session: u32) {
    while let Some(terminal) = find(|terminal| terminal.session() == session) {
        let foreground = terminal.let_go();
        send_to_group(foreground, Signal::SIGHUP);
        if terminal.is_hung_up() {
            send_to_group(foreground, Signal::SIGCONT);
        }
    }
}

/// Tells the leader of its session that a terminal has been hung up.
pub fn hung_up(terminal: &Terminal) {
    let leader = table::process(terminal.session());
    for signal in [Signal::SIGHUP, Signal::SIGCONT] {
        leader.inspect(|leader| send(leader, signal));
    }
}

impl Terminal {
    /// The process group in the foreground; 0 is none.
    pub fn foreground(&self) -> u32 {
        self.foreground.get()
    }

    /// Makes a process group of its session the one in the foreground.
    pub fn set_foreground(&self, group: u32) {
        self.foreground.set(group);
        self.is_claimed.set(true);
    }

    /// Controls the processes of a session from now on, this group of them first; another
    /// session may still claim it.
    pub fn control(&self, session: u32, foreground: u32) {
        self.session.set(session);
        self.foreground.set(foreground);
        self.is_claimed.set(false);
    }

    /// The same, and no other session may.
    pub fn be_claimed(&self, session: u32, foreground: u32) {
        self.control(session, foreground);
        self.is_claimed.set(true);
    }

    /// Whether the session that it controls has claimed it.
    pub fn is_claimed(&self) -> bool {
        self.is_claimed.get()
    }

    /// Releases its session; returns the group that was in the foreground.
    pub fn let_go(&self) -> u32 {
        let foreground = self.foreground.get();
        self.control(0, 0);
        pseudo::forget_if_gone(self);
        foreground
    }

    /// The session that it controls; 0 is none.
    pub fn session(&self) -> u32 {
        self.session.get()
    }

    /// Lets the current process do what is for the group in the foreground: if it is in
    /// the background, its group is sent `signal`, SIGTTIN or SIGTTOU, and it has to try
    /// again.
    ///
    /// # Errors
    /// RESTART: the signal is sent. EIO: SIGTTIN is ignored or blocked, or the group is
    /// orphaned and could never continue.
    pub fn require_foreground(&self, signal: Signal) -> Result<(), Errno> {
        let (process, foreground) = (current(), self.foreground.get());
        let group = process.group();
        let is_controlled = process.session() == self.session.get() && foreground != 0;
        if !is_controlled || group == foreground {
            return Ok(());
        }
        let is_blocked = current_thread().blocked_signals().contains(signal);
        if is_blocked || process.reaction(signal) == Reaction::Ignore {
            return match signal {
                Signal::SIGTTOU => Ok(()),
                _ => Err(Errno::EIO),
            };
        }
        if stop::is_orphaned(group) {
            return Err(Errno::EIO);
        }
        send_to_group(group, signal);
        Err(Errno::RESTART)
    }
}
