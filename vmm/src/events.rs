//! The main thread's event loop while a vCPU runs: console input, timers, stop requests,
//! and the end of the vCPU's thread.
//!
//! Each source is one subscriber of an event-manager loop; what it does is to call
//! [`Control`], nothing more.

use std::cell::Cell;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use event_manager::{EventManager, EventOps, EventSet, Events, MutEventSubscriber, SubscriberOps};
use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::timerfd::TimerFd;

use crate::control::{Control, StopReason};

/// Bytes read from the console's input at a time.
const INPUT_CHUNK: usize = 512;
/// What the guest's terminal takes for the end of input at the start of a line, and
/// elsewhere for the end of the line (ASCII EOT).
const END_OF_INPUT: u8 = 4;
/// Places in the guest's queue that stay free for the end of input.
const END_ROOM: usize = 2;

/// Where console input comes from. Clones read from the same place, one what the others
/// have left.
#[derive(Clone, Debug)]
pub enum InputSource {
    /// Nowhere.
    None,
    /// A descriptor of the host: terminal, pipe or file. Its end becomes the character
    /// that ends input on a terminal (EOT).
    Descriptor(Arc<OwnedFd>),
}

/// A descriptor that becomes readable when the host wants the run to stop, and the number
/// of the signal that this stands for.
pub type StopSource = (Arc<OwnedFd>, u8);

/// The signal of the first of `stop` that is readable now, if one is.
///
/// # Errors
/// The host refuses a descriptor.
pub(crate) fn stop_requested(stop: &[StopSource]) -> io::Result<Option<u8>> {
    let mut polled: Vec<_> = stop
        .iter()
        .map(|(fd, _)| libc::pollfd {
            fd: fd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    // SAFETY: the array has as many entries as said.
    let ready = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, 0) };
    if ready < 0 {
        let error = io::Error::last_os_error();
        // A signal came: whoever asks next sees it.
        return match error.kind() {
            io::ErrorKind::Interrupted => Ok(None),
            _ => Err(error),
        };
    }
    let mut both = polled.iter().zip(stop);
    let first = both.find(|(polled, _)| polled.revents != 0);
    Ok(first.map(|(_, &(_, signal))| signal))
}

/// What the event loop watches beside the vCPU's own timer.
#[derive(Debug)]
pub struct EventSources {
    /// Console input.
    pub input: InputSource,
    /// Host time after which the run stops.
    pub timeout: Option<Duration>,
    /// Requests to stop.
    pub stop: Vec<StopSource>,
}

/// Serves events until `done` is signalled.
///
/// # Errors
/// The host is out of descriptors or refuses one.
pub fn serve(control: &Arc<Control>, sources: EventSources, done: &EventFd) -> io::Result<()> {
    let mut manager = Manager::new().map_err(host_error)?;
    let finished = Rc::new(Cell::new(false));

    let flag = Rc::clone(&finished);
    watch(&mut manager, done, EventSet::IN, move || flag.set(true))?;

    let kicked = Arc::clone(control);
    watch(&mut manager, &control.timer_fd(), EDGE, move || {
        kicked.kick();
    })?;

    // Keeps the descriptors open as long as they are watched.
    let mut timeout_fd = TimerFd::new()?;
    if let Some(timeout) = sources.timeout {
        timeout_fd.reset(timeout.max(Duration::from_nanos(1)), None)?;
        let stopped = Arc::clone(control);
        watch(&mut manager, &timeout_fd, EDGE, move || {
            stopped.stop(StopReason::Timeout);
        })?;
    }
    for (fd, signal) in &sources.stop {
        let (stopped, signal) = (Arc::clone(control), *signal);
        watch(&mut manager, fd, EDGE, move || {
            stopped.stop(StopReason::Signal(signal));
        })?;
    }
    if let InputSource::Descriptor(fd) = sources.input {
        manager.add_subscriber(Box::new(Input::new(fd.try_clone()?, Arc::clone(control))));
    }
    while !finished.get() {
        match manager.run() {
            Ok(_) => {}
            Err(event_manager::Error::Epoll(error)) if error.errno() == libc::EINTR => {}
            Err(error) => return Err(host_error(error)),
        }
    }
    Ok(())
}

type Manager = EventManager<Box<dyn MutEventSubscriber>>;

/// Readable once is enough; the descriptor is never read.
const EDGE: EventSet = EventSet::IN.union(EventSet::EDGE_TRIGGERED);

fn host_error(error: event_manager::Error) -> io::Error {
    io::Error::other(error.to_string())
}

/// Has `ready` called when `source` is.
fn watch(
    manager: &mut Manager,
    source: &impl AsRawFd,
    set: EventSet,
    ready: impl FnMut() + 'static,
) -> io::Result<()> {
    let id = manager.add_subscriber(Box::new(Watch(ready)));
    let mut ops = manager.event_ops(id).map_err(host_error)?;
    ops.add(Events::new(source, set)).map_err(host_error)
}

/// Calls a function when its descriptor is ready.
struct Watch<F>(F);

impl<F: FnMut()> MutEventSubscriber for Watch<F> {
    fn process(&mut self, _events: Events, _ops: &mut EventOps<'_>) {
        (self.0)();
    }

    /// Does nothing: [`watch`] adds the descriptor, for the host may refuse it.
    fn init(&mut self, _ops: &mut EventOps<'_>) {}
}

/// Console input: read while there is room in the guest's queue, so that a guest that
/// reads nothing costs 4 KiB at most.
struct Input {
    source: std::fs::File,
    control: Arc<Control>,
    /// Whether the source is in the loop now. Regular files never are: they are always
    /// ready, and epoll refuses them.
    watched: bool,
    pollable: bool,
    /// Whether the last byte ended a line, or there was none.
    at_line_start: bool,
    ended: bool,
}

impl Input {
    fn new(fd: OwnedFd, control: Arc<Control>) -> Self {
        Self {
            source: fd.into(),
            control,
            watched: false,
            pollable: true,
            at_line_start: true,
            ended: false,
        }
    }

    fn source_events(&self) -> Events {
        Events::new(&self.source, EventSet::IN)
    }

    /// Reads once, as much as there is room for.
    fn read_some(&mut self) {
        let mut chunk = [0; INPUT_CHUNK];
        let room = self.control.input_room().saturating_sub(END_ROOM);
        let room = room.min(INPUT_CHUNK);
        match self.source.read(&mut chunk[..room]) {
            Ok(0) if room > 0 => {
                self.ended = true;
                let line = usize::from(!self.at_line_start);
                self.control.push_input(&[END_OF_INPUT; END_ROOM][..=line]);
            }
            Ok(count) => {
                let bytes = &chunk[..count];
                self.at_line_start = bytes.last().map_or(self.at_line_start, |b| *b == b'\n');
                self.control.push_input(bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.ended = true,
        }
    }

    /// Starts or stops watching the source, as room and its end say.
    fn update(&mut self, ops: &mut EventOps<'_>) {
        loop {
            let wanted = !self.ended && self.control.input_room() > END_ROOM;
            if !self.pollable {
                if !wanted {
                    return;
                }
                self.read_some();
                continue;
            }
            if wanted && !self.watched {
                match ops.add(self.source_events()) {
                    Ok(()) => self.watched = true,
                    Err(_) => {
                        self.pollable = false;
                        continue;
                    }
                }
            } else if !wanted && self.watched {
                // A descriptor that is in the loop can be taken out of it.
                let _ = ops.remove(self.source_events());
                self.watched = false;
            }
            return;
        }
    }
}

impl MutEventSubscriber for Input {
    fn process(&mut self, events: Events, ops: &mut EventOps<'_>) {
        if events.fd() == self.source.as_raw_fd() {
            self.read_some();
        } else {
            // Resets the counter; it is non-blocking and readable.
            let _ = self.control.room().read();
        }
        self.update(ops);
    }

    fn init(&mut self, ops: &mut EventOps<'_>) {
        if ops
            .add(Events::new(self.control.room(), EventSet::IN))
            .is_ok()
        {
            self.update(ops);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use vmm_sys_util::eventfd::EFD_NONBLOCK;

    use super::*;
    use crate::cpu::Kick;

    struct NoKick;

    impl Kick for NoKick {
        fn kick(&self) {}
    }

    fn event() -> EventFd {
        EventFd::new(EFD_NONBLOCK).expect("an event")
    }

    #[test]
    fn a_descriptor_that_cannot_be_watched_is_an_error() {
        let control = Control::new(Arc::new(NoKick), event()).expect("descriptors");
        let file = File::open("Cargo.toml").expect("the package's own");
        let sources = EventSources {
            input: InputSource::None,
            timeout: None,
            stop: vec![(Arc::new(file.into()), 15)],
        };
        let error = serve(&control, sources, &event()).expect_err("epoll takes no files");
        assert!(error.to_string().contains("poll"), "{error}");
    }

    #[test]
    fn the_stop_that_was_requested_is_found() {
        let pipes = [(); 2].map(|()| io::pipe().expect("pipes"));
        let [(one, _kept), (other, mut writer)] = pipes;
        let stop = vec![(Arc::new(one.into()), 1), (Arc::new(other.into()), 2)];
        assert_eq!(stop_requested(&stop).expect("pipes"), None);
        writer.write_all(b"x").expect("room");
        assert_eq!(stop_requested(&stop).expect("pipes"), Some(2));
        assert_eq!(stop_requested(&[]).expect("nothing"), None);
    }
}
