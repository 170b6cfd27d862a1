//! Waiting for any of several files.
//!
//! There is one queue for all calls that wait: a file that becomes ready wakes them all, and
//! each checks its files again. Rejected: an entry in the queue of every file waited for,
//! which needs memory for each, to be freed on every path.
//!
//! An epoll has that memory, and may have thousands of files. So an object has a list of the
//! [`Watches`] of its open files, and says [`changed_at`] of it: then only epolls that have
//! this object look at it, and at nothing else. What has no list of its own says [`changed`],
//! and is looked at whenever anything says so ([`ANY`]).

use abi::Errno;
use bitflags::bitflags;
use linux_raw_sys::general as linux;
use single_cpu::SingleCpu;

use crate::fs::events::epoll::Watches;
use crate::proc::wait_queue::{Interrupted, WaitQueue, Woken};

bitflags! {
    /// What can be done with a file at once, with the values of `poll`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Readiness: u16 {
        /// Reading would not wait.
        const READ = (linux::POLLIN | linux::POLLRDNORM) as u16;
        /// Writing would not wait.
        const WRITE = (linux::POLLOUT | linux::POLLWRNORM) as u16;
        /// Something that comes before all else can be read.
        const PRIORITY = linux::POLLPRI as u16;
        /// The other end can be written to no more; reported whether requested or not.
        const ERROR = linux::POLLERR as u16;
        /// The other end has gone; reported whether requested or not.
        const HANG_UP = linux::POLLHUP as u16;
        /// The other end has ended its direction.
        const READ_HANG_UP = linux::POLLRDHUP as u16;
        /// There is no such descriptor; reported whether requested or not.
        const INVALID = linux::POLLNVAL as u16;
    }
}

impl Readiness {
    /// Reported even if not requested.
    pub const ALWAYS: Self = Self::ERROR.union(Self::HANG_UP).union(Self::INVALID);
}

static WAITING: SingleCpu<WaitQueue> = SingleCpu::new(WaitQueue::new());

/// The watches of objects that have no list of their own.
pub static ANY: SingleCpu<Watches> = SingleCpu::new(Watches::new());

/// A file may have become ready, or anything else that [`ANY`] is for.
pub fn changed() {
    changed_at(&ANY, Readiness::all());
}

/// Any of `what` may have come true of the object whose watches these are. Nothing of `fs` may
/// be borrowed.
#[inline]
pub fn changed_at(watches: &Watches, what: Readiness) {
    wake();
    watches.ring(what);
}

/// Whether [`changed_at`] would tell anybody.
#[inline]
pub fn is_watched(watches: &Watches) -> bool {
    !WAITING.is_empty() || !watches.is_empty()
}

/// Lets those look again that wait in calls.
pub fn wake() {
    WAITING.wake_all();
}

/// Calls `look` until it finds something, each time that a file may have become ready, up
/// to `deadline` in nanoseconds after boot. `None` is no deadline.
///
/// # Errors
/// RESTART_UNHANDLED: a signal came. Those of `look`.
pub fn wait(deadline: Option<u64>, look: impl FnMut() -> Result<u64, Errno>) -> Result<u64, Errno> {
    wait_at(&WAITING, deadline, look)
}

/// As [`wait`], each time that `queue` is woken.
///
/// # Errors
/// RESTART_UNHANDLED: a signal came. Those of `look`.
pub fn wait_at(
    queue: &WaitQueue,
    deadline: Option<u64>,
    mut look: impl FnMut() -> Result<u64, Errno>,
) -> Result<u64, Errno> {
    loop {
        let found = look()?;
        if found > 0 {
            return Ok(found);
        }
        match deadline {
            None => queue.sleep().map_err(interrupted)?,
            Some(deadline) => {
                let woken = queue.sleep_until(deadline).map_err(interrupted)?;
                if woken == Woken::TimedOut {
                    return look();
                }
            }
        }
    }
}

fn interrupted(Interrupted: Interrupted) -> Errno {
    Errno::RESTART_UNHANDLED
}
