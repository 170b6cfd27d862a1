//! A process's descriptors: small numbers that stand for open files. With them, the rest of
//! a process's file state: its working directory and umask.
//!
//! The table is in chunks that are made as numbers are used. Threads share a table; a
//! child gets one of its own with the same open files.

use core::cell::{Cell, RefCell};

use abi::Errno;
use mm::{OutOfMemory, Owned, Shared};

use crate::fs::node::Node;
use crate::fs::open_file::OpenFile;
use crate::fs::path::Start;
use crate::fs::ramfs;
use crate::fs::standard::StandardStreams;

/// Descriptors that a process can have.
pub const LIMIT: usize = 256;

/// Descriptors in a chunk.
const CHUNK: usize = 32;
const CHUNKS: usize = LIMIT / CHUNK;
const WORD_BITS: usize = u64::BITS as usize;

/// The initial umask: no write permission for others.
const DEFAULT_MASK: u32 = 0o022;

type Chunk = [Option<Shared<OpenFile>>; CHUNK];

/// A set of descriptors.
#[derive(Clone, Copy)]
struct FdSet([u64; LIMIT / WORD_BITS]);

impl FdSet {
    const EMPTY: Self = Self([0; LIMIT / WORD_BITS]);

    fn set(&mut self, fd: usize, member: bool) {
        let bit = 1 << (fd % WORD_BITS);
        if member {
            self.0[fd / WORD_BITS] |= bit;
        } else {
            self.0[fd / WORD_BITS] &= !bit;
        }
    }

    fn contains(&self, fd: usize) -> bool {
        self.0[fd / WORD_BITS] & 1 << (fd % WORD_BITS) != 0
    }

    /// The lowest number from `from` on that is not in the set.
    fn first_missing(&self, from: usize) -> usize {
        let mut fd = from;
        while fd < LIMIT {
            let missing = !self.0[fd / WORD_BITS] >> (fd % WORD_BITS);
            if missing != 0 {
                return fd + missing.trailing_zeros() as usize;
            }
            fd = (fd / WORD_BITS + 1) * WORD_BITS;
        }
        LIMIT
    }

    /// All numbers in the set.
    fn iter(self) -> impl Iterator<Item = usize> {
        (0..).zip(self.0).flat_map(|(number, word)| {
            let rest = move |word: &u64| Some(word & (word - 1)).filter(|&word| word != 0);
            core::iter::successors(Some(word).filter(|&word| word != 0), rest)
                .map(move |word| number * WORD_BITS + word.trailing_zeros() as usize)
        })
    }
}

struct Descriptors {
    open: FdSet,
    close_on_exec: FdSet,
    chunks: [Option<Owned<Chunk>>; CHUNKS],
}

impl Descriptors {
    const EMPTY: Self = Self {
        open: FdSet::EMPTY,
        close_on_exec: FdSet::EMPTY,
        chunks: [const { None }; CHUNKS],
    };

    fn get(&self, fd: usize) -> Option<&Shared<OpenFile>> {
        self.chunks.get(fd / CHUNK)?.as_ref()?[fd % CHUNK].as_ref()
    }

    /// Makes `fd`, which is below [`LIMIT`], stand for `file`, and returns what it stood
    /// for before.
    fn put(
        &mut self,
        fd: usize,
        file: Shared<OpenFile>,
        close_on_exec: bool,
    ) -> Result<Option<Shared<OpenFile>>, OutOfMemory> {
        let chunk = &mut self.chunks[fd / CHUNK];
        let chunk = match chunk {
            Some(chunk) => chunk,
            None => chunk.insert(Owned::new([const { None }; CHUNK])?),
        };
        self.open.set(fd, true);
        self.close_on_exec.set(fd, close_on_exec);
        Ok(chunk[fd % CHUNK].replace(file))
    }

    fn take(&mut self, fd: usize) -> Option<Shared<OpenFile>> {
        let file = self.chunks.get_mut(fd / CHUNK)?.as_mut()?[fd % CHUNK].take()?;
        self.open.set(fd, false);
        Some(file)
    }
}

/// What a process has open.
pub struct FileTable {
    descriptors: RefCell<Descriptors>,
    /// Where relative paths start; `None` is the root.
    directory: RefCell<Option<Shared<Node>>>,
    mask: Cell<u32>,
}

impl FileTable {
    /// Standard input, output and error.
    ///
    /// # Errors
    /// There is no memory.
    pub fn standard(streams: StandardStreams) -> Result<Shared<Self>, Errno> {
        let mut descriptors = Descriptors::EMPTY;
        for (fd, file) in streams.open()?.into_iter().enumerate() {
            descriptors.put(fd, file, false)?;
        }
        Ok(Shared::new(Self {
            descriptors: RefCell::new(descriptors),
            directory: RefCell::new(None),
            mask: Cell::new(DEFAULT_MASK),
        })?)
    }

    /// The table of a child: descriptors of its own, open files in common.
    ///
    /// # Errors
    /// There is no memory.
    pub fn duplicate(&self) -> Result<Shared<Self>, OutOfMemory> {
        let from = self.descriptors.borrow();
        let mut descriptors = Descriptors::EMPTY;
        for (copy, chunk) in descriptors.chunks.iter_mut().zip(&from.chunks) {
            if let Some(chunk) = chunk {
                *copy = Some(Owned::new(Chunk::clone(chunk))?);
            }
        }
        (descriptors.open, descriptors.close_on_exec) = (from.open, from.close_on_exec);
        Shared::new(Self {
            descriptors: RefCell::new(descriptors),
            directory: RefCell::new(self.directory.borrow().clone()),
            mask: Cell::new(self.mask.get()),
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
        let fd = descriptors.open.first_missing(from);
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
        match self.descriptors.borrow().open.first_missing(0) {
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
        // Closing may wake other threads, so nothing may be borrowed.
        drop(descriptors);
        drop(closed);
        Ok(())
    }

    /// Closes `fd`.
    ///
    /// # Errors
    /// EBADF: it stands for nothing.
    pub fn close(&self, fd: u64) -> Result<(), Errno> {
        let index = index(fd).ok_or(Errno::EBADF)?;
        let closed = self.descriptors.borrow_mut().take(index);
        closed.map(drop).ok_or(Errno::EBADF)
    }

    /// Closes the descriptors marked close-on-exec.
    pub fn close_on_exec(&self) {
        let doomed = {
            let mut descriptors = self.descriptors.borrow_mut();
            let set = descriptors.close_on_exec;
            descriptors.close_on_exec = FdSet::EMPTY;
            set
        };
        for fd in doomed.iter() {
            let closed = self.descriptors.borrow_mut().take(fd);
            drop(closed);
        }
    }

    /// Whether `fd` is marked close-on-exec.
    ///
    /// # Errors
    /// EBADF: it stands for nothing.
    pub fn closes_on_exec(&self, fd: u64) -> Result<bool, Errno> {
        let descriptors = self.descriptors.borrow();
        let fd = index(fd).filter(|&fd| descriptors.open.contains(fd));
        fd.map(|fd| descriptors.close_on_exec.contains(fd))
            .ok_or(Errno::EBADF)
    }

    /// Marks `fd` as close-on-exec or not.
    ///
    /// # Errors
    /// EBADF: it stands for nothing.
    pub fn set_close_on_exec(&self, fd: u64, close: bool) -> Result<(), Errno> {
        let mut descriptors = self.descriptors.borrow_mut();
        let fd = index(fd).filter(|&fd| descriptors.open.contains(fd));
        descriptors
            .close_on_exec
            .set(fd.ok_or(Errno::EBADF)?, close);
        Ok(())
    }

    /// Where paths start.
    ///
    /// # Errors
    /// There is no memory to make the file tree.
    pub fn start(&self) -> Result<Start, Errno> {
        let root = ramfs::root()?;
        let directory = self.directory.borrow().as_ref().unwrap_or(&root).clone();
        Ok(Start { root, directory })
    }

    /// Makes relative paths start there.
    pub fn set_directory(&self, directory: Shared<Node>) {
        let before = self.directory.replace(Some(directory));
        drop(before);
    }

    /// The umask: permissions that new files do not get.
    pub fn mask(&self) -> u32 {
        self.mask.get()
    }

    /// Sets them, and returns those before.
    pub fn set_mask(&self, mask: u32) -> u32 {
        self.mask.replace(mask & 0o777)
    }
}

/// A descriptor as a place in the table. Only the low half of a register counts for it.
fn index(fd: u64) -> Option<usize> {
    let fd = fd as u32 as usize;
    (fd < LIMIT).then_some(fd)
}

#[cfg(test)]
mod tests;
