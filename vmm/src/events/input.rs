//! Input from the host. What is always ready (a file) is read by the guest's device when
//! the guest asks, so that a guest finds the same in every run; all else is waited for
//! here.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use libc::SIGINT;
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent};
use vmm_sys_util::timerfd::TimerFd;

use super::InputSource;
use super::keys::{Key, Keys};
use crate::control::{Control, StopReason};
use crate::devices::HostInput;

/// Bytes read at a time.
const CHUNK: usize = 4096;
/// Between looks whether a terminal is ours again.
const LOOK: Duration = Duration::from_millis(100);

/// Input that must be waited for.
#[derive(Debug)]
pub struct WaitingInput {
    source: File,
    /// At a terminal, what shows its keys.
    terminal: Option<fn()>,
}

/// What the guest's devices take their input from, and what is to be watched for them.
///
/// # Errors
/// The host is out of descriptors.
pub fn host_input(source: InputSource) -> io::Result<(HostInput, Option<WaitingInput>)> {
    let (fd, terminal) = match source {
        InputSource::None => return Ok((HostInput::None, None)),
        InputSource::Descriptor(fd) => (fd, None),
        InputSource::Terminal { fd, help } => (fd, Some(help)),
    };
    let source = File::from(fd.try_clone()?);
    if is_always_ready(&source)? {
        return Ok((HostInput::Ready(Box::new(source)), None));
    }
    Ok((HostInput::HandedIn, Some(WaitingInput { source, terminal })))
}

/// Whether this process may read `terminal`: it is in the foreground, or the terminal is
/// not the one that controls it.
fn is_foreground(terminal: &File) -> bool {
    // SAFETY: plain queries, of an open descriptor and of this process.
    let (foreground, own) = unsafe { (libc::tcgetpgrp(terminal.as_raw_fd()), libc::getpgrp()) };
    foreground == own || foreground < 0
}

/// Whether nobody ever waits for it: epoll takes only what can be waited for.
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

/// Reads while there is room in the guest's queue, so that a guest that reads nothing
/// takes nothing from a pipe; and a terminal while this process is in its foreground: what
/// is typed at other times is for others, and who reads it is stopped.
pub struct Input {
    input: WaitingInput,
    keys: Keys,
    /// Set while a terminal is not ours.
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
            look: TimerFd::new()?,
            control,
            watched: false,
            ended: false,
        })
    }

    fn source_events(&self) -> Events {
        Events::new(&self.input.source, EventSet::IN)
    }

    /// Bytes to be read now. A terminal is read though the guest wants nothing: the keys
    /// may be the VMM's, or signals.
    fn room(&self) -> usize {
        match self.input.terminal {
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
            Ok(0) => self.end(None),
            Ok(count) => self.take(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // The terminal is gone: that is how its input ends.
            Err(error)
                if self.input.terminal.is_some() && error.raw_os_error() == Some(libc::EIO) =>
            {
                self.end(None);
            }
            Err(error) => self.end(Some(error)),
        }
    }

    fn end(&mut self, error: Option<io::Error>) {
        self.ended = true;
        self.control.end_input(error);
    }

    fn take(&mut self, bytes: &[u8]) {
        let Some(help) = self.input.terminal else {
            self.control.push_input(bytes);
            return;
        };
        let mut for_guest = Vec::with_capacity(bytes.len());
        for key in bytes.iter().filter_map(|&byte| self.keys.key(byte)) {
            match key {
                Key::Guest(byte) => for_guest.push(byte),
                Key::Help => help(),
                Key::End => self.control.stop(StopReason::Signal(SIGINT as u8)),
            }
        }
        self.control.push_input(&for_guest);
    }

    /// Starts or stops watching the source, as room and its end say.
    fn update(&mut self, ops: &mut EventOps<'_>) {
        let wanted = !self.ended && self.room() > 0;
        if !wanted && !self.ended && self.input.terminal.is_some() {
            // Without the timer the terminal is not looked at again, and that is all.
            let _ = self.look.reset(LOOK, None);
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
        } else {
            // Resets the counter; it is non-blocking and readable.
            let _ = self.control.room().read();
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
    }
}
