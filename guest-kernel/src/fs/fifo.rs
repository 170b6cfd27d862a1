//! FIFOs: pipes that are found by a name (Linux, fifo(7)).
//!
//! The node leads to a pipe as long as anybody has it open. Who opens one end waits until
//! somebody has opened the other, who may have gone again when he wakes.

use core::cell::{Cell, RefCell};

use abi::Errno;
use linux_raw_sys::general as linux;
use mm::{Shared, quota};

use crate::fs::open_file::Object;
use crate::fs::pipe::{Pipe, ReadEnd, WriteEnd};
use crate::proc::wait_queue::WaitQueue;

/// A FIFO.
pub struct Fifo {
    pipe: RefCell<Option<Shared<Pipe>>>,
    readers: Openings,
    writers: Openings,
}

/// How often one end was opened.
struct Openings {
    count: Cell<u64>,
    /// Those who wait for the next time.
    waiters: WaitQueue,
}

impl Openings {
    const fn new() -> Self {
        Self {
            count: Cell::new(0),
            waiters: WaitQueue::new(),
        }
    }

    fn note(&self) {
        self.count.set(self.count.get() + 1);
        self.waiters.wake_all();
    }

    fn wait(&self) -> Result<(), Errno> {
        let before = self.count.get();
        while self.count.get() == before {
            self.waiters.sleep()?;
        }
        Ok(())
    }
}

impl Fifo {
    /// One that nobody has open.
    pub const fn new() -> Self {
        Self {
            pipe: RefCell::new(None),
            readers: Openings::new(),
            writers: Openings::new(),
        }
    }

    /// Opens it with these flags of `open`.
    ///
    /// # Errors
    /// ENXIO: nobody reads it, and nobody shall be waited for. EINTR, ENOMEM.
    pub fn open(&self, flags: u32) -> Result<Object, Errno> {
        let pipe = self.pipe()?;
        let waits = flags & linux::O_NONBLOCK == 0;
        match flags & linux::O_ACCMODE {
            linux::O_RDONLY => {
                let end = ReadEnd::open(&pipe);
                self.readers.note();
                if waits && !pipe.has_writer() {
                    self.writers.wait()?;
                }
                Ok(Object::ReadEnd(end))
            }
            linux::O_WRONLY => {
                if !waits && !pipe.has_reader() {
                    return Err(Errno::ENXIO);
                }
                let end = WriteEnd::open(&pipe);
                self.writers.note();
                if !pipe.has_reader() {
                    self.readers.wait()?;
                }
                Ok(Object::WriteEnd(end))
            }
            _ => {
                let ends = (ReadEnd::open(&pipe), WriteEnd::open(&pipe));
                self.readers.note();
                self.writers.note();
                Ok(Object::BothEnds(ends.0, ends.1))
            }
        }
    }

    /// The pipe that others have open, or a new one.
    fn pipe(&self) -> Result<Shared<Pipe>, Errno> {
        let pipe = self.pipe.borrow().clone();
        if let Some(pipe) = pipe.filter(|pipe| pipe.has_reader() || pipe.has_writer()) {
            return Ok(pipe);
        }
        quota::check_file()?;
        let pipe = Pipe::without_ends()?;
        drop(self.pipe.replace(Some(pipe.clone())));
        Ok(pipe)
    }
}
