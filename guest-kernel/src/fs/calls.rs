//! Operations on paths.
//!
//! Each has a [`Start`] for its paths. Every caller is the superuser, so only the execute
//! permission is checked.

mod listing;
mod naming;
mod opening;

use abi::Errno;
use linux_raw_sys::general as linux;
use mm::Shared;
use mm::file_pages::FilePages;

use crate::fs::bytes::Bytes;
use crate::fs::node::{Kind, Node};
use crate::fs::open_file::{self, Object, OpenFile};
use crate::fs::opened::Opened;
use crate::fs::path::{self, Links, Start};
use crate::fs::pipe;

pub use listing::{ListedAt, list};
pub use naming::{
    link, link_node, make_directory, make_link, make_socket, remove_directory, remove_file, rename,
};
pub use opening::open;

/// Permission bits for running a file.
const EXECUTABLE: u32 = 0o111;

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
/// As for [`find`]; EISDIR, EINVAL (no file), EFBIG, ETXTBSY.
pub fn truncate(start: &Start, path: &[u8], len: u64) -> Result<(), Errno> {
    let node = find(start, path, Links::Followed)?;
    match node.kind() {
        Kind::File(pages) => {
            node.check_not_running()?;
            pages.bring_in()?;
            open_file::set_len(&node, pages, len)
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
        Kind::File(pages) if node.mode() & EXECUTABLE != 0 => {
            pages.bring_in()?;
            Ok(pages.clone())
        }
        _ => Err(Errno::EACCES),
    }
}

/// Whether the superuser may use what is at `path` in this way (bits of `access`).
///
/// # Errors
/// As for [`find`]; EINVAL: no such way; EACCES: only running it may be refused, and
/// writing what nobody can.
pub fn check_access(start: &Start, path: &[u8], mode: u32) -> Result<(), Errno> {
    const EXECUTE: u32 = 1;
    const WRITE: u32 = 2;
    const READ: u32 = 4;
    if mode & !(EXECUTE | WRITE | READ) != 0 {
        return Err(Errno::EINVAL);
    }
    let node = find(start, path, Links::Followed)?;
    let is_runnable = node.is_directory() || node.mode() & EXECUTABLE != 0;
    let is_made_up = matches!(node.kind(), Kind::Proc(_));
    match (mode & EXECUTE != 0 && !is_runnable) || (mode & WRITE != 0 && is_made_up) {
        true => Err(Errno::EACCES),
        false => Ok(()),
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
