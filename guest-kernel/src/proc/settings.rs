//! Numbers that the superuser can change for all (`/proc/sys`).

use core::cell::Cell;
use core::ops::RangeInclusive;

use abi::Errno;
use single_cpu::SingleCpu;

use crate::proc::ipc::{SLOTS, shared_memory};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Most bytes of a segment of shared memory (`kernel.shmmax`).
    SegmentSize,
    /// Most segments (`kernel.shmmni`).
    Segments,
    /// Most queues of messages (`kernel.msgmni`).
    Queues,
    /// Most bytes of others' pipes than the superuser's (`fs.pipe-max-size`).
    PipeSize,
    /// Most queues of inotify (`fs.inotify.max_user_instances`).
    InotifyQueues,
    /// Most POSIX message queues (`fs.mqueue.queues_max`).
    MessageQueues,
}

/// The most that those two can be, which they are at first.
pub const MOST_INOTIFY_QUEUES: u64 = 128;
pub const MOST_MESSAGE_QUEUES: u64 = 256;

static VALUES: SingleCpu<[Cell<u64>; 6]> = SingleCpu::new([
    Cell::new(shared_memory::MOST),
    Cell::new(SLOTS as u64),
    Cell::new(SLOTS as u64),
    Cell::new(*Setting::PIPE_SIZES.end()),
    Cell::new(MOST_INOTIFY_QUEUES),
    Cell::new(MOST_MESSAGE_QUEUES),
]);

impl Setting {
    /// From a page to what a pipe can have.
    const PIPE_SIZES: RangeInclusive<u64> = 4096..=1 << 20;

    /// What it is.
    pub fn get(self) -> u64 {
        VALUES[self as usize].get()
    }

    /// Changes it.
    ///
    /// # Errors
    /// EINVAL: it cannot be that.
    pub fn set(self, value: u64) -> Result<(), Errno> {
        let possible = match self {
            Self::SegmentSize => 0..=u64::MAX,
            Self::Segments | Self::Queues => 0..=SLOTS as u64,
            Self::PipeSize => Self::PIPE_SIZES,
            Self::InotifyQueues => 0..=MOST_INOTIFY_QUEUES,
            Self::MessageQueues => 0..=MOST_MESSAGE_QUEUES,
        };
        let value = match self {
            // Pipes have powers of two.
            Self::PipeSize if possible.contains(&value) => value.next_power_of_two(),
            _ => value,
        };
        match possible.contains(&value) {
            true => {
                VALUES[self as usize].set(value);
                Ok(())
            }
            false => Err(Errno::EINVAL),
        }
    }
}
