//! What paths lead to, and what is done with it as a whole: a file that somebody writes cannot be
//! run, and one that runs cannot be written (ETXTBSY).

use abi::Errno;
use mm::Shared;

use crate::fs::bytes::Bytes;
use crate::fs::node::{Kind, Node};

/// What a path led to when it was opened.
pub struct Opened {
    /// The node.
    pub node: Shared<Node>,
    /// The directory that it was found in, or that it is.
    pub directory: Shared<Node>,
    /// Its name there; empty for the directory itself, and if it had none.
    pub name: Bytes,
}

impl Opened {
    /// A directory itself.
    pub fn directory(node: Shared<Node>) -> Self {
        Self {
            directory: node.clone(),
            node,
            name: Bytes::InPlace(b""),
        }
    }

    /// The same once more.
    ///
    /// # Errors
    /// There is no memory.
    pub fn try_clone(&self) -> Result<Self, Errno> {
        Ok(Self {
            node: self.node.clone(),
            directory: self.directory.clone(),
            name: self.name.duplicate()?,
        })
    }
}

/// A file that is open for writing.
pub struct Writing(Shared<Node>);

impl Writing {
    /// Counts a writer of `node`, if it is a file.
    ///
    /// # Errors
    /// ETXTBSY: it runs.
    pub fn start(node: &Shared<Node>) -> Result<Option<Self>, Errno> {
        if !matches!(node.kind(), Kind::File(_)) {
            return Ok(None);
        }
        node.count_use(1)?;
        Ok(Some(Self(node.clone())))
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.end_use(1);
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
