//! Pipes: bounded buffers between processes.
//!
//! A write of up to `PIPE_BUF` bytes is in one piece, and waits until all of it fits. Each end
//! is one open file, however many descriptors stand for it, or several of a FIFO; it is closed
//! when the last goes.

pub mod buffer;
mod reading;
mod writing;

use core::cell::{Cell, RefCell};

use abi::Errno;
use mm::{OutOfMemory, Shared};

use crate::fs::events::epoll::Watches;
use crate::fs::pipe::buffer::{Buffer, ResizeError};
use crate::fs::poll::{self, Readiness};
use crate::proc::wait_queue::WaitQueue;

pub use reading::ReadEnd;
pub use writing::WriteEnd;

/// A pipe, which both ends share.
pub struct Pipe {
    buffer: RefCell<Buffer>,
    read: End,
    write: End,
    /// Whether somebody sends what is first to where it may have to wait: nobody else reads.
    is_held: Cell<bool>,
    /// Whether somebody has found no room since the last read: memory may have been short.
    was_refused: Cell<bool>,
}

/// What there is of an end.
struct End {
    /// Open files that are this end.
    files: Cell<usize>,
    /// Those who wait for bytes or room, or for the other end to go.
    waiters: WaitQueue,
    watches: Watches,
}

impl End {
    const fn new() -> Self {
        Self {
            files: Cell::new(0),
            waiters: WaitQueue::new(),
            watches: Watches::new(),
        }
    }

    fn is_open(&self) -> bool {
        self.files.get() != 0
    }

    fn open(&self) {
        self.files.set(self.files.get() + 1);
    }

    /// One open file less; says whether that was the last.
    fn close(&self) -> bool {
        self.files.set(self.files.get() - 1);
        !self.is_open()
    }

    /// Tells who is at this end.
    fn tell(&self, what: Readiness) {
        self.waiters.wake_all();
        poll::changed_at(&self.watches, what);
    }
}

/// A new pipe.
///
/// # Errors
/// There is no memory.
pub fn pipe() -> Result<(ReadEnd, WriteEnd), OutOfMemory> {
    let pipe = Pipe::without_ends()?;
    Ok((ReadEnd::open(&pipe), WriteEnd::open(&pipe)))
}

impl Pipe {
    /// One that nobody has open yet.
    ///
    /// # Errors
    /// There is no memory.
    pub fn without_ends() -> Result<Shared<Self>, OutOfMemory> {
        Shared::new(Self {
            buffer: RefCell::new(Buffer::new()?),
            read: End::new(),
            write: End::new(),
            is_held: Cell::new(false),
            was_refused: Cell::new(false),
        })
    }

    /// Whether anybody can read it.
    pub fn has_reader(&self) -> bool {
        self.read.is_open()
    }

    /// Whether anybody can write it.
    pub fn has_writer(&self) -> bool {
        self.write.is_open()
    }

    /// Whether something can be written; who is told that it cannot will be told when it can.
    fn has_room(&self) -> bool {
        let has_room = self.buffer.borrow().has_room();
        if !has_room {
            self.was_refused.set(true);
        }
        has_room
    }

    /// Whether room that a read makes, or finds, is news.
    fn is_room_news(&self) -> bool {
        self.was_refused.take() || !self.buffer.borrow().has_room()
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.buffer.borrow().len()
    }

    /// Bytes that it can hold.
    pub fn size(&self) -> usize {
        self.buffer.borrow().size()
    }

    /// Makes it hold at least so many, and says how many.
    ///
    /// # Errors
    /// EBUSY: there is more in it. EPERM: too large. ENOMEM.
    pub fn resize(&self, size: usize) -> Result<usize, Errno> {
        let resized = self.buffer.borrow_mut().resize(size);
        let size = resized.map_err(|error| match error {
            ResizeError::Full => Errno::EBUSY,
            ResizeError::TooLarge => Errno::EPERM,
            ResizeError::OutOfMemory => Errno::ENOMEM,
        })?;
        self.write.tell(Readiness::WRITE);
        Ok(size)
    }
}

#[cfg(test)]
mod tests;
