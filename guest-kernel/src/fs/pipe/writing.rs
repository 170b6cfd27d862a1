//! The end of a pipe that bytes go into.

use abi::Errno;
use mm::Shared;

use crate::fs::events::epoll::Watches;
use crate::fs::pipe::Pipe;
use crate::fs::poll::Readiness;
use crate::fs::transfer::{self, KernelBytes, Next, Source, Step};

/// The end that bytes go into.
pub struct WriteEnd(Shared<Pipe>);

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
