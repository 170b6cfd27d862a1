//! Paths: from a directory and a string to a node.

use abi::Errno;
use mm::Shared;

use crate::fs::directory::Directory;
use crate::fs::node::{Kind, NAME_MAX, Node};
use crate::fs::proc_files;

/// What a path's last component names, found or to be made.
pub struct Place<'p> {
    /// The directory that it is in.
    pub directory: Shared<Node>,
    /// Its name there. `None` for a path that ends with `.` or `..` or is all slashes:
    /// then it names the directory itself.
    pub name: Option<&'p [u8]>,
    /// Whether a slash follows, so that it can only be a directory.
    pub must_be_directory: bool,
}

/// The node that `path` leads to from `start`, or from `root` if it starts with a slash.
///
/// # Errors
/// ENOENT, ENOTDIR or ENAMETOOLONG, or ENOMEM for generated nodes.
pub fn walk(root: &Shared<Node>, start: &Shared<Node>, path: &[u8]) -> Result<Shared<Node>, Errno> {
    walk_to(root, start, path)?.node()
}

/// The place that `path` leads to, as for [`walk`]; its last component need not exist.
///
/// # Errors
/// As for [`walk`], for all components but the last.
pub fn walk_to<'p>(
    root: &Shared<Node>,
    start: &Shared<Node>,
    path: &'p [u8],
) -> Result<Place<'p>, Errno> {
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    let mut directory = match path {
        [b'/', ..] => root.clone(),
        _ => start.clone(),
    };
    let mut components = path
        .split(|&byte| byte == b'/')
        .filter(|component| !component.is_empty())
        .peekable();
    let mut name = None;
    while let Some(component) = components.next() {
        match component {
            b"." | b".." => {
                if !directory.is_directory() {
                    return Err(Errno::ENOTDIR);
                }
                if component.len() == 2 {
                    directory = parent_of(&directory)?;
                }
            }
            _ if component.len() > NAME_MAX => return Err(Errno::ENAMETOOLONG),
            _ if components.peek().is_none() => name = Some(component),
            _ => directory = child(&directory, component)?,
        }
    }
    if !directory.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    Ok(Place {
        directory,
        name,
        must_be_directory: path.ends_with(b"/"),
    })
}

impl Place<'_> {
    /// The node that is there.
    ///
    /// # Errors
    /// ENOENT, ENOTDIR.
    pub fn node(&self) -> Result<Shared<Node>, Errno> {
        let Some(name) = self.name else {
            return Ok(self.directory.clone());
        };
        let node = child(&self.directory, name)?;
        if self.must_be_directory && !node.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        Ok(node)
    }

    /// The node that is there, if there is one.
    ///
    /// # Errors
    /// As for [`node`](Self::node), except ENOENT.
    pub fn existing(&self) -> Result<Option<Shared<Node>>, Errno> {
        match self.node() {
            Ok(node) => Ok(Some(node)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// The directory that a node with this name can be put into or taken out of.
    ///
    /// # Errors
    /// As [`Node::directory`].
    pub fn entries(&self) -> Result<&Directory, Errno> {
        self.directory.directory()
    }
}

fn child(directory: &Shared<Node>, name: &[u8]) -> Result<Shared<Node>, Errno> {
    match directory.kind() {
        Kind::Directory(entries) => entries.find(name).ok_or(Errno::ENOENT),
        Kind::Proc(file) => proc_files::find(directory, *file, name),
        _ => Err(Errno::ENOTDIR),
    }
}

/// The root is its own parent.
fn parent_of(directory: &Shared<Node>) -> Result<Shared<Node>, Errno> {
    match directory.parent() {
        Some(parent) => Ok(parent),
        None if directory.is_removed() => Err(Errno::ENOENT),
        None => Ok(directory.clone()),
    }
}

/// The path of a directory, written from the end of `buffer` backwards.
///
/// # Errors
/// ENOENT if it has been removed, ERANGE if the buffer is too small.
pub fn write_path<'b>(directory: &Shared<Node>, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
    let mut start = buffer.len();
    let mut push = |bytes: &[u8]| {
        start = start.checked_sub(bytes.len()).ok_or(Errno::ERANGE)?;
        buffer[start..][..bytes.len()].copy_from_slice(bytes);
        Ok::<(), Errno>(())
    };
    let mut node = directory.clone();
    while let Some(parent) = node.parent() {
        node.with_name(&mut push)?;
        push(b"/")?;
        node = parent;
    }
    if node.is_removed() {
        return Err(Errno::ENOENT);
    }
    if Shared::is_same(&node, directory) {
        push(b"/")?;
    }
    Ok(&buffer[start..])
}

/// Whether `directory` is `ancestor` or somewhere in it.
pub fn is_inside(directory: &Shared<Node>, ancestor: &Shared<Node>) -> bool {
    let mut node = Some(directory.clone());
    while let Some(here) = node {
        if Shared::is_same(&here, ancestor) {
            return true;
        }
        node = here.parent();
    }
    false
}
