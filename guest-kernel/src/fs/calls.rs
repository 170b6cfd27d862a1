//! Operations on paths: open, create, remove, rename.
//!
//! Each call has a directory at which a relative path starts. Every caller is the
//! superuser, so only the execute permission is checked.

use abi::Errno;
use linux_raw_sys::general as linux;
use mm::Shared;
use mm::file_pages::FilePages;

use crate::fs::directory::{self, Directory};
use crate::fs::node::{Kind, Name, Node};
use crate::fs::open_file::{self, Object, OpenFile};
use crate::fs::path::{self, Place};
use crate::fs::pipe;
use crate::fs::proc_files::ProcName;
use crate::fs::ramfs;

/// Permission bits for running a file.
const EXECUTABLE: u32 = 0o111;

/// The node at `path`.
///
/// # Errors
/// ENOENT, ENOTDIR, ENAMETOOLONG, ENOMEM.
pub fn find(start: &Shared<Node>, path: &[u8]) -> Result<Shared<Node>, Errno> {
    path::walk(&ramfs::root()?, start, path)
}

fn find_place<'p>(start: &Shared<Node>, path: &'p [u8]) -> Result<Place<'p>, Errno> {
    path::walk_to(&ramfs::root()?, start, path)
}

/// Opens what is at `path`, or makes a file there with the permissions `mode`, as `flags`
/// say.
///
/// # Errors
/// As for [`find`]; EEXIST, EISDIR, ENXIO (no such device), EACCES, ENFILE, EROFS.
pub fn open(
    start: &Shared<Node>,
    path: &[u8],
    flags: u32,
    mode: u32,
) -> Result<Shared<OpenFile>, Errno> {
    if open_file::count() >= open_file::LIMIT {
        return Err(Errno::ENFILE);
    }
    if flags & linux::O_TMPFILE == linux::O_TMPFILE {
        return Err(Errno::EOPNOTSUPP);
    }
    let place = find_place(start, path)?;
    let node = match flags & linux::O_CREAT {
        0 => place.node()?,
        _ => find_or_create(&place, flags, mode)?,
    };
    // O_LARGEFILE is always reported.
    open_node(node, flags | linux::O_LARGEFILE)
}

fn find_or_create(place: &Place<'_>, flags: u32, mode: u32) -> Result<Shared<Node>, Errno> {
    let Some(node) = place.existing()? else {
        if place.must_be_directory {
            return Err(Errno::EISDIR);
        }
        let file = Kind::File(Shared::new(FilePages::new(&[]))?);
        return create(place, file, mode);
    };
    if flags & linux::O_EXCL != 0 {
        return Err(Errno::EEXIST);
    }
    if node.is_directory() {
        return Err(Errno::EISDIR);
    }
    Ok(node)
}

fn open_node(node: Shared<Node>, flags: u32) -> Result<Shared<OpenFile>, Errno> {
    if flags & linux::O_DIRECTORY != 0 && !node.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    let writes = flags & linux::O_ACCMODE != linux::O_RDONLY;
    if writes && node.is_directory() {
        return Err(Errno::EISDIR);
    }
    let object = match node.kind() {
        Kind::Device(device) => {
            if !device.is_present() {
                return Err(Errno::ENXIO);
            }
            Object::Device(*device)
        }
        Kind::Proc(_) if writes => return Err(Errno::EACCES),
        Kind::File(pages) => {
            if writes && flags & linux::O_TRUNC != 0 {
                pages.set_len(0);
            }
            Object::Node(node)
        }
        _ => Object::Node(node),
    };
    OpenFile::new(object, flags)
}

/// Puts a node of this kind at a place where there is none.
fn create(place: &Place<'_>, kind: Kind, mode: u32) -> Result<Shared<Node>, Errno> {
    let entries = place.entries()?;
    let name = Name::new(place.name.ok_or(Errno::EEXIST)?)?;
    let node = Node::new(kind, mode, name)?;
    entries.insert(&place.directory, node.clone())?;
    Ok(node)
}

/// Makes a directory.
///
/// # Errors
/// As for [`find`]; EEXIST, EROFS.
pub fn make_directory(start: &Shared<Node>, path: &[u8], mode: u32) -> Result<(), Errno> {
    let place = find_place(start, path)?;
    if place.existing()?.is_some() {
        return Err(Errno::EEXIST);
    }
    create(&place, Kind::Directory(Directory::default()), mode).map(drop)
}

/// Removes a file's name; the file goes when nobody has it open.
///
/// # Errors
/// As for [`find`]; EISDIR, EROFS.
pub fn remove_file(start: &Shared<Node>, path: &[u8]) -> Result<(), Errno> {
    let place = find_place(start, path)?;
    let node = place.node()?;
    if node.is_directory() {
        return Err(Errno::EISDIR);
    }
    place.entries()?.remove(&node);
    Ok(())
}

/// Removes a directory.
///
/// # Errors
/// As for [`find`]; ENOTDIR, ENOTEMPTY, EINVAL (`.`), EBUSY (the root), EROFS.
pub fn remove_directory(start: &Shared<Node>, path: &[u8]) -> Result<(), Errno> {
    let place = find_place(start, path)?;
    if place.name.is_none() {
        return Err(match path.ends_with(b".") {
            true if path.ends_with(b"..") => Errno::ENOTEMPTY,
            true => Errno::EINVAL,
            false => Errno::EBUSY,
        });
    }
    let node = place.node()?;
    if !node.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    let entries = place.entries()?;
    if !is_empty(&node) {
        return Err(Errno::ENOTEMPTY);
    }
    entries.remove(&node);
    Ok(())
}

fn is_empty(node: &Node) -> bool {
    match node.kind() {
        Kind::Directory(entries) => entries.is_empty(),
        _ => false,
    }
}

/// Renames the node at one path to another, replacing the node there unless `keep`.
///
/// # Errors
/// As for [`find`]; EEXIST, EISDIR, ENOTEMPTY, EINVAL (into itself), EBUSY, EROFS.
pub fn rename(
    (from_start, from): (&Shared<Node>, &[u8]),
    (to_start, to): (&Shared<Node>, &[u8]),
    keep: bool,
) -> Result<(), Errno> {
    let source = find_place(from_start, from)?;
    let target = find_place(to_start, to)?;
    let name = target.name.filter(|_| source.name.is_some());
    let name = name.ok_or(Errno::EBUSY)?;
    let node = source.node()?;
    source.entries()?;
    target.entries()?;
    let is_directory = node.is_directory();
    if is_directory && path::is_inside(&target.directory, &node) {
        return Err(Errno::EINVAL);
    }
    let replaced = target.existing()?;
    if target.must_be_directory && !is_directory {
        return Err(Errno::ENOTDIR);
    }
    if let Some(replaced) = &replaced {
        if keep {
            return Err(Errno::EEXIST);
        }
        if Shared::is_same(replaced, &node) {
            return Ok(());
        }
        match (is_directory, replaced.is_directory()) {
            (true, false) => return Err(Errno::ENOTDIR),
            (false, true) => return Err(Errno::EISDIR),
            (true, true) if !is_empty(replaced) => return Err(Errno::ENOTEMPTY),
            _ => {}
        }
    }
    directory::rename(&node, &target.directory, name, replaced.as_ref())
}

/// Truncates the file at `path`, or extends it with zeros.
///
/// # Errors
/// As for [`find`]; EISDIR, EINVAL (no file), EFBIG.
pub fn truncate(start: &Shared<Node>, path: &[u8], len: u64) -> Result<(), Errno> {
    let node = find(start, path)?;
    match node.kind() {
        Kind::File(pages) => open_file::set_len(pages, len),
        _ if node.is_directory() => Err(Errno::EISDIR),
        _ => Err(Errno::EINVAL),
    }
}

/// The bytes of a file, to be run.
///
/// # Errors
/// EACCES: not a file, or not to be run.
pub fn executable(node: &Node) -> Result<Shared<FilePages>, Errno> {
    match node.kind() {
        Kind::File(pages) if node.mode() & EXECUTABLE != 0 => Ok(pages.clone()),
        _ => Err(Errno::EACCES),
    }
}

/// Whether the superuser may use what is at `path` in this way (bits of `access`).
///
/// # Errors
/// As for [`find`]; EINVAL: no such way; EACCES: only running it may be refused, and
/// writing what nobody can.
pub fn check_access(start: &Shared<Node>, path: &[u8], mode: u32) -> Result<(), Errno> {
    const EXECUTE: u32 = 1;
    const WRITE: u32 = 2;
    const READ: u32 = 4;
    if mode & !(EXECUTE | WRITE | READ) != 0 {
        return Err(Errno::EINVAL);
    }
    let node = find(start, path)?;
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

/// The absolute path of `directory`, at the end of `buffer`.
///
/// # Errors
/// ENOENT: it has been removed. ERANGE: too long.
pub fn path_of<'b>(directory: &Shared<Node>, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
    path::write_path(directory, buffer)
}

/// The two ends of a new pipe, open with these flags beside their access modes.
///
/// # Errors
/// ENFILE, ENOMEM.
pub fn pipe(flags: u32) -> Result<[Shared<OpenFile>; 2], Errno> {
    let (read_end, write_end) = pipe::pipe()?;
    let flags = flags & linux::O_NONBLOCK;
    let read_end = OpenFile::new(Object::ReadEnd(read_end), flags | linux::O_RDONLY)?;
    let write_end = OpenFile::new(Object::WriteEnd(write_end), flags | linux::O_WRONLY)?;
    Ok([read_end, write_end])
}

/// A name in a directory, as a program is told.
pub struct Listed<'n> {
    /// The name.
    pub name: &'n [u8],
    /// Number of the node.
    pub number: u64,
    /// Type and permissions.
    pub mode: u32,
    /// Where the next one is.
    pub next: u64,
}

/// Calls `list` with what is at place `from` of the directory or first after it, until it
/// refuses; returns where to go on. Places 0 and 1 are `.` and `..`.
///
/// # Errors
/// ENOTDIR; ENOENT: it has been removed.
pub fn list(
    directory: &Shared<Node>,
    from: u64,
    mut list: impl FnMut(&Listed<'_>) -> bool,
) -> Result<u64, Errno> {
    /// `.` and `..` come before all others.
    const SPECIAL: [&[u8]; 2] = [b".", b".."];
    if directory.is_removed() {
        return Err(Errno::ENOENT);
    }
    let mut place = from;
    for name in SPECIAL.iter().skip(place.min(2) as usize) {
        let parent = directory.parent().filter(|_| name.len() == 2);
        let node = parent.unwrap_or_else(|| directory.clone());
        let listed = Listed {
            name,
            number: node.number(),
            mode: node.mode(),
            next: place + 1,
        };
        if !list(&listed) {
            return Ok(place);
        }
        place += 1;
    }
    loop {
        let at = usize::try_from(place - SPECIAL.len() as u64).unwrap_or(usize::MAX);
        let Some((at, go_on)) = list_one(directory, at, &mut list)? else {
            return Ok(place);
        };
        if !go_on {
            return Ok(place);
        }
        place = (at + 1 + SPECIAL.len()) as u64;
    }
}

/// Lists the first node at `from` or after it: its place, and what `list` said.
fn list_one(
    directory: &Node,
    from: usize,
    list: &mut impl FnMut(&Listed<'_>) -> bool,
) -> Result<Option<(usize, bool)>, Errno> {
    /// Past this node, `.` and `..`.
    const AFTER: u64 = 3;
    match directory.kind() {
        Kind::Directory(entries) => Ok(entries.next(from).map(|(at, node)| {
            let go_on = node.with_name(|name| {
                list(&Listed {
                    name,
                    number: node.number(),
                    mode: node.mode(),
                    next: at as u64 + AFTER,
                })
            });
            (at, go_on)
        })),
        Kind::Proc(file) if file.is_directory() => {
            Ok(file.next(from).map(|(at, file, name): (_, _, ProcName)| {
                let go_on = list(&Listed {
                    name: name.bytes(),
                    number: file.number(),
                    mode: file.mode(),
                    next: at as u64 + AFTER,
                });
                (at, go_on)
            }))
        }
        _ => Err(Errno::ENOTDIR),
    }
}

#[cfg(test)]
mod tests;
