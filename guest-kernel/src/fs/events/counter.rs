//! Counters that programs add to and take from (`eventfd`).

use core::cell::Cell;

use abi::Errno;

use crate::fs::events::epoll::Watches;
use crate::fs::events::{NUMBER_SIZE, give, take_number};
use crate::fs::poll::{self, Readiness};
use crate::fs::transfer::{Source, Target};
use crate::proc::wait_queue::WaitQueue;

/// The highest count.
const MAX: u64 = u64::MAX - 1;

/// A counter.
pub struct Counter {
    count: Cell<u64>,
    /// Whether a read takes one, and not all.
    is_semaphore: bool,
    /// Whoever waits for it to change.
    waiters: WaitQueue,
    watches: Watches,
}

impl Counter {
    /// A counter that starts with `count`.
    pub const fn new(count: u64, is_semaphore: bool) -> Self {
        Self {
            count: Cell::new(count),
            is_semaphore,
            waiters: WaitQueue::new(),
            watches: Watches::new(),
        }
    }

    /// Takes the count, or one of it, when there is any.
    ///
    /// # Errors
    /// EINVAL: no room for a number. EAGAIN instead of waiting, EINTR, EFAULT.
    pub fn read(&self, target: &mut dyn Target, nonblocking: bool) -> Result<u64, Errno> {
        if target.left() < NUMBER_SIZE {
            return Err(Errno::EINVAL);
        }
        while self.count.get() == 0 {
            self.wait(nonblocking)?;
        }
        let count = self.count.get();
        let taken = if self.is_semaphore { 1 } else { count };
        self.set(count - taken, Readiness::WRITE);
        give(target, &taken.to_le_bytes())
    }

    /// Adds a number, when there is room for it.
    ///
    /// # Errors
    /// EINVAL: no number, or one above all counts. EAGAIN instead of waiting, EINTR, EFAULT.
    pub fn write(&self, source: &mut dyn Source, nonblocking: bool) -> Result<u64, Errno> {
        let more = take_number(source)?;
        if more > MAX {
            return Err(Errno::EINVAL);
        }
        while MAX - self.count.get() < more {
            self.wait(nonblocking)?;
        }
        self.set(self.count.get() + more, Readiness::READ);
        Ok(NUMBER_SIZE as u64)
    }

    fn wait(&self, nonblocking: bool) -> Result<(), Errno> {
        if nonblocking {
            return Err(Errno::EAGAIN);
        }
        Ok(self.waiters.sleep()?)
    }

    fn set(&self, count: u64, what: Readiness) {
        self.count.set(count);
        self.waiters.wake_all();
        poll::changed_at(&self.watches, what);
    }

    /// What a poll would find.
    pub fn readiness(&self) -> Readiness {
        let count = self.count.get();
        let mut ready = Readiness::empty();
        ready.set(Readiness::READ, count > 0);
        ready.set(Readiness::WRITE, count < MAX);
        ready
    }

    /// Whoever wants to hear of it.
    pub fn watches(&self) -> &Watches {
        &self.watches
    }
}
