//! What a process's paths start from, and its umask: apart from its descriptors, since a child
//! can share one and not the other (`CLONE_FS`, `CLONE_FILES`).

use core::cell::{Cell, RefCell};

use abi::Errno;
use mm::{OutOfMemory, Shared};

use crate::fs::node::Node;
use crate::fs::path::Start;
use crate::fs::ramfs;

/// The initial umask: no write permission for others.
const DEFAULT_MASK: u32 = 0o022;

/// Where paths start, and which permissions new files do not get.
pub struct Surroundings {
    /// What `/` is; `None` is the root of the tree, which is made at its first use.
    root: RefCell<Option<Shared<Node>>>,
    /// Where relative paths start; `None` is the root of the tree.
    directory: RefCell<Option<Shared<Node>>>,
    mask: Cell<u32>,
}

impl Surroundings {
    /// The root of the tree.
    pub const fn new() -> Self {
        Self {
            root: RefCell::new(None),
            directory: RefCell::new(None),
            mask: Cell::new(DEFAULT_MASK),
        }
    }

    /// The same for somebody else.
    ///
    /// # Errors
    /// There is no memory.
    pub fn duplicate(&self) -> Result<Shared<Self>, OutOfMemory> {
        Shared::new(Self {
            root: self.root.clone(),
            directory: self.directory.clone(),
            mask: self.mask.clone(),
        })
    }

    /// Where paths start.
    ///
    /// # Errors
    /// There is no memory to make the file tree.
    pub fn start(&self) -> Result<Start, Errno> {
        let or_top = |place: &RefCell<Option<Shared<Node>>>| {
            if let Some(node) = &*place.borrow() {
                return Ok(node.clone());
            }
            let top = ramfs::root()?;
            place.replace(Some(top.clone()));
            Ok::<_, Errno>(top)
        };
        Ok(Start {
            root: or_top(&self.root)?,
            directory: or_top(&self.directory)?,
        })
    }

    /// Makes absolute paths start there.
    pub fn set_root(&self, directory: Shared<Node>) {
        let before = self.root.replace(Some(directory));
        drop(before);
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
