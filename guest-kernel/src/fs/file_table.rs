//! A process's descriptors: small numbers that stand for open files.
//!
//! Threads share a table; a child gets one of its own with the same open files.

use core::cell::{Cell, RefCell};

use abi::Errno;
use formats::command_line::StandardStreams;
use mm::{OutOfMemory, Shared};

use crate::fs::events::Event;
use crate::fs::locks::Owner;
use crate::fs::number_map::{self, NumberMap};
use crate::fs::open_file::{Object, OpenFile};
use crate::fs::standard;

/// Descriptors that a process can have: as many as `setrlimit` allows.
pub const LIMIT: usize = number_map::LIMIT;
/// Descriptors that it can have before it calls that, as on Linux.
pub const DEFAULT_LIMIT: u64 = 1024;

/// Open files by descriptor; a mark is for close-on-exec.
type Descriptors = NumberMap<Shared<OpenFile>>;

/// What a process has open.
pub struct FileTable {
    descriptors: RefCell<Descriptors>,
    /// Whether its process may have locks, of the files that it stands for.
    has_locks: Cell<bool>,
}

impl FileTable {
    /// Standard input, output and error.
    ///
    /// # Errors
    /// There is no memory.
    pub fn standard(streams: StandardStreams) -> Result<Shared<Self>, Errno> {
        let mut descriptors = Descriptors::EMPTY;
        for (fd, file) in standard::open(streams)?.into_iter().enumerate() {
            descriptors.put(fd, file, false)?;
        }
        Ok(Shared::new(Self {
            descriptors: RefCell::new(descriptors),
            has_locks: Cell::new(false),
        })?)
    }

    /// The table of a child: descriptors of its own, open files in common.
    ///
    /// # Errors
    /// There is no memory.
    pub fn duplicate(&self) -> Result<Shared<Self>, OutOfMemory> {
        let descriptors = self.descriptors.borrow().duplicate()?;
        Shared::new(Self {
            descriptors: RefCell::new(descriptors),
            has_locks: Cell::new(false),
        })
    }

    /// What `fd` stands for.
    ///
    /// # Errors
    /// EBADF: nothing.
    pub fn get(&self, fd: u64) -> Result<Shared<OpenFile>, Errno> {
        let descriptors = self.descriptors.borrow();
        let file = index(fd).and_then(|fd| descriptors.get(fd));
        file.cloned().ok_or(Errno::EBADF)
    }

    /// Makes the lowest free number from `from` on and below `limit` stand for `file`.
    ///
    /// # Errors
    /// EMFILE: there is none. ENOMEM.
    pub fn add(
        &self,
        file: Shared<OpenFile>,
        from: usize,
        limit: usize,
        close_on_exec: bool,
    ) -> Result<u64, Errno> {
        let mut descriptors = self.descriptors.borrow_mut();
        let fd = descriptors.first_missing(from);
        if fd >= limit.min(LIMIT) {
            return Err(Errno::EMFILE);
        }
        descriptors.put(fd, file, close_on_exec)?;
        Ok(fd as u64)
    }

    /// Fails as [`add`](Self::add) would for want of a number.
    ///
    /// # Errors
    /// EMFILE.
    pub fn check_room(&self, limit: usize) -> Result<(), Errno> {
        match self.descriptors.borrow_mut().first_missing(0) {
            fd if fd < limit.min(LIMIT) => Ok(()),
            _ => Err(Errno::EMFILE),
        }
    }

    /// Makes `fd` stand for `file`, and closes what it stood for.
    ///
    /// # Errors
    /// EBADF: not below `limit`. ENOMEM.
    pub fn replace(
        &self,
        fd: u64,
        file: Shared<OpenFile>,
        limit: usize,
        close_on_exec: bool,
    ) -> Result<(), Errno> {
        let index = index(fd).filter(|&fd| fd < limit).ok_or(Errno::EBADF)?;
        let mut descriptors = self.descriptors.borrow_mut();
        let closed = descriptors.put(index, file, close_on_exec)?;
        drop(descriptors);
        if let Some(closed) = closed {
            self.end(closed);
        }
        Ok(())
    }

    /// Closes `fd`.
    ///
    /// # Errors
    /// EBADF: it stands for nothing.
    pub fn close(&self, fd: u64) -> Result<(), Errno> {
        let index = index(fd).ok_or(Errno::EBADF)?;
        let closed = self.descriptors.borrow_mut().take(index);
        closed.map(|closed| self.end(closed)).ok_or(Errno::EBADF)
    }

    /// Closes the descriptors marked close-on-exec.
    pub fn close_on_exec(&self) {
        let mut from = 0;
        loop {
            let marked = self.descriptors.borrow().next_marked(from);
            let Some(fd) = marked else { return };
            self.take_out(fd);
            from = fd + 1;
        }
    }

    /// Notes that its process may have locks, or listen to queues, which goes with the descriptors.
    pub fn note_locks(&self) {
        self.has_locks.set(true);
    }

    /// Closes a descriptor that stands for something.
    fn take_out(&self, fd: usize) {
        let closed = self.descriptors.borrow_mut().take(fd);
        if let Some(closed) = closed {
            self.end(closed);
        }
    }

    /// Drops what a descriptor stood for, with the process's locks of that file, whichever
    /// descriptor they were set by. Other threads may wake, so nothing may be borrowed.
    fn end(&self, file: Shared<OpenFile>) {
        if self.has_locks.get()
            && let Some(node) = file.node()
        {
            node.locks().release_all(Owner::process(self));
            if let Object::Event(Event::Queue(queue)) = file.object() {
                queue.stop_listening(Owner::process(self));
            }
        }
    }

    /// Closes all descriptors from `first` to `last`, or marks them close-on-exec.
    pub fn close_range(&self, first: usize, last: usize, only_mark: bool) {
        let mut from = first;
        loop {
            let used = self.descriptors.borrow().next(from);
            let Some(fd) = used.filter(|&fd| fd <= last) else {
                return;
            };
            if only_mark {
                self.descriptors.borrow_mut().set_mark(fd, true);
            } else {
                self.take_out(fd);
            }
            from = fd + 1;
        }
    }

    /// The lowest number from `from` on that stands for something.
    pub fn first_open(&self, from: usize) -> Option<u32> {
        self.descriptors.borrow().next(from).map(|fd| fd as u32)
    }

    /// Whether `fd` is marked close-on-exec.
    ///
    /// # Errors
    /// EBADF: it stands for nothing.
    pub fn closes_on_exec(&self, fd: u64) -> Result<bool, Errno> {
        let descriptors = self.descriptors.borrow();
        let mark = index(fd).and_then(|fd| descriptors.mark(fd));
        mark.ok_or(Errno::EBADF)
    }

    /// Marks `fd` as close-on-exec or not.
    ///
    /// # Errors
    /// EBADF: it stands for nothing.
    pub fn set_close_on_exec(&self, fd: u64, close: bool) -> Result<(), Errno> {
        let mut descriptors = self.descriptors.borrow_mut();
        let marked = index(fd).and_then(|fd| descriptors.set_mark(fd, close));
        marked.ok_or(Errno::EBADF)
    }
}

impl Drop for FileTable {
    fn drop(&mut self) {
        if self.has_locks.get() {
            self.close_range(0, LIMIT, false);
        }
    }
}

/// A descriptor as a place in the table. Only the low half of a register counts for it.
fn index(fd: u64) -> Option<usize> {
    let fd = fd as u32 as usize;
    (fd < LIMIT).then_some(fd)
}

#[cfg(test)]
mod tests;
