//! Pipes: bounded buffers between processes.
//!
//! A write of up to `PIPE_BUF` bytes is in one piece, and waits until all of it fits. Each end
//! is one open file, however many descriptors stand for it, or several of a FIFO; it is closed
//! when the last goes.

pub mod buffer;

use core::cell::{Cell, RefCell};

use abi::Errno;
use mm::{OutOfMemory, Shared};

use crate::fs::events::epoll::Watches;
use crate::fs::pipe::buffer::{Buffer, ResizeError};
use crate::fs::poll::{self, Readiness};
use crate::fs::transfer::{self, KernelBytes, Next, Source, Step, Target};
use crate::proc::wait_queue::WaitQueue;

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

/// The end that bytes come out of.
pub struct ReadEnd(Shared<Pipe>);

/// Nobody else reads a pipe as long as this is there.
pub struct Held<'p>(&'p Pipe);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.is_held.set(false);
        self.0.read.waiters.wake_all();
    }
}

/// The end that bytes go into.
pub struct WriteEnd(Shared<Pipe>);

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

impl ReadEnd {
    /// An end of `pipe`.
    pub fn open(pipe: &Shared<Pipe>) -> Self {
        pipe.read.open();
        Self(pipe.clone())
    }

    /// The same end of the pipe, for another open file.
    pub fn reopen(&self) -> Self {
        Self::open(&self.0)
    }

    /// Reads what there is, and waits for something unless `nonblocking`; 0 at the end.
    ///
    /// # Errors
    /// EAGAIN instead of waiting, EINTR, EFAULT.
    pub fn read(&self, target: &mut dyn Target, nonblocking: bool) -> Result<u64, Errno> {
        let Pipe { buffer, write, .. } = &*self.0;
        if target.left() > 0 && !self.wait(nonblocking)? {
            return Ok(0);
        }
        let is_awaited = !write.waiters.is_empty();
        let was_full = poll::is_watched(&write.watches) && self.0.is_room_news();
        let result = transfer::run(target, |target, _| {
            let mut buffer = buffer.borrow_mut();
            Ok(match buffer.is_empty() {
                true => Step::stop(),
                false => buffer.read(target),
            })
        });
        self.took(is_awaited, was_full && result.is_ok());
        result
    }

    /// Waits for bytes that nobody [holds](Self::hold), unless `nonblocking`; says whether there
    /// are any: there will be none without a writer.
    ///
    /// # Errors
    /// EAGAIN instead of waiting, EINTR.
    #[inline(always)]
    pub fn wait(&self, nonblocking: bool) -> Result<bool, Errno> {
        let Pipe {
            buffer,
            read,
            write,
            is_held,
            ..
        } = &*self.0;
        while buffer.borrow().is_empty() || is_held.get() {
            if !write.is_open() && !is_held.get() {
                return Ok(false);
            }
            if nonblocking {
                return Err(Errno::EAGAIN);
            }
            read.waiters.sleep()?;
        }
        Ok(true)
    }

    /// Whether there is something to be read that nobody holds.
    pub fn has_bytes(&self) -> bool {
        self.0.len() > 0 && !self.0.is_held.get()
    }

    /// Keeps others from reading, who wait as long as this is held, while what is first is sent
    /// to where it may have to wait: it is not to go elsewhere too. Nobody holds it.
    pub fn hold(&self) -> Held<'_> {
        self.0.is_held.set(true);
        Held(&self.0)
    }

    /// Fills the front of `room` with what comes after the next `skip` bytes, and says how
    /// much that is. All of it stays.
    pub fn peek(&self, skip: usize, room: &mut [u8]) -> usize {
        self.0.buffer.borrow_mut().peek(skip, room)
    }

    /// Gives `use_bytes` the next bytes, as many as lie together: none if there are none. All of
    /// them stay. It must not wait, or use the same pipe.
    pub fn with_first<R>(&self, use_bytes: impl FnOnce(&[u8]) -> R) -> R {
        use_bytes(self.0.buffer.borrow_mut().first())
    }

    /// Takes out the next bytes, at most as many as there are.
    pub fn skip(&self, count: usize) {
        let Pipe { buffer, write, .. } = &*self.0;
        let is_awaited = !write.waiters.is_empty();
        let was_full = self.0.is_room_news();
        buffer.borrow_mut().skip(count);
        self.took(is_awaited, was_full);
    }

    /// Bytes have been taken out, for which a writer has waited or not.
    #[inline(always)]
    fn took(&self, is_awaited: bool, was_full: bool) {
        let Pipe { buffer, write, .. } = &*self.0;
        if !is_awaited {
            buffer.borrow_mut().trim();
        }
        // Who waits may do so for memory, of which there may be enough again by now.
        if is_awaited || was_full {
            write.tell(Readiness::WRITE);
        }
    }

    /// What it is an end of.
    pub fn pipe(&self) -> &Pipe {
        &self.0
    }

    /// What a poll would find.
    pub fn readiness(&self) -> Readiness {
        let mut ready = Readiness::empty();
        ready.set(Readiness::READ, !self.0.buffer.borrow().is_empty());
        ready.set(Readiness::HANG_UP, !self.0.write.is_open());
        ready
    }

    /// Whoever wants to hear of it.
    pub fn watches(&self) -> &Watches {
        &self.0.read.watches
    }
}

impl Drop for ReadEnd {
    fn drop(&mut self) {
        if self.0.read.close() {
            self.0.write.tell(Readiness::WRITE | Readiness::ERROR);
        }
    }
}

impl WriteEnd {
    /// An end of `pipe`.
    pub fn open(pipe: &Shared<Pipe>) -> Self {
        pipe.write.open();
        Self(pipe.clone())
    }

    /// The same end of the pipe, for another open file.
    pub fn reopen(&self) -> Self {
        Self::open(&self.0)
    }

    /// Writes everything, and waits for room unless `nonblocking`; then it writes what it
    /// can, but up to `PIPE_BUF` all or nothing. With `packets`, each read gets what one write
    /// of up to that has written.
    ///
    /// # Errors
    /// EPIPE if nobody can read it, EAGAIN instead of waiting, EINTR, EFAULT; all before
    /// anything is written.
    pub fn write(
        &self,
        source: &mut dyn Source,
        nonblocking: bool,
        packets: bool,
    ) -> Result<u64, Errno> {
        let Pipe {
            buffer,
            read,
            write,
            ..
        } = &*self.0;
        let mut untold = false;
        let mut stopped = false;
        let result = transfer::run(source, |source, _| {
            if !read.is_open() {
                return Err(Errno::EPIPE);
            }
            let step = buffer.borrow_mut().write(source, packets, stopped);
            if let Some(step) = step {
                // Nobody else writes before the rest of what has stopped at a fault.
                stopped = step.next == Next::Resolve && (step.moved > 0 || stopped);
                untold |= step.moved > 0;
                return Ok(step);
            }
            if untold {
                read.tell(Readiness::READ);
                untold = false;
            }
            if nonblocking {
                self.0.was_refused.set(true);
                return Err(Errno::EAGAIN);
            }
            // Others may write meanwhile.
            stopped = false;
            write.waiters.sleep()?;
            Ok(Step {
                moved: 0,
                next: Next::More,
            })
        });
        if untold {
            read.tell(Readiness::READ);
        }
        result
    }

    /// Writes from the first of `bytes` on, as many as lie together and there is room for, and
    /// says how many. Whoever reads is to be [told](Self::tell_reader).
    ///
    /// # Errors
    /// EPIPE if nobody can read it. EAGAIN: there is no room.
    pub fn put(&self, bytes: &[u8]) -> Result<u64, Errno> {
        if !self.0.has_reader() {
            return Err(Errno::EPIPE);
        }
        let mut source = KernelBytes(bytes);
        let step = self.0.buffer.borrow_mut().write(&mut source, false, false);
        step.map_or(Err(Errno::EAGAIN), |step| Ok(step.moved as u64))
    }

    /// Tells who reads that there are bytes.
    pub fn tell_reader(&self) {
        self.0.read.tell(Readiness::READ);
    }

    /// Waits until there is room, unless `nonblocking`.
    ///
    /// # Errors
    /// EPIPE if nobody can read it, EAGAIN instead of waiting, EINTR.
    pub fn wait(&self, nonblocking: bool) -> Result<(), Errno> {
        loop {
            if !self.0.read.is_open() {
                return Err(Errno::EPIPE);
            }
            if self.0.buffer.borrow().has_room() {
                return Ok(());
            }
            if nonblocking {
                return Err(Errno::EAGAIN);
            }
            self.0.write.waiters.sleep()?;
        }
    }

    /// Bytes that can be written at once, in pieces of a page.
    pub fn room(&self) -> usize {
        self.0.buffer.borrow().room()
    }

    /// What it is an end of.
    pub fn pipe(&self) -> &Pipe {
        &self.0
    }

    /// What a poll would find.
    pub fn readiness(&self) -> Readiness {
        let mut ready = Readiness::empty();
        ready.set(Readiness::WRITE, self.0.has_room());
        ready.set(Readiness::ERROR, !self.0.read.is_open());
        ready
    }

    /// Whoever wants to hear of it.
    pub fn watches(&self) -> &Watches {
        &self.0.write.watches
    }
}

impl Drop for WriteEnd {
    fn drop(&mut self) {
        if self.0.write.close() {
            self.0.read.tell(Readiness::READ | Readiness::HANG_UP);
        }
    }
}

#[cfg(test)]
mod tests;
