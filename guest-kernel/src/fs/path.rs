//! Paths: from a directory and a string to a node.
//!
//! A symbolic link on the way is replaced by where it leads, with the rest of the path
//! after it, and the walk goes on with that. Rejected: recursion, for which the kernel's
//! stack is too small; a list of what is left of each path, which is as long as the links
//! are many.

mod rules;
mod writing;

use core::ops::Range;

use abi::Errno;
use mm::frames::FRAME_SIZE;
use mm::{Frame, OutOfMemory, Shared};

use crate::fs::bytes::NAME_MAX;
use crate::fs::directory;
use crate::fs::mount::{Location, Mount};
use crate::fs::node::{Kind, Node};
use crate::fs::permission::{self, EXECUTE};
use crate::fs::proc_files::ProcFile;
use crate::fs::ramfs;

pub use rules::Rules;
pub use writing::{Backwards, DELETED, write_opened};

/// Symbolic links that are followed in one walk, as on Linux.
const LINKS_MAX: usize = 40;

/// Where a path starts.
#[derive(Clone)]
pub struct Start {
    /// What `/` is.
    pub root: Location,
    /// The directory at which a relative path starts.
    pub directory: Location,
    /// Where paths do not go.
    pub rules: Rules,
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
            rules: Rules::empty(),
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
    /// The mount that what is there is seen through; the directory, if nothing is.
    pub mount: Shared<Mount>,
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
/// ENOENT, ENOTDIR, EACCES, ENAMETOOLONG, ELOOP; ENOMEM. EXDEV: it leads where it may not.
pub fn walk<'p>(start: &Start, path: &'p [u8], links: Links) -> Result<Place<'p>, Errno> {
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    let rules = start.rules;
    let mut text = Text::Given(path);
    let Location {
        mut mount,
        node: mut directory,
    } = match path {
        [b'/', ..] => start.root.clone(),
        _ => start.directory.clone(),
    };
    let mut followed = 0;
    // Whether it is known that `mount` shows `directory`, and so what is reached from there.
    let mut is_shown = false;
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
                let here = Location {
                    mount,
                    node: directory,
                };
                rules.check_parent(&here, &start.root)?;
                let from = rules.mount(&here.mount);
                Location {
                    mount,
                    node: directory,
                } = parent_of(&start.root, here, &mut is_shown)?;
                rules.check_mount(from, &mount)?;
                Last::DotDot
            }
            name if name.len() > NAME_MAX => return Err(Errno::ENAMETOOLONG),
            name => {
                let mut found = match directory::find(&directory, name) {
                    Ok(node) => node,
                    Err(Errno::ENOENT) if is_last => {
                        return Ok(Place {
                            mount,
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
                if found.is_covered() && !(is_last && links == Links::Named) {
                    let from = rules.mount(&mount);
                    let covered = Location { mount, node: found };
                    Location { mount, node: found } = covered.seen();
                    rules.check_mount(from, &mount)?;
                }
                match found.kind() {
                    Kind::Link(target) if !is_last || links.are_followed(has_slash) => {
                        followed += 1;
                        if followed > LINKS_MAX || rules.contains(Rules::NO_LINKS) {
                            return Err(Errno::ELOOP);
                        }
                        let target = target.text()?;
                        if target.starts_with(b"/") {
                            rules.check_absolute(&mount, &start.root)?;
                            Location {
                                mount,
                                node: directory,
                            } = start.root.clone();
                            is_shown = false;
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
                        let opened = link.follow()?;
                        rules.check_jump(&mount, opened.as_ref().map(|to| &to.mount))?;
                        match opened {
                            None if is_last => {
                                return Place::at(mount, (directory, found), has_slash, text, here);
                            }
                            None => return Err(Errno::ENOTDIR),
                            Some(opened) if is_last => {
                                let text = text.replaced(&opened.name, text.bytes().len())?;
                                let name = 0..text.bytes().len();
                                let nodes = (opened.directory, opened.node);
                                return Place::at(opened.mount, nodes, has_slash, text, name);
                            }
                            Some(opened) => {
                                mount = opened.mount;
                                directory = opened.node;
                                is_shown = false;
                            }
                        }
                    }
                    _ if is_last => {
                        return Place::at(mount, (directory, found), has_slash, text, here);
                    }
                    _ => directory = found,
                }
                Last::Name
            }
        };
    }
    Ok(Place {
        mount,
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
        mount: Shared<Mount>,
        (directory, found): (Shared<Node>, Shared<Node>),
        must_be_directory: bool,
        text: Text<'p>,
        name: Range<usize>,
    ) -> Result<Self, Errno> {
        Ok(Self {
            mount,
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

    /// Fails if something is mounted there, which keeps what it covers where it is.
    ///
    /// # Errors
    /// EBUSY.
    pub fn check_not_covered(&self) -> Result<(), Errno> {
        match &self.found {
            Some(node) if node.is_covered() => {
                let location = Location {
                    mount: self.mount.clone(),
                    node: node.clone(),
                };
                match location.is_covered() {
                    true => Err(Errno::EBUSY),
                    false => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// The node that is there, and the mount that it is seen through.
    ///
    /// # Errors
    /// ENOENT, ENOTDIR.
    pub fn location(self) -> Result<Location, Errno> {
        let node = self.node()?.clone();
        let mount = self.mount;
        Ok(Location { mount, node })
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

/// The root is its own parent; what is at the top of a mount has that of the place which this
/// covers; and a directory that was moved out of what its mount shows has none. Whether it was takes
/// a look at all that it is in, but for one that `is_shown`, as the parent is then.
fn parent_of(root: &Location, mut here: Location, is_shown: &mut bool) -> Result<Location, Errno> {
    while !here.is_same(root) {
        if here.is_top() {
            match here.mount.place() {
                Some(place) => here = place,
                None => break,
            }
            *is_shown = false;
            continue;
        }
        match here.node.directory()?.parent() {
            Some(parent) if *is_shown || here.mount.shows(&parent) => {
                *is_shown = true;
                here.node = parent;
            }
            Some(_) => return Err(Errno::ENOENT),
            None if here.node.is_removed() => return Err(Errno::ENOENT),
            None => {}
        }
        break;
    }
    Ok(here.seen())
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
