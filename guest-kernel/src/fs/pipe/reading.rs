//! The end of a pipe that bytes come out of.

use abi::Errno;
use mm::Shared;

use crate::fs::events::epoll::Watches;
use crate::fs::pipe::Pipe;
use crate::fs::poll::{self, Readiness};
use crate::fs::transfer::{self, Step, Target};

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
