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
use crate::fs::mount::{Location, MountFlags};
use crate::fs::node::{Kind, Node};
use crate::fs::notify;
use crate::fs::open_file::{self, Object, OpenFile};
use crate::fs::opened::Opened;
use crate::fs::path::{self, Backwards, Links, Start};
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

/// The same, with the mount that it is seen through.
///
/// # Errors
/// As for [`find`].
pub fn locate(start: &Start, path: &[u8], links: Links) -> Result<Location, Errno> {
    path::walk(start, path, links)?.location()
}

/// The same, with the place where it is.
///
/// # Errors
/// As for [`find`].
pub fn find_opened(start: &Start, path: &[u8], links: Links) -> Result<Opened, Errno> {
    let place = path::walk(start, path, links)?;
    Ok(Opened {
        mount: place.mount.clone(),
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
            opened.mount.check_writable()?;
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
pub fn executable(opened: &Opened) -> Result<Shared<FilePages>, Errno> {
    let node = &opened.node;
    match node.kind() {
        Kind::File(pages) if !opened.mount.has(MountFlags::NO_PROGRAMS) => {
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
/// EINVAL: no such way; EACCES: writing what nobody can, too. EROFS.
pub fn check_access(Location { mount, node }: &Location, mode: u32) -> Result<(), Errno> {
    if mode & !(EXECUTE | WRITE | READ) != 0 {
        return Err(Errno::EINVAL);
    }
    let is_read_only = matches!(node.kind(), Kind::Proc(file) if !file.is_writable());
    if mode & WRITE != 0 {
        if is_read_only {
            return Err(Errno::EACCES);
        }
        if is_stored(node) {
            mount.check_writable()?;
        }
    }
    match mode & EXECUTE != 0 && is_program(node) && mount.has(MountFlags::NO_PROGRAMS) {
        true => Err(Errno::EACCES),
        false => permission::check(node, mode),
    }
}

fn is_program(node: &Node) -> bool {
    matches!(node.kind(), Kind::File(_))
}

/// Whether what is written to `node` is a change of the file system that it is in, and not of
/// something that it stands for.
fn is_stored(node: &Node) -> bool {
    matches!(
        node.kind(),
        Kind::File(_) | Kind::Directory(_) | Kind::Link(_)
    )
}

/// A directory as a place where relative paths start.
///
/// # Errors
/// ENOTDIR.
pub fn directory(location: Location) -> Result<Location, Errno> {
    match location.node.is_directory() {
        true => Ok(location),
        false => Err(Errno::ENOTDIR),
    }
}

/// The absolute path of the directory where `start` is, at the end of `buffer`; with a mark in
/// front if the root does not lead there.
///
/// # Errors
/// ENOENT: it has been removed. ERANGE: too long.
pub fn path_of<'b>(start: &Start, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
    const UNREACHABLE: &[u8] = b"(unreachable)";
    let mut path = Backwards::new(buffer);
    if !path.push_path(&start.root, &start.directory)? {
        path.push(UNREACHABLE)?;
    }
    Ok(path.bytes())
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
