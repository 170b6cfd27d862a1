//! Files of the host that a guest can read: what [`abi::host_files`] asks for.
//!
//! ```text
//! FilesConfig      paths, as the user gives them
//!  └─ Tree         one tree of numbered nodes, joined from sources:
//!      ├─ Folder      a folder of the host (--root DIR, --dir)
//!      ├─ TarFiles    the index of an archive (--root image.tar)
//!      ├─ OneFile     a file of the host (--file)
//!      └─ Joints      folders that are nowhere, but lead to the others
//! ```
//!
//! Nothing is read before the guest asks for it, but for an archive's headers. None of these
//! files is ever written; what the user wants of the guest's own becomes new ones ([`Saving`]). What is on the host may change at any moment, and the names in an archive are
//! data: neither leads anywhere but to where it was found.

mod archive;
mod config;
mod folder;
mod gzip;
mod resolve;
mod save;
mod saving;
mod small;
mod tar_files;
#[cfg(test)]
pub(crate) mod tests;
mod tree;

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use abi::Errno;
use abi::host_files::Attributes;

pub use config::{Addition, FilesConfig, FilesError, Root};
pub use resolve::{Found, Unresolved};
pub use save::{Save, SaveError};
pub use saving::{MAX_SAVED, MAX_SAVED_BYTES, Saving};
pub use tree::Tree;

/// Longest name, in bytes, as Linux has it.
pub const NAME_MAX: usize = 255;
/// Most nodes of a source, so that a guest cannot exhaust the VMM's memory.
pub const MAX_NODES: usize = 4_000_000;

/// Part of a file's mode: which kind of file it is.
const KIND: u32 = libc::S_IFMT;

/// What an entry of a list is given to: its name, its attributes, and where the next is.
type Visit<'a> = &'a mut dyn FnMut(&[u8], Attributes, u64) -> ControlFlow<()>;

/// Where files come from. Its nodes have numbers of its own, from 0 on, the first of which is
/// where the others are below; they are in [`Attributes::node`].
trait Source: Send {
    /// The attributes of a node.
    fn attributes(&mut self, node: u64) -> Result<Attributes, Errno>;

    /// Those of a name in a folder.
    fn look_up(&mut self, folder: u64, name: &[u8]) -> Result<Attributes, Errno>;

    /// Visits the entries of a folder from a place on, 0 first, less than 1 << 63. Returns
    /// whether that was all.
    fn list(&mut self, folder: u64, from: u64, visit: Visit<'_>) -> Result<bool, Errno>;

    /// Where a symbolic link leads.
    fn read_link(&mut self, node: u64) -> Result<Vec<u8>, Errno>;

    /// A regular file.
    fn open(&mut self, node: u64) -> Result<Opened, Errno>;
}

/// A regular file that is open.
pub struct Opened {
    /// Where its contents are.
    pub file: Arc<File>,
    /// From which byte on.
    pub offset: u64,
    /// What it is, with its length.
    pub attributes: Attributes,
    /// Its name for messages.
    pub name: String,
}

/// What an error of the host is to the guest.
fn errno(error: &io::Error) -> Errno {
    error
        .raw_os_error()
        .map_or(Errno::EIO, |number| Errno::new(number as u64))
}

/// What somebody who wants to read the contents of a node of this mode is told, unless it is a
/// regular file.
fn check_regular(mode: u32) -> Result<(), Errno> {
    match mode & KIND {
        libc::S_IFREG => Ok(()),
        libc::S_IFDIR => Err(Errno::EISDIR),
        libc::S_IFLNK => Err(Errno::EINVAL),
        _ => Err(Errno::ENXIO),
    }
}

/// Whether a folder can have this name in it.
fn check_name(name: &[u8]) -> Result<(), Errno> {
    if name.len() > NAME_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    match name {
        b"" | b"." | b".." => Err(Errno::EINVAL),
        _ if name.iter().any(|byte| matches!(byte, b'/' | 0)) => Err(Errno::EINVAL),
        _ => Ok(()),
    }
}
