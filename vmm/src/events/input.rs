//! Input from the host. A source that is always ready (a file) is read by the guest's
//! device when the guest asks, so that every run gets the same; other sources are waited
//! for here.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use std::sync::Arc;
use std::time::Duration;

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent};
use vmm_sys_util::timerfd::TimerFd;

use super::InputSource;
use super::keys::{Key, Keys};
use crate::control::Control;
use crate::devices::HostInput;
use crate::poll::open_anew;

/// Bytes read at a time.
const CHUNK: usize = 1 << 16;
/// The interval between checks whether a terminal is ours again.
const LOOK: Duration = Duration::from_millis(100);
/// Keys that wait for a guest before no more are read, in bytes.
const HELD: usize = 1 << 16;
/// How long so many wait for the guest to take some, before they are lost.
const PATIENCE: Duration = Duration::from_millis(250);

/// Input that must be waited for.
#[derive(Debug)]
pub struct WaitingInput {
    source: File,
    /// What the VMM's own keys do, at a terminal.
    terminal: Option<OwnKeys>,
}

#[derive(Clone, Copy, Debug)]
struct OwnKeys {
    help: fn(),
    end: fn(),
}

/// What the guest's devices take their input from, and what is to be watched for them.
///
/// # Errors
/// The host is out of descriptors.
pub fn host_input(source: InputSource) -> io::Result<(HostInput, Option<WaitingInput>)> {
    let (fd, terminal) = match source {
        InputSource::None => return Ok((HostInput::None, None)),
        InputSource::Descriptor(fd) => (fd, None),
        InputSource::Terminal { fd, help, end } => (fd, Some(OwnKeys { help, end })),
    };
    let source = File::from(fd.try_clone()?);
    if !is_for_reading(&source) || is_always_ready(&source)? {
        return Ok((HostInput::Ready(Box::new(source)), None));
    }
    // Another reader of a pipe may be faster: then this one must not wait.
    let anew = match source.metadata()?.file_type().is_fifo() {
        true => open_anew(&source, OpenOptions::new().read(true)).ok(),
        false => None,
    };
    let source = anew.unwrap_or(source);
    Ok((HostInput::HandedIn, Some(WaitingInput { source, terminal })))
}

/// Whether this process may use `terminal`: it is in the foreground, or the terminal is not
/// the one that controls it. Safe in a signal handler.
pub fn is_foreground(terminal: &impl AsRawFd) -> bool {
    // SAFETY: plain queries, of an open descriptor and of this process.
    let (foreground, own) = unsafe { (libc::tcgetpgrp(terminal.as_raw_fd()), libc::getpgrp()) };
    foreground == own || foreground < 0
}

/// Whether it was opened for that. What was not is never ready, and fails at once.
fn is_for_reading(file: &File) -> bool {
    // SAFETY: a plain query of an open descriptor.
    let flags = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) };
    flags & libc::O_ACCMODE != libc::O_WRONLY && flags & libc::O_PATH == 0
}

/// Whether it is always ready: epoll refuses such files.
fn is_always_ready(file: &File) -> io::Result<bool> {
    let epoll = Epoll::new()?;
    let added = epoll.ctl(
        ControlOperation::Add,
        file.as_raw_fd(),
        EpollEvent::default(),
    );
    match added {
        Ok(()) => Ok(false),
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Reads while there is room in the guest's queue, so that a guest that reads nothing takes
/// nothing from a pipe; and a terminal while this process is in its foreground: keys typed
/// at other times are for other processes, and a background read is stopped.
///
/// Keys are queued while the guest takes some now and then, so that a long text can be
/// pasted. But the VMM's own keys may be behind those that a guest does not read: of many
/// that it leaves for a while some are dropped.
pub struct Input {
    input: WaitingInput,
    keys: Keys,
    /// Keys for the guest that there is no room for yet.
    held: Vec<u8>,
    /// Whether the guest has left too many for too long.
    idle: bool,
    /// Whether the terminal is gone.
    hung_up: bool,
    /// Set while a terminal is not read.
    look: TimerFd,
    control: Arc<Control>,
    /// Whether the source is in the loop now.
    watched: bool,
    ended: bool,
}

impl Input {
    /// # Errors
    /// The host is out of descriptors.
    pub fn new(input: WaitingInput, control: Arc<Control>) -> io::Result<Self> {
        Ok(Self {
            input,
            keys: Keys::default(),
            held: Vec::new(),
            idle: false,
            hung_up: false,
            look: TimerFd::new()?,
            control,
            watched: false,
            ended: false,
        })
    }

    fn source_events(&self) -> Events {
        Events::new(&self.input.source, EventSet::IN)
    }

    /// Bytes to be read now. A terminal is read even if the guest does not: the keys may be
    /// the VMM's, or signals.
    fn room(&self) -> usize {
        match self.input.terminal {
            Some(_) if self.hung_up || self.held.len() >= HELD => 0,
            Some(_) if is_foreground(&self.input.source) => CHUNK,
            Some(_) => 0,
            None => self.control.input_room().min(CHUNK),
        }
    }

    /// Reads once, as much as there is room for.
    fn read_some(&mut self) {
        let mut chunk = [0; CHUNK];
        let room = self.room();
        if room == 0 {
            return;
        }
        match self.input.source.read(&mut chunk[..room]) {
            // SIGHUP comes with that, if it is not ignored, and is to end the run first.
            Ok(0) if self.input.terminal.is_some() => self.hung_up = true,
            Ok(0) => self.end(None),
            Ok(count) => self.take(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error)
                if self.input.terminal.is_some() && error.raw_os_error() == Some(libc::EIO) =>
            {
                self.hung_up = true;
            }
            Err(error) => self.end(Some(error)),
        }
    }

    fn end(&mut self, error: Option<io::Error>) {
        self.ended = true;
        self.control.end_input(error);
    }

    fn take(&mut self, bytes: &[u8]) {
        let Some(OwnKeys { help, end }) = self.input.terminal else {
            self.control.push_input(bytes);
            return;
        };
        for key in bytes.iter().filter_map(|&byte| self.keys.key(byte)) {
            match key {
                Key::Guest(byte) => self.held.push(byte),
                Key::Help => help(),
                Key::End => end(),
            }
        }
        self.hand_over();
        if self.idle {
            self.held.clear();
        }
    }

    /// Hands the guest the queued keys, as far as there is room.
    fn hand_over(&mut self) {
        let count = self.control.push_input(&self.held);
        self.held.drain(..count);
    }

    /// Starts or stops watching the source, as room and its end say.
    fn update(&mut self, ops: &mut EventOps<'_>) {
        let wanted = !self.ended && self.room() > 0;
        if !wanted && !self.ended && self.input.terminal.is_some() {
            let is_full = self.held.len() >= HELD;
            let delay = if is_full { PATIENCE } else { LOOK };
            // Without the timer the terminal is not looked at again, and that is all.
            let _ = self.look.reset(delay, None);
        }
        if wanted == self.watched {
            return;
        }
        // It could be watched when it was opened, so only a descriptor that has gone is
        // refused; then there is no more input.
        let changed = match wanted {
            true => ops.add(self.source_events()),
            false => ops.remove(self.source_events()),
        };
        self.watched = wanted && changed.is_ok();
        if wanted && changed.is_err() {
            self.end(None);
        }
    }
}

impl MutEventSubscriber for Input {
    fn process(&mut self, events: Events, ops: &mut EventOps<'_>) {
        if events.fd() == self.input.source.as_raw_fd() {
            self.read_some();
        } else if events.fd() == self.look.as_raw_fd() {
            // Its expiry was why this was called; reading it cannot block.
            let _ = self.look.wait();
            if self.hung_up {
                self.end(None);
            } else if self.held.len() >= HELD {
                self.idle = true;
                self.held.clear();
            }
        } else {
            // Resets the counter; it is non-blocking and readable.
            let _ = self.control.room().read();
            self.idle = false;
            if !self.held.is_empty() {
                self.hand_over();
            }
        }
        self.update(ops);
    }

    fn init(&mut self, ops: &mut EventOps<'_>) {
        let room = Events::new(self.control.room(), EventSet::IN);
        let look = Events::new(&self.look, EventSet::IN);
        if ops.add(room).is_ok() && ops.add(look).is_ok() {
            self.update(ops);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;

    fn input(fd: impl Into<OwnedFd>) -> (HostInput, Option<WaitingInput>) {
        host_input(InputSource::Descriptor(Arc::new(fd.into()))).expect("descriptors")
    }

    #[test]
    fn files_are_read_at_once_and_pipes_are_waited_for() {
        let file = File::open("Cargo.toml").expect("the package's own");
        assert!(matches!(input(file), (HostInput::Ready(_), None)));
        let null = File::open("/dev/null").expect("every host has it");
        assert!(matches!(input(null), (HostInput::Ready(_), None)));
        let (pipe, _writer) = io::pipe().expect("a pipe");
        assert!(matches!(input(pipe), (HostInput::HandedIn, Some(_))));
        let (_reader, writer) = io::pipe().expect("a pipe");
        assert!(matches!(input(writer), (HostInput::Ready(_), None)));
    }
}
