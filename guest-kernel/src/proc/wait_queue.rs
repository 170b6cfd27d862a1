//! Wait queues: how threads wait for events.
//!
//! ```text
//! while !condition() {
//!     queue.sleep()?;
//! }
//! ```
//!
//! The kernel is never preempted, so nothing can come between the condition and the sleep.
//! A wake-up means only that the condition may hold now: the woken thread checks it again.
//!
//! A thread removes itself from the queue if something else wakes it, so that a waker need
//! not know in which queue a thread is.

use abi::Errno;

use crate::proc::list::List;
use crate::proc::scheduler::{self, current_thread};
use crate::proc::system;
use crate::proc::thread::{Thread, Waits};

/// The thread must do something else before it may go on waiting: end, stop, or call a
/// handler. The wait is to be abandoned; the system call is restarted afterwards, or
/// returns EINTR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted;

impl From<Interrupted> for Errno {
    fn from(Interrupted: Interrupted) -> Self {
        Self::RESTART
    }
}

/// Why a wait with a deadline ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The thread was woken.
    Up,
    /// The deadline has passed.
    TimedOut,
}

/// When a wait ends at the latest, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// After boot.
    Boot(u64),
    /// After 1970, whatever the clock is set to meanwhile.
    Day(u64),
}

impl Deadline {
    /// Nanoseconds after boot, as the clock is set now.
    pub fn since_boot(self) -> u64 {
        match self {
            Self::Boot(ns) => ns,
            Self::Day(ns) => ns.saturating_sub(system::boot_time_ns()),
        }
    }
}

/// Threads that wait for the same thing, longest first.
///
/// It must not move while a thread waits: `sleep` borrows it, so the thread must itself
/// keep alive the object that the queue is a part of.
pub struct WaitQueue {
    sleepers: List<Thread, Waits>,
}

impl WaitQueue {
    /// An empty queue.
    pub const fn new() -> Self {
        Self {
            sleepers: List::new(),
        }
    }

    /// Blocks the current thread until it is woken.
    ///
    /// # Errors
    /// The thread must not wait, now or any more.
    pub fn sleep(&self) -> Result<(), Interrupted> {
        self.wait(None).map(|_| ())
    }

    /// Blocks the current thread until it is woken, at most until so many nanoseconds after
    /// boot.
    ///
    /// # Errors
    /// The thread must not wait, now or any more.
    pub fn sleep_until(&self, deadline_ns: u64) -> Result<Woken, Interrupted> {
        self.sleep_by(Deadline::Boot(deadline_ns))
    }

    /// Blocks the current thread until it is woken, at most until then.
    ///
    /// # Errors
    /// The thread must not wait, now or any more.
    pub fn sleep_by(&self, deadline: Deadline) -> Result<Woken, Interrupted> {
        self.wait(Some(deadline))
    }

    fn wait(&self, deadline: Option<Deadline>) -> Result<Woken, Interrupted> {
        let thread = current_thread();
        if thread.attention.get() {
            return Err(Interrupted);
        }
        self.sleepers.push_back(thread);
        let is_late = scheduler::block(deadline);
        let was_woken = !thread.wait_link.is_linked();
        self.sleepers.remove(thread);
        match (was_woken, is_late) {
            (true, _) => Ok(Woken::Up),
            (false, true) => Ok(Woken::TimedOut),
            (false, false) => Err(Interrupted),
        }
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.sleepers.is_empty()
    }

    /// Wakes all that wait.
    pub fn wake_all(&self) {
        while let Some(thread) = self.sleepers.pop_front() {
            scheduler::wake(thread);
        }
    }
}
