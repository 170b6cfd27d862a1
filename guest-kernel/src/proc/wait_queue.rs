//! Wait queues: how threads wait for something that others do.
//!
//! ```text
//! while !condition() {
//!     queue.sleep()?;
//! }
//! ```
//!
//! The kernel is never preempted, so nothing can come between the condition and the
//! sleep. A wake-up means no more than that the condition may hold now: whoever wakes
//! looks again.
//!
//! A thread takes itself out of the queue if something else wakes it, so that nobody
//! needs to know in which queue a thread is.

use abi::Errno;

use crate::proc::list::List;
use crate::proc::scheduler::{self, current_thread};
use crate::proc::thread::{Thread, Waits};

/// The thread must do something else before it may go on waiting: end, stop, or call a
/// handler. Whatever it waits for is to be given up; the system call is made again
/// afterwards, or ring 3 sees EINTR.
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
    /// Somebody woke the thread.
    Up,
    /// Nobody did in time.
    TimedOut,
}

/// Threads that wait for the same thing, longest first.
///
/// It must stay where it is while a thread waits: `sleep` borrows it, so the thread must
/// itself hold on to whatever the queue is a part of.
pub struct WaitQueue {
    sleepers: List<Thread, Waits>,
}

impl WaitQueue {
    /// Nobody waits.
    pub const fn new() -> Self {
        Self {
            sleepers: List::new(),
        }
    }

    /// Blocks the current thread until somebody wakes it.
    ///
    /// # Errors
    /// The thread must not wait, now or any more.
    pub fn sleep(&self) -> Result<(), Interrupted> {
        self.wait(None).map(|_| ())
    }

    /// Blocks the current thread until somebody wakes it, at most until so many
    /// nanoseconds after boot.
    ///
    /// # Errors
    /// The thread must not wait, now or any more.
    pub fn sleep_until(&self, deadline_ns: u64) -> Result<Woken, Interrupted> {
        self.wait(Some(deadline_ns))
    }

    fn wait(&self, deadline_ns: Option<u64>) -> Result<Woken, Interrupted> {
        let thread = current_thread();
        if thread.attention.get() {
            return Err(Interrupted);
        }
        self.sleepers.push_back(thread);
        let is_late = scheduler::block(deadline_ns);
        let was_woken = !thread.wait_link.is_linked();
        self.sleepers.remove(thread);
        match (was_woken, is_late) {
            (true, _) => Ok(Woken::Up),
            (false, true) => Ok(Woken::TimedOut),
            (false, false) => Err(Interrupted),
        }
    }

    /// Wakes all that wait.
    pub fn wake_all(&self) {
        while let Some(thread) = self.sleepers.pop_front() {
            scheduler::wake(thread);
        }
    }
}
