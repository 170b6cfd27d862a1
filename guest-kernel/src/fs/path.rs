//! Paths: from a directory and a string to a node.
//!
//! A symbolic link on the way is replaced by where it leads, with the rest of the path
//! after it, and the walk goes on with that. Rejected: recursion, for which the kernel's
//! stack is too small; a list of what is left of each path, which is as long as the links
//! are many.

use core::ops::Range;

use abi::Errno;
use mm::frames::FRAME_SIZE;
use mm::{Frame, OutOfMemory, Shared};

use crate::fs::bytes::NAME_MAX;
use crate::fs::directory;
use crate::fs::mapped;
use crate::fs::node::{Kind, Node};
use crate::fs::opened::Opened;
use crate::fs::permission::{self, EXECUTE};
use crate::fs::proc_files::ProcFile;
use crate::fs::ramfs;

/// Symbolic links that are followed in one walk, as on Linux.
const LINKS_MAX: usize = 40;

/// Where a path starts.
#[derive(Clone)]
pub struct Start {
    /// What `/` is.
    pub root: Shared<Node>,
    /// The directory at which a relative path starts.
    pub directory: Shared<Node>,
}

impl Start {
    /// The root of the file tree, for both.
    ///
    /// # Errors
    /// There is no memory to make the tree.
    pub fn of_tree() -> Result<Self, Errno> {
        let root = ramfs::root()?;
        Ok(Self {
            directory: root.clone(),
            root,
        })
    }
}

/// Whether a symbolic link at the end of a path is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// What it leads to is what the path names.
    Followed,
    /// The link is, unless a slash comes after it.
    Kept,
    /// The link is in any case: for calls that make, remove or rename it.
    Named,
}

impl Links {
    fn are_followed(self, has_slash: bool) -> bool {
        match self {
            Self::Followed => true,
            Self::Kept => has_slash,
            Self::Named => false,
        }
    }
}

/// How a path ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// With a name.
    Name,
    /// With `.`, so that it names the directory itself.
    Dot,
    /// With `..`.
    DotDot,
    /// It is all slashes.
    Root,
}

/// What a path's last component names, found or to be made.
pub struct Place<'p> {
    /// The directory that it is in, or that it is itself.
    pub directory: Shared<Node>,
    /// What is there.
    pub found: Option<Shared<Node>>,
    /// How the path ends.
    pub last: Last,
    /// Whether a slash follows, so that it can only be a directory.
    pub must_be_directory: bool,
    text: Text<'p>,
    name: Range<usize>,
}

/// A path, or what it has become by a link.
enum Text<'p> {
    Given(&'p [u8]),
    Replaced(Frame, usize),
}

impl Text<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Given(path) => path,
            Self::Replaced(frame, len) => &frame.bytes()[..*len],
        }
    }

    /// `target`, and what comes after `end` in this path.
    fn replaced(&self, target: &[u8], end: usize) -> Result<Self, Errno> {
        let rest = &self.bytes()[end..];
        let len = target.len() + rest.len();
        if len > FRAME_SIZE {
            return Err(Errno::ENAMETOOLONG);
        }
        let mut frame = Frame::allocate().ok_or(OutOfMemory)?;
        frame.bytes_mut()[..target.len()].copy_from_slice(target);
        frame.bytes_mut()[target.len()..len].copy_from_slice(rest);
        Ok(Self::Replaced(frame, len))
    }

    /// The component at `from` or after slashes there; empty at the end.
    fn component(&self, from: usize) -> Range<usize> {
        let bytes = self.bytes();
        let slashes = bytes[from..].iter().take_while(|&&byte| byte == b'/');
        let start = from + slashes.count();
        let others = bytes[start..].iter().take_while(|&&byte| byte != b'/');
        start..start + others.count()
    }
}

/// The place that `path` leads to from `start`. Its last component need not exist.
///
/// # Errors
/// ENOENT, ENOTDIR, EACCES, ENAMETOOLONG, ELOOP; ENOMEM.
pub fn walk<'p>(start: &Start, path: &'p [u8], links: Links) -> Result<Place<'p>, Errno> {
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    let mut text = Text::Given(path);
    let mut directory = match path {
        [b'/', ..] => start.root.clone(),
        _ => start.directory.clone(),
    };
    let mut followed = 0;
    let mut last = Last::Root;
    let mut next = text.component(0);
    while !next.is_empty() {
        let here = next;
        next = text.component(here.end);
        let is_last = next.is_empty();
        let has_slash = text.bytes().len() > here.end;
        if !directory.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        permission::check(&directory, EXECUTE)?;
        last = match &text.bytes()[here.clone()] {
            b"." => Last::Dot,
            b".." => {
                directory = parent_of(&start.root, directory)?;
                Last::DotDot
            }
            name if name.len() > NAME_MAX => return Err(Errno::ENAMETOOLONG),
            name => {
                let found = match directory::find(&directory, name) {
                    Ok(node) => node,
                    Err(Errno::ENOENT) if is_last => {
                        return Ok(Place {
                            directory,
                            found: None,
                            last: Last::Name,
                            must_be_directory: has_slash,
                            text,
                            name: here,
                        });
                    }
                    Err(errno) => return Err(errno),
                };
                match found.kind() {
                    Kind::Link(target) if !is_last || links.are_followed(has_slash) => {
                        followed += 1;
                        if followed > LINKS_MAX {
                            return Err(Errno::ELOOP);
                        }
                        let target = target.text()?;
                        if target.starts_with(b"/") {
                            directory = start.root.clone();
                        }
                        text = text.replaced(target, here.end)?;
                        next = text.component(0);
                        last = Last::Root;
                        continue;
                    }
                    Kind::Proc(ProcFile::Link(link))
                        if !is_last || links.are_followed(has_slash) =>
                    {
                        followed += 1;
                        if followed > LINKS_MAX {
                            return Err(Errno::ELOOP);
                        }
                        match link.follow()? {
                            None if is_last => {
                                return Place::at(directory, found, has_slash, text, here);
                            }
                            None => return Err(Errno::ENOTDIR),
                            Some(opened) if is_last => {
                                let text = text.replaced(&opened.name, text.bytes().len())?;
                                let name = 0..text.bytes().len();
                                directory = opened.directory;
                                return Place::at(directory, opened.node, has_slash, text, name);
                            }
                            Some(opened) => directory = opened.node,
                        }
                    }
                    _ if is_last => return Place::at(directory, found, has_slash, text, here),
                    _ => directory = found,
                }
                Last::Name
            }
        };
    }
    Ok(Place {
        found: Some(directory.clone()),
        directory,
        last,
        must_be_directory: true,
        text,
        name: 0..0,
    })
}

impl<'p> Place<'p> {
    /// The place of a node that a name stands for.
    fn at(
        directory: Shared<Node>,
        found: Shared<Node>,
        must_be_directory: bool,
        text: Text<'p>,
        name: Range<usize>,
    ) -> Result<Self, Errno> {
        Ok(Self {
            directory,
            found: Some(found),
            last: Last::Name,
            must_be_directory,
            text,
            name,
        })
    }

    /// Its name in the directory; empty if the path does not end with a name.
    pub fn name(&self) -> &[u8] {
        &self.text.bytes()[self.name.clone()]
    }

    /// The node that is there.
    ///
    /// # Errors
    /// ENOENT, ENOTDIR.
    pub fn node(&self) -> Result<&Shared<Node>, Errno> {
        let node = self.found.as_ref().ok_or(Errno::ENOENT)?;
        if self.must_be_directory && !node.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        Ok(node)
    }
}

/// The root is its own parent.
fn parent_of(root: &Shared<Node>, directory: Shared<Node>) -> Result<Shared<Node>, Errno> {
    if Shared::is_same(root, &directory) {
        return Ok(directory);
    }
    match directory.directory()?.parent() {
        Some(parent) => Ok(parent),
        None if directory.is_removed() => Err(Errno::ENOENT),
        None => Ok(directory),
    }
}

/// The path of a directory, written from the end of `buffer` backwards.
///
/// # Errors
/// ENOENT if it has been removed, ERANGE if the buffer is too small.
pub fn write_path<'b>(
    root: &Shared<Node>,
    directory: &Shared<Node>,
    buffer: &'b mut [u8],
) -> Result<&'b [u8], Errno> {
    let mut start = buffer.len();
    let mut push = |bytes: &[u8]| {
        start = start.checked_sub(bytes.len()).ok_or(Errno::ERANGE)?;
        buffer[start..][..bytes.len()].copy_from_slice(bytes);
        Ok::<(), Errno>(())
    };
    let mut node = directory.clone();
    while !Shared::is_same(&node, root) {
        let parent = node.directory()?.with_place(|parent, name| {
            push(name)?;
            push(b"/")?;
            Ok::<_, Errno>(parent.clone())
        });
        match parent {
            Some(parent) => node = parent?,
            None if node.is_removed() => return Err(Errno::ENOENT),
            None => break,
        }
    }
    if Shared::is_same(&node, directory) {
        push(b"/")?;
    }
    Ok(&buffer[start..])
}

/// The path by which a file was opened, as its directory is called now, written from the end
/// of `buffer` backwards; followed by ` (deleted)` if that name stands for it no more.
///
/// # Errors
/// ERANGE if the buffer is too small, ENOENT if the directory has been removed; ENOMEM.
pub fn write_opened<'b>(
    root: &Shared<Node>,
    opened: &Opened,
    buffer: &'b mut [u8],
) -> Result<&'b [u8], Errno> {
    if opened.node.is_directory() {
        return write_path(root, &opened.node, buffer);
    }
    let is_there = match directory::find(&opened.directory, &opened.name) {
        Ok(node) => Shared::is_same(&node, &opened.node),
        Err(Errno::ENOENT) => false,
        Err(errno) => return Err(errno),
    };
    if let Some(pages) = opened.node.pages()
        && !is_there
        && pages.label().is_some()
    {
        // It may have been renamed.
        let found = mapped::describe(root, pages, buffer)?;
        return found.map(|(_, path)| path).ok_or(Errno::ENOENT);
    }
    let name = (&opened.directory, &*opened.name);
    write_name(root, name, is_there, buffer)
}

/// The path of a name in a directory, written from the end of `buffer` backwards; followed by
/// ` (deleted)` unless what had it `is_there`.
///
/// # Errors
/// ERANGE if the buffer is too small, ENOENT if the directory has been removed.
pub fn write_name<'b>(
    root: &Shared<Node>,
    (directory, name): (&Shared<Node>, &[u8]),
    is_there: bool,
    buffer: &'b mut [u8],
) -> Result<&'b [u8], Errno> {
    const DELETED: &[u8] = b" (deleted)";
    let mut end = buffer.len();
    let mut push = |bytes: &[u8]| {
        end = end.checked_sub(bytes.len()).ok_or(Errno::ERANGE)?;
        buffer[end..][..bytes.len()].copy_from_slice(bytes);
        Ok::<(), Errno>(())
    };
    if !is_there {
        push(DELETED)?;
    }
    push(name)?;
    if !Shared::is_same(directory, root) {
        push(b"/")?;
    }
    let start = write_path(root, directory, &mut buffer[..end])?.len();
    Ok(&buffer[end - start..])
}

/// Whether `directory` is `ancestor` or somewhere in it.
pub fn is_inside(directory: &Shared<Node>, ancestor: &Shared<Node>) -> bool {
    let mut node = Some(directory.clone());
    while let Some(here) = node {
        if Shared::is_same(&here, ancestor) {
            return true;
        }
        node = here.directory().ok().and_then(|here| here.parent());
    }
    false
}
