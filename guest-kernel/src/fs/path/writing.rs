//! Paths the other way: from a node and the mount that it is seen through to a string.

use abi::Errno;
use mm::Shared;

use crate::fs::directory;
use crate::fs::mapped;
use crate::fs::mount::Location;
use crate::fs::node::Node;
use crate::fs::opened::Opened;

/// What comes after a name that stands no more for what it is to name.
pub const DELETED: &[u8] = b" (deleted)";

/// A path that is written from the end of a buffer backwards.
pub struct Backwards<'b> {
    buffer: &'b mut [u8],
    start: usize,
}

impl<'b> Backwards<'b> {
    /// Nothing yet.
    pub fn new(buffer: &'b mut [u8]) -> Self {
        let start = buffer.len();
        Self { buffer, start }
    }

    /// Puts bytes in front.
    ///
    /// # Errors
    /// ERANGE: there is no room.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        let start = self.start.checked_sub(bytes.len()).ok_or(Errno::ERANGE)?;
        self.buffer[start..self.start].copy_from_slice(bytes);
        self.start = start;
        Ok(())
    }

    /// What is there now.
    pub fn bytes(self) -> &'b [u8] {
        &self.buffer[self.start..]
    }

    /// Puts the names in front that lead from `root` to a directory, all in one file system: as
    /// far as they do.
    ///
    /// # Errors
    /// ERANGE.
    pub fn push_names(&mut self, mut node: Shared<Node>, root: &Shared<Node>) -> Result<(), Errno> {
        while !Shared::is_same(&node, root) {
            match self.push_name(&node)? {
                Some(parent) => node = parent,
                None => break,
            }
        }
        self.finish()
    }

    /// Puts the name of a directory in front; returns the one that it is in, if it is in one.
    fn push_name(&mut self, node: &Node) -> Result<Option<Shared<Node>>, Errno> {
        let parent = node.directory()?.with_place(|parent, name| {
            self.push(name)?;
            self.push(b"/")?;
            Ok(parent.clone())
        });
        parent.transpose()
    }

    /// The path of the root itself is not empty.
    fn finish(&mut self) -> Result<(), Errno> {
        match self.is_empty() {
            true => self.push(b"/"),
            false => Ok(()),
        }
    }

    fn is_empty(&self) -> bool {
        self.start == self.buffer.len()
    }

    /// Puts the path of a directory in front, and returns whether `root` leads there at all: if
    /// not, it is the path from the top of what it is in.
    ///
    /// # Errors
    /// ENOENT if it has been removed, ERANGE if the buffer is too small.
    pub fn push_path(&mut self, root: &Location, directory: &Location) -> Result<bool, Errno> {
        self.push_way(root, directory.clone(), self.start)
    }

    /// The same of a name in a directory.
    ///
    /// # Errors
    /// As of [`push_path`](Self::push_path).
    pub fn push_named(
        &mut self,
        root: &Location,
        directory: Location,
        name: &[u8],
    ) -> Result<bool, Errno> {
        let before = self.start;
        self.push(name)?;
        self.push(b"/")?;
        self.push_way(root, directory, before)
    }

    /// Puts the way from `root` to `here` in front; where there is none, `/` takes the place of all
    /// that came in front since the path started at `before`.
    fn push_way(
        &mut self,
        root: &Location,
        mut here: Location,
        before: usize,
    ) -> Result<bool, Errno> {
        let is_reached = loop {
            if here.is_same(root) {
                break true;
            }
            if here.is_top() {
                match here.mount.named_place() {
                    Some(place) => here = self.enter(&place)?,
                    None => break false,
                }
                continue;
            }
            match self.push_name(&here.node)? {
                Some(parent) => here.node = parent,
                None if here.node.is_removed() => return Err(Errno::ENOENT),
                None => {
                    // It has been moved out of what its mount shows.
                    self.start = before;
                    self.push(b"/")?;
                    break false;
                }
            }
        };
        self.finish()?;
        Ok(is_reached)
    }

    /// The same of what a path has led to: for what is no directory, the name by which it was
    /// found, as its directory is called now.
    ///
    /// # Errors
    /// As of [`push_path`](Self::push_path).
    pub fn push_opened(&mut self, root: &Location, opened: &Opened) -> Result<bool, Errno> {
        let before = self.start;
        let here = self.enter(opened)?;
        self.push_way(root, here, before)
    }

    /// From where the rest of the path leads to `opened`, whose name is put in front unless
    /// that is where it is itself.
    fn enter(&mut self, opened: &Opened) -> Result<Location, Errno> {
        let here = opened.location();
        if opened.node.is_directory() || here.is_top() && here.mount.parent().is_some() {
            return Ok(here);
        }
        self.push(&opened.name)?;
        self.push(b"/")?;
        Ok(opened.in_directory())
    }
}

/// The path of what a path has led to, written from the end of `buffer` backwards; followed by
/// ` (deleted)` if its name stands for it no more.
///
/// # Errors
/// ERANGE if the buffer is too small, ENOENT if the directory has been removed; ENOMEM.
pub fn write_opened<'b>(
    root: &Location,
    opened: &Opened,
    buffer: &'b mut [u8],
) -> Result<&'b [u8], Errno> {
    let is_there = opened.node.is_directory()
        || opened.location().is_top()
        || match directory::find(&opened.directory, &opened.name) {
            Ok(node) => Shared::is_same(&node, &opened.node),
            Err(Errno::ENOENT) => false,
            Err(errno) => return Err(errno),
        };
    if let Some(pages) = opened.node.pages()
        && !is_there
        && pages.label().is_some()
    {
        // It may have been renamed.
        let found = mapped::describe(root, pages, Some(&opened.mount), buffer)?;
        return found.map(|found| found.path).ok_or(Errno::ENOENT);
    }
    let mut path = Backwards::new(buffer);
    if !is_there {
        path.push(DELETED)?;
    }
    path.push_opened(root, opened)?;
    Ok(path.bytes())
}
