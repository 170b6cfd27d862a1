//! What a process's paths start from, and its umask: apart from its descriptors, since a child
//! can share one and not the other (`CLONE_FS`, `CLONE_FILES`).

use core::cell::{Cell, RefCell};

use abi::Errno;
use mm::{OutOfMemory, Shared};

use crate::fs::mount::Location;
use crate::fs::path::Start;
use crate::fs::ramfs;

/// The initial umask: no write permission for others.
const DEFAULT_MASK: u32 = 0o022;

/// Where paths start, and which permissions new files do not get.
pub struct Surroundings {
    /// Never changed but replaced, so that whoever needs it shares it. `None` is the root of the
    /// tree, which is made at its first use.
    start: RefCell<Option<Shared<Start>>>,
    mask: Cell<u32>,
}

impl Surroundings {
    /// The root of the tree.
    pub const fn new() -> Self {
        Self {
            start: RefCell::new(None),
            mask: Cell::new(DEFAULT_MASK),
        }
    }

    /// The same for somebody else.
    ///
    /// # Errors
    /// There is no memory.
    pub fn duplicate(&self) -> Result<Shared<Self>, OutOfMemory> {
        Shared::new(Self {
            start: self.start.clone(),
            mask: self.mask.clone(),
        })
    }

    /// Where paths start.
    ///
    /// # Errors
    /// There is no memory to make the file tree.
    pub fn start(&self) -> Result<Shared<Start>, Errno> {
        if let Some(start) = &*self.start.borrow() {
            return Ok(start.clone());
        }
        let start = ramfs::top()?;
        self.start.replace(Some(start.clone()));
        Ok(start)
    }

    /// Makes paths start there.
    ///
    /// # Errors
    /// There is no memory; nothing has changed.
    pub fn set(&self, start: Start) -> Result<(), Errno> {
        let start = Shared::new(start)?;
        let before = self.start.replace(Some(start));
        drop(before);
        Ok(())
    }

    /// Makes absolute paths start there.
    ///
    /// # Errors
    /// As of [`set`](Self::set).
    pub fn set_root(&self, root: Location) -> Result<(), Errno> {
        let before = self.start()?;
        self.set(Start {
            root,
            ..(*before).clone()
        })
    }

    /// Makes relative paths start there.
    ///
    /// # Errors
    /// As of [`set`](Self::set).
    pub fn set_directory(&self, directory: Location) -> Result<(), Errno> {
        let before = self.start()?;
        self.set(Start {
            directory,
            ..(*before).clone()
        })
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

#[cfg(test)]
mod tests {
    use super::{DEFAULT_MASK, Surroundings};

    #[test]
    fn the_mask_keeps_permission_bits() {
        let surroundings = Surroundings::new();
        assert_eq!(surroundings.set_mask(0o7077), DEFAULT_MASK);
        assert_eq!(surroundings.mask(), 0o077);
    }
}
