//! Bytes and room of the kernel's own, and parts of what others have.

use abi::Errno;
use arch::copies;
use arch::paging::physical_of;

use crate::fs::transfer::{Source, Target, Transfer};

/// Bytes of the kernel's own, on their way to a file.
pub struct KernelBytes<'a>(pub &'a [u8]);

impl Transfer for KernelBytes<'_> {
    fn left(&self) -> usize {
        self.0.len()
    }

    fn resolve(&mut self) -> Result<(), Errno> {
        Ok(())
    }
}

impl Source for KernelBytes<'_> {
    fn take(&mut self, buffer: &mut [u8]) -> usize {
        let count = buffer.len().min(self.0.len());
        let (taken, rest) = self.0.split_at(count);
        copies::copy(&mut buffer[..count], taken);
        self.0 = rest;
        count
    }

    fn read_in_place(&mut self, read: &mut dyn FnMut(u64, usize) -> bool) -> Option<usize> {
        let (address, len) = (physical_of(self.0)?, self.0.len());
        read(address, len);
        self.0 = &[];
        Some(len)
    }
}

/// Room of the kernel's own, for bytes from a file.
pub struct KernelRoom<'a> {
    room: &'a mut [u8],
    done: usize,
}

impl<'a> KernelRoom<'a> {
    /// All of `room`.
    pub fn new(room: &'a mut [u8]) -> Self {
        Self { room, done: 0 }
    }
}

impl Transfer for KernelRoom<'_> {
    fn left(&self) -> usize {
        self.room.len() - self.done
    }

    fn resolve(&mut self) -> Result<(), Errno> {
        Ok(())
    }
}

impl Target for KernelRoom<'_> {
    fn put(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.left());
        copies::copy(&mut self.room[self.done..][..count], &bytes[..count]);
        self.done += count;
        count
    }
}

/// The first bytes of another source.
pub struct First<'a> {
    source: &'a mut dyn Source,
    left: usize,
}

impl<'a> First<'a> {
    /// At most `most` of `source`.
    pub fn new(source: &'a mut dyn Source, most: u64) -> Self {
        let left = usize::try_from(most).unwrap_or(usize::MAX);
        Self { source, left }
    }
}

impl Transfer for First<'_> {
    fn left(&self) -> usize {
        self.source.left().min(self.left)
    }

    fn resolve(&mut self) -> Result<(), Errno> {
        self.source.resolve()
    }
}

impl Source for First<'_> {
    fn take(&mut self, buffer: &mut [u8]) -> usize {
        let most = buffer.len().min(self.left);
        let taken = self.source.take(&mut buffer[..most]);
        self.left -= taken;
        taken
    }
}
