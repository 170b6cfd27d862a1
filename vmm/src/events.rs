//! The main thread's event loop while a vCPU runs: console input, timers, stop requests,
//! and the end of the vCPU's thread.
//!
//! Each source is one subscriber of an event-manager loop; what it does is to call
//! `Control`, nothing more.

mod input;
mod keys;

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use event_manager::{EventManager, EventOps, EventSet, Events, MutEventSubscriber, SubscriberOps};
use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::timerfd::TimerFd;

use crate::control::Control;
pub use crate::control::StopReason;
use crate::output::screen_size;
use crate::poll::{poll, readable};
use input::Input;
pub use input::is_foreground;
pub(crate) use input::{WaitingInput, host_input};
pub use keys::ESCAPE_KEYS;

/// Where input comes from. Clones read from the same place, one what the others have left.
#[derive(Clone, Debug)]
pub enum InputSource {
    /// None: input is at its end.
    None,
    /// A descriptor of the host, pipe or file: a stream of bytes with an end.
    Descriptor(Arc<OwnedFd>),
    /// A terminal of the host, whose user has the keys of [`ESCAPE_KEYS`].
    Terminal {
        /// The terminal.
        fd: Arc<OwnedFd>,
        /// Called when the user asks what keys there are.
        help: fn(),
        /// Called when the user wants the machine to end; makes a [`StopSource`] readable.
        end: fn(),
    },
}

/// The interval between checks whether a guest whose halts are no exits has halted for
/// good.
const LOOK_FOR_HALT: Duration = Duration::from_millis(200);

/// A descriptor that becomes and stays readable when the host wants the run to stop, and
/// why it does.
pub type StopSource = (Arc<OwnedFd>, StopReason);

/// Waits until one of `stop` is readable, or for `limit`; returns why the run is to stop, if
/// it is. A signal ends the wait too.
///
/// # Errors
/// The host is out of memory.
pub fn stop_within(stop: &[StopSource], limit: Option<Duration>) -> io::Result<Option<StopReason>> {
    let mut polled: Vec<_> = stop.iter().map(|(fd, _)| readable(fd)).collect();
    poll(&mut polled, limit)?;
    let mut both = polled.iter().zip(stop);
    let first = both.find(|(polled, _)| polled.revents != 0);
    Ok(first.map(|(_, &(_, reason))| reason))
}

/// When a run is to stop at the latest.
#[derive(Debug)]
pub struct Deadline(TimerFd);

impl Deadline {
    /// At that time.
    ///
    /// # Errors
    /// The host is out of descriptors.
    pub fn at(when: Instant) -> io::Result<Self> {
        let mut deadline = Self(TimerFd::new()?);
        deadline.move_to(when)?;
        Ok(deadline)
    }

    /// Another time: the stop is requested then, and not before.
    ///
    /// # Errors
    /// The host refuses the setting.
    pub fn move_to(&mut self, when: Instant) -> io::Result<()> {
        let left = when.saturating_duration_since(Instant::now());
        // Zero would disarm it.
        Ok(self.0.reset(left.max(Duration::from_nanos(1)), None)?)
    }

    /// What requests the stop then.
    ///
    /// # Errors
    /// The host is out of descriptors.
    pub fn source(&self) -> io::Result<StopSource> {
        // SAFETY: the descriptor is open as long as this is.
        let fd = unsafe { BorrowedFd::borrow_raw(self.0.as_raw_fd()) };
        Ok((Arc::new(fd.try_clone_to_owned()?), StopReason::Timeout))
    }
}

/// The sources of the event loop beside the vCPU's own timer.
#[derive(Debug)]
pub struct EventSources {
    /// Input that must be waited for.
    pub input: Option<WaitingInput>,
    /// When the run is to stop at the latest.
    pub deadline: Option<Instant>,
    /// Requests to stop.
    pub stop: Vec<StopSource>,
    /// The terminal that shows output, if there is one, and what becomes readable each time
    /// that it has another size.
    pub screen: Option<(OwnedFd, Arc<OwnedFd>)>,
    /// Whether a halt is no exit, and must be polled for.
    pub halts_unseen: bool,
}

/// The event loop of a run, with all descriptors that it needs.
pub struct EventLoop {
    manager: Manager,
    finished: Rc<Cell<bool>>,
    /// Its descriptor is open as long as it is watched.
    _deadline: Option<StopSource>,
    _stop: Vec<StopSource>,
}

impl EventLoop {
    /// Of a run that has ended when `done` is signalled.
    ///
    /// # Errors
    /// The host is out of descriptors or refuses one.
    pub fn new(control: &Arc<Control>, sources: EventSources, done: &EventFd) -> io::Result<Self> {
        let mut manager = Manager::new().map_err(host_error)?;
        let finished = Rc::new(Cell::new(false));
        let flag = Rc::clone(&finished);
        watch(&mut manager, done, EventSet::IN, move || flag.set(true))?;
        watch_timers(&mut manager, control, sources.halts_unseen)?;
        let deadline = sources.deadline.map(Deadline::at).transpose()?;
        let deadline = deadline.map(|deadline| deadline.source()).transpose()?;
        for (fd, reason) in sources.stop.iter().chain(&deadline) {
            let (stopped, reason) = (Arc::clone(control), *reason);
            watch(&mut manager, fd, EDGE, move || stopped.stop(reason))?;
        }
        if let Some((terminal, resized)) = sources.screen {
            watch_screen(&mut manager, control, terminal, &resized)?;
        }
        if let Some(source) = sources.input {
            let input = Input::new(source, Arc::clone(control))?;
            manager.add_subscriber(Box::new(input));
        }
        Ok(Self {
            manager,
            finished,
            _deadline: deadline,
            _stop: sources.stop,
        })
    }

    /// Serves events until the run has ended.
    ///
    /// # Errors
    /// The host refuses to wait.
    pub fn serve(&mut self) -> io::Result<()> {
        while !self.finished.get() {
            match self.manager.run() {
                Ok(_) => {}
                Err(event_manager::Error::Epoll(error)) if error.errno() == libc::EINTR => {}
                Err(error) => return Err(host_error(error)),
            }
        }
        Ok(())
    }
}

/// Watches the timers of the vCPUs' threads, and where a halt is no exit one that polls for it.
fn watch_timers(
    manager: &mut Manager,
    control: &Arc<Control>,
    halts_unseen: bool,
) -> io::Result<()> {
    for thread in 0..control.threads() {
        let kicked = Arc::clone(control);
        let expired = move || match halts_unseen {
            true => kicked.look(thread),
            false => kicked.expired(thread),
        };
        watch(manager, &control.timer_fd(thread), EDGE, expired)?;
    }
    if !halts_unseen {
        return Ok(());
    }
    let mut timer = TimerFd::new()?;
    timer.reset(LOOK_FOR_HALT, Some(LOOK_FOR_HALT))?;
    let looked = Arc::clone(control);
    watch(manager, &timer.as_raw_fd(), EventSet::IN, move || {
        // A timer that is not read expires once. It has expired, so this cannot block.
        let _ = timer.wait();
        looked.look_for_halt();
    })
}

/// Watches for other sizes of the `terminal` that shows output.
fn watch_screen(
    manager: &mut Manager,
    control: &Arc<Control>,
    terminal: OwnedFd,
    resized: &OwnedFd,
) -> io::Result<()> {
    let told = Arc::clone(control);
    let mut resized = File::from(resized.try_clone()?);
    watch(manager, &resized.as_raw_fd(), EventSet::IN, move || {
        // It is readable, so this cannot block; what it says is that there was a change.
        let _ = resized.read(&mut [0; 64]);
        if let Some(size) = screen_size(&terminal) {
            told.set_screen(size);
        }
    })
}

type Manager = EventManager<Box<dyn MutEventSubscriber>>;

/// Readable once is enough; the descriptor is never read.
const EDGE: EventSet = EventSet::IN.union(EventSet::EDGE_TRIGGERED);

fn host_error(error: event_manager::Error) -> io::Error {
    match error {
        event_manager::Error::Epoll(error) => io::Error::from_raw_os_error(error.errno()),
        error => io::Error::other(error.to_string()),
    }
}

/// Registers `ready`, which is called when `source` is ready.
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

#[cfg(test)]
mod tests {
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
        let control = Control::new([Arc::new(NoKick) as _], event()).expect("descriptors");
        let file = File::open("Cargo.toml").expect("the package's own");
        let sources = EventSources {
            input: None,
            screen: None,
            deadline: None,
            stop: vec![(Arc::new(file.into()), StopReason::Signal(15))],
            halts_unseen: false,
        };
        let refused = EventLoop::new(&control, sources, &event()).map(|_| ());
        let error = refused.expect_err("epoll takes no files");
        assert_eq!(error.raw_os_error(), Some(libc::EPERM), "{error}");
    }

    #[test]
    fn the_stop_that_was_requested_is_found() {
        const NOW: Option<Duration> = Some(Duration::ZERO);
        let pipes = [(); 2].map(|()| io::pipe().expect("pipes"));
        let [(one, _kept), (other, mut writer)] = pipes;
        let [one, other] = [one, other].map(|fd| Arc::new(fd.into()));
        let stop = vec![(one, StopReason::Signal(1)), (other, StopReason::Signal(2))];
        assert_eq!(stop_within(&stop, NOW).expect("pipes"), None);
        writer.write_all(b"x").expect("room");
        assert_eq!(
            stop_within(&stop, NOW).expect("pipes"),
            Some(StopReason::Signal(2))
        );
        assert_eq!(stop_within(&[], NOW).expect("nothing"), None);
    }
}
