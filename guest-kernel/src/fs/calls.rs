//! Operations on paths.
//!
//! Each has a [`Start`] for its paths, and asks [`permission`] whether it may be.

mod attributes;
mod listing;
mod naming;
mod opening;

use abi::Errno;
use linux_raw_sys::general as linux;
use mm::Shared;
use mm::file_pages::FilePages;

use crate::fs::bytes::Bytes;
use crate::fs::node::{Kind, Node};
use crate::fs::notify;
use crate::fs::open_file::{self, Object, OpenFile};
use crate::fs::opened::Opened;
use crate::fs::path::{self, Links, Start};
use crate::fs::permission::{self, EXECUTE, READ, WRITE};
use crate::fs::pipe;

pub use attributes::{NewTime, set_mode, set_owner, set_times};
pub use listing::{ListedAt, list};
pub use naming::{
    link, link_node, make_directory, make_link, make_node, remove_directory, remove_file, rename,
};
pub use opening::open;

/// The node at `path`.
///
/// # Errors
/// ENOENT, ENOTDIR, ENAMETOOLONG, ELOOP, ENOMEM.
pub fn find(start: &Start, path: &[u8], links: Links) -> Result<Shared<Node>, Errno> {
    path::walk(start, path, links)?.node().cloned()
}

/// The same, with the place where it is.
///
/// # Errors
/// As for [`find`].
pub fn find_opened(start: &Start, path: &[u8], links: Links) -> Result<Opened, Errno> {
    let place = path::walk(start, path, links)?;
    Ok(Opened {
        node: place.node()?.clone(),
        directory: place.directory.clone(),
        name: Bytes::name(place.name())?,
    })
}

/// Truncates the file at `path`, or extends it with zeros.
///
/// # Errors
/// As for [`find`]; EISDIR, EINVAL (no file), EACCES, EFBIG, ETXTBSY.
pub fn truncate(start: &Start, path: &[u8], len: u64) -> Result<(), Errno> {
    let opened = find_opened(start, path, Links::Followed)?;
    let node = &opened.node;
    match node.kind() {
        Kind::File(pages) => {
            permission::check(node, WRITE)?;
            node.check_not_running()?;
            pages.bring_in()?;
            permission::note_write(node);
            open_file::set_len(node, pages, len)?;
            notify::opened(&opened, notify::MODIFY);
            Ok(())
        }
        Kind::Directory(_) => Err(Errno::EISDIR),
        _ => Err(Errno::EINVAL),
    }
}

/// The bytes of a file, to be run.
///
/// # Errors
/// EACCES: not a file, or not to be run.
pub fn executable(node: &Node) -> Result<Shared<FilePages>, Errno> {
    match node.kind() {
        Kind::File(pages) => {
            permission::check(node, EXECUTE)?;
            pages.bring_in()?;
            Ok(pages.clone())
        }
        _ => Err(Errno::EACCES),
    }
}

/// Fails unless the process may use `node` in this way (bits of `access`).
///
/// # Errors
/// EINVAL: no such way; EACCES: writing what nobody can, too.
pub fn check_access(node: &Node, mode: u32) -> Result<(), Errno> {
    if mode & !(EXECUTE | WRITE | READ) != 0 {
        return Err(Errno::EINVAL);
    }
    let is_read_only = matches!(node.kind(), Kind::Proc(file) if !file.is_writable());
    match mode & WRITE != 0 && is_read_only {
        true => Err(Errno::EACCES),
        false => permission::check(node, mode),
    }
}

/// A directory as a place where relative paths start.
///
/// # Errors
/// ENOTDIR.
pub fn directory(node: Shared<Node>) -> Result<Shared<Node>, Errno> {
    match node.is_directory() {
        true => Ok(node),
        false => Err(Errno::ENOTDIR),
    }
}

/// The absolute path of the directory where `start` is, at the end of `buffer`.
///
/// # Errors
/// ENOENT: it has been removed. ERANGE: too long.
pub fn path_of<'b>(start: &Start, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
    path::write_path(&start.root, &start.directory, buffer)
}

/// The two ends of a new pipe, open with these flags beside their access modes.
///
/// # Errors
/// ENFILE, ENOMEM.
pub fn pipe(flags: u32) -> Result<[Shared<OpenFile>; 2], Errno> {
    let (read_end, write_end) = pipe::pipe()?;
    let flags = flags & (linux::O_NONBLOCK | linux::O_DIRECT);
    let read_end = OpenFile::new(Object::ReadEnd(read_end), flags | linux::O_RDONLY)?;
    let write_end = OpenFile::new(Object::WriteEnd(write_end), flags | linux::O_WRONLY)?;
    Ok([read_end, write_end])
}

#[cfg(test)]
mod tests;
