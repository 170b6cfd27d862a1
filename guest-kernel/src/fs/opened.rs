//! What paths lead to, and what is done with it as a whole: a file that somebody writes cannot be
//! run, and one that runs cannot be written (ETXTBSY).

use abi::Errno;
use mm::Shared;

use crate::fs::bytes::Bytes;
use crate::fs::mount::{Location, Mount};
use crate::fs::node::{Kind, Node};

/// What a path led to when it was opened.
pub struct Opened {
    /// The mount that the node is seen through.
    pub mount: Shared<Mount>,
    /// The node.
    pub node: Shared<Node>,
    /// The directory that it was found in, or that it is.
    pub directory: Shared<Node>,
    /// Its name there; empty for the directory itself, and if it had none.
    pub name: Bytes,
}

impl Opened {
    /// A directory itself.
    pub fn directory(Location { mount, node }: Location) -> Self {
        Self {
            mount,
            directory: node.clone(),
            node,
            name: Bytes::InPlace(b""),
        }
    }

    /// Where it is.
    pub fn location(&self) -> Location {
        Location {
            mount: self.mount.clone(),
            node: self.node.clone(),
        }
    }

    /// The directory that it is, or is in.
    pub fn in_directory(&self) -> Location {
        let node = match self.node.is_directory() {
            true => &self.node,
            false => &self.directory,
        };
        Location {
            mount: self.mount.clone(),
            node: node.clone(),
        }
    }

    /// The same once more.
    ///
    /// # Errors
    /// There is no memory.
    pub fn try_clone(&self) -> Result<Self, Errno> {
        Ok(Self {
            mount: self.mount.clone(),
            node: self.node.clone(),
            directory: self.directory.clone(),
            name: self.name.duplicate()?,
        })
    }
}

/// A file that is open for writing.
pub struct Writing {
    node: Shared<Node>,
    mount: Shared<Mount>,
}

impl Writing {
    /// Counts a writer of `opened`, if it is a file.
    ///
    /// # Errors
    /// ETXTBSY: it runs.
    pub fn start(opened: &Opened) -> Result<Option<Self>, Errno> {
        if !matches!(opened.node.kind(), Kind::File(_)) {
            return Ok(None);
        }
        opened.node.count_use(1)?;
        opened.mount.count_writer(1);
        let Location { mount, node } = opened.location();
        Ok(Some(Self { node, mount }))
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.node.end_use(1);
        self.mount.count_writer(-1);
    }
}

/// A file that runs.
pub struct Running(Opened);

impl Running {
    /// Counts a program in `opened`.
    ///
    /// # Errors
    /// ETXTBSY: it is being written.
    pub fn start(opened: Opened) -> Result<Self, Errno> {
        opened.node.count_use(-1)?;
        Ok(Self(opened))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.node.end_use(-1);
    }
}

impl core::ops::Deref for Running {
    type Target = Opened;

    fn deref(&self) -> &Opened {
        &self.0
    }
}
