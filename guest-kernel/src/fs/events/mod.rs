//! Descriptors that are events: sets of files to wait for, counters, timers, signals,
//! processes and watches of files. Each is read as numbers or structures, and can itself be waited for.

mod counter;
pub mod epoll;
pub mod inotify;
pub mod process;
pub mod queue;
pub mod signals;
pub mod timer;

use abi::Errno;
use mm::{Owned, Shared};

pub use counter::Counter;
pub use epoll::Epoll;
pub use inotify::Inotify;
pub use process::ProcessFile;
pub use queue::Queue;
pub use signals::SignalFile;
pub use timer::Timer;

use crate::fs::events::epoll::Watches;
use crate::fs::poll::Readiness;
use crate::fs::transfer::{Source, Target};

/// What one is.
pub enum Event {
    /// A set of files (`epoll_create`).
    Epoll(Shared<Epoll>),
    /// A counter (`eventfd`).
    Counter(Owned<Counter>),
    /// A timer (`timerfd_create`).
    Timer(Timer),
    /// Pending signals (`signalfd`).
    Signals(SignalFile),
    /// The end of a process (`pidfd_open`).
    Process(ProcessFile),
    /// Watches of files (`inotify_init`).
    Inotify(Shared<Inotify>),
    /// Messages with priorities (`mq_open`).
    Queue(Shared<Queue>),
}

impl Event {
    /// Whether `lseek` does nothing and says so, as Linux has it for most of these.
    pub fn ignores_seeks(&self) -> bool {
        !matches!(self, Self::Process(_))
    }

    /// Reads what has happened, and waits for something unless `nonblocking`.
    ///
    /// # Errors
    /// EINVAL: no room for it, or it cannot be read. EAGAIN instead of waiting, EINTR, EFAULT.
    pub fn read(&self, target: &mut dyn Target, nonblocking: bool) -> Result<u64, Errno> {
        match self {
            Self::Counter(counter) => counter.read(target, nonblocking),
            Self::Timer(timer) => timer.read(target, nonblocking),
            Self::Signals(signals) => signals.read(target, nonblocking),
            Self::Inotify(inotify) => inotify.read(target, nonblocking),
            Self::Epoll(_) | Self::Process(_) | Self::Queue(_) => Err(Errno::EINVAL),
        }
    }

    /// Adds to a counter.
    ///
    /// # Errors
    /// EINVAL: it is none, or not such a number. EAGAIN, EINTR, EFAULT.
    pub fn write(&self, source: &mut dyn Source, nonblocking: bool) -> Result<u64, Errno> {
        match self {
            Self::Counter(counter) => counter.write(source, nonblocking),
            _ => Err(Errno::EINVAL),
        }
    }

    /// What a poll would find.
    pub fn readiness(&self) -> Readiness {
        match self {
            Self::Epoll(epoll) => epoll.readiness(),
            Self::Counter(counter) => counter.readiness(),
            Self::Timer(timer) => timer.readiness(),
            Self::Signals(signals) => signals.readiness(),
            Self::Process(process) => process.readiness(),
            Self::Inotify(inotify) => inotify.readiness(),
            Self::Queue(queue) => queue.readiness(),
        }
    }

    /// Whoever wants to hear of it.
    pub fn watches(&self) -> &Watches {
        match self {
            Self::Epoll(epoll) => epoll.watches(),
            Self::Counter(counter) => counter.watches(),
            Self::Timer(timer) => timer.watches(),
            Self::Signals(_) => &signals::WATCHES,
            Self::Process(_) => &process::WATCHES,
            Self::Inotify(inotify) => inotify.watches(),
            Self::Queue(queue) => queue.watches(),
        }
    }
}

/// Bytes of a number as counters and timers have it.
const NUMBER_SIZE: usize = size_of::<u64>();

/// Gives a reader all of `bytes`.
///
/// # Errors
/// EFAULT.
fn give(target: &mut (impl Target + ?Sized), bytes: &[u8]) -> Result<u64, Errno> {
    let mut done = 0;
    while done < bytes.len() {
        done += target.put(&bytes[done..]);
        if done < bytes.len() {
            target.resolve()?;
        }
    }
    Ok(done as u64)
}

/// Takes a number from a writer.
///
/// # Errors
/// EINVAL: there is none. EFAULT.
fn take_number(source: &mut (impl Source + ?Sized)) -> Result<u64, Errno> {
    if source.left() < NUMBER_SIZE {
        return Err(Errno::EINVAL);
    }
    let mut bytes = [0; NUMBER_SIZE];
    let mut done = 0;
    while done < NUMBER_SIZE {
        done += source.take(&mut bytes[done..]);
        if done < NUMBER_SIZE {
            source.resolve()?;
        }
    }
    Ok(u64::from_le_bytes(bytes))
}
