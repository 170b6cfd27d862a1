//! The tree that the guest sees: a root, and what is added to it.
//!
//! A node's number is that of its source and the source's own, so that this keeps nothing for
//! a node. What is added hides what the root has there.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use abi::Errno;
use abi::host_files::{Attributes, Entry, ROOT, Record};

use super::small::Joints;
use super::{KIND, Opened, Source, check_name};

/// Bits of a node's number that say which source it is from.
const SOURCE_BITS: u32 = 8;
/// Most sources.
pub const MAX_SOURCES: usize = 1 << SOURCE_BITS;
/// In a position of a list: the rest is one of the source, not of what is added.
const IN_SOURCE: u64 = 1 << 63;

/// The tree.
pub struct Tree {
    sources: Vec<Box<dyn Source>>,
    /// Which source has the folders that lead to what is added.
    joints: Option<usize>,
    /// How many of them there are.
    joined: u64,
    /// What is added to a node, by name.
    added: BTreeMap<u64, Vec<(Vec<u8>, u64)>>,
}

/// The number of a node, from that of its source and the source's own.
fn number(source: usize, node: u64) -> Result<u64, Errno> {
    match node >> (64 - SOURCE_BITS - 1) {
        0 => Ok((node << SOURCE_BITS | source as u64) + ROOT),
        _ => Err(Errno::ENFILE),
    }
}

/// The converse.
fn parts(node: u64) -> Result<(usize, u64), Errno> {
    let bits = node.checked_sub(ROOT).ok_or(Errno::EINVAL)?;
    let source = bits as usize & (MAX_SOURCES - 1);
    Ok((source, bits >> SOURCE_BITS))
}

impl Tree {
    /// A tree of what `root` has; an empty one without.
    pub(super) fn new(root: Option<Box<dyn Source>>) -> Self {
        let (root, joints): (Box<dyn Source>, _) = match root {
            Some(root) => (root, None),
            None => (Box::new(Joints::new()), Some(0)),
        };
        Self {
            sources: vec![root],
            joints,
            joined: 0,
            added: BTreeMap::new(),
        }
    }

    /// Adds `source` at `path` in the folders that are there, which are made where they are
    /// not.
    ///
    /// # Errors
    /// The path is that of no folder, or goes through a link; too many sources.
    pub(super) fn add(&mut self, path: &[u8], source: Box<dyn Source>) -> Result<(), Errno> {
        let source = number(self.push(source)?, 0)?;
        let mut names: Vec<_> = path.split(|&byte| byte == b'/').collect();
        names.retain(|name| !matches!(*name, b"" | b"."));
        let last = names.pop().ok_or(Errno::EBUSY)?;
        let mut folder = ROOT;
        for name in names {
            folder = match self.look_up(folder, name) {
                Ok(found) if found.mode & KIND == libc::S_IFDIR => found.node,
                Ok(_) => return Err(Errno::ENOTDIR),
                Err(Errno::ENOENT) => {
                    let joint = self.joint()?;
                    self.put(folder, name, joint);
                    joint
                }
                Err(error) => return Err(error),
            };
        }
        check_name(last)?;
        self.put(folder, last, source);
        Ok(())
    }

    fn push(&mut self, source: Box<dyn Source>) -> Result<usize, Errno> {
        if self.sources.len() == MAX_SOURCES {
            return Err(Errno::ENFILE);
        }
        self.sources.push(source);
        Ok(self.sources.len() - 1)
    }

    /// A new empty folder.
    fn joint(&mut self) -> Result<u64, Errno> {
        let source = match self.joints {
            Some(source) => source,
            None => self.push(Box::new(Joints::new()))?,
        };
        self.joints = Some(source);
        self.joined += 1;
        number(source, self.joined)
    }

    fn put(&mut self, folder: u64, name: &[u8], node: u64) {
        let added = self.added.entry(folder).or_default();
        added.retain(|(other, _)| other != name);
        added.push((name.to_vec(), node));
    }

    fn added(&self, folder: u64) -> &[(Vec<u8>, u64)] {
        self.added.get(&folder).map_or(&[], Vec::as_slice)
    }

    fn source(&mut self, node: u64) -> Result<(usize, &mut dyn Source, u64), Errno> {
        let (source, node) = parts(node)?;
        let found = self.sources.get_mut(source).ok_or(Errno::EINVAL)?;
        Ok((source, &mut **found, node))
    }

    /// The attributes of a node.
    ///
    /// # Errors
    /// EINVAL: there is no such node; those of the host.
    pub fn attributes(&mut self, node: u64) -> Result<Attributes, Errno> {
        let (source, found, inner) = self.source(node)?;
        numbered(source, found.attributes(inner)?)
    }

    /// The attributes of a name in a folder.
    ///
    /// # Errors
    /// Those of `lstat`; EINVAL: there is no such node.
    pub fn look_up(&mut self, folder: u64, name: &[u8]) -> Result<Attributes, Errno> {
        check_name(name)?;
        let mut added = self.added(folder).iter();
        if let Some(&(_, node)) = added.find(|(other, _)| other == name) {
            return self.attributes(node);
        }
        let (source, found, inner) = self.source(folder)?;
        numbered(source, found.look_up(inner, name)?)
    }

    /// Writes entries of a folder from `position` on to `to`, at most `room` bytes. Returns
    /// where the next are; 0 if there are none.
    ///
    /// # Errors
    /// Those of `getdents`; EINVAL: there is no such node or position, or no room for one.
    pub fn list(
        &mut self,
        folder: u64,
        position: u64,
        room: usize,
        to: &mut Vec<u8>,
    ) -> Result<u64, Errno> {
        let added = self.added(folder).to_vec();
        let mut from = 0;
        if position & IN_SOURCE == 0 {
            let first = usize::try_from(position).map_err(|_| Errno::EINVAL)?;
            for (index, (name, node)) in added.iter().enumerate().skip(first) {
                let Ok(found) = self.attributes(*node) else {
                    continue;
                };
                if !write_entry(name, found, room, to) {
                    return more(to, index as u64);
                }
            }
        } else {
            from = position & !IN_SOURCE;
        }
        let (source, found, inner) = self.source(folder)?;
        let mut next = from;
        let is_all = found.list(inner, from, &mut |name, attributes, after| {
            let hidden = added.iter().any(|(other, _)| other == name);
            let Ok(attributes) = numbered(source, attributes) else {
                return ControlFlow::Break(());
            };
            if !hidden && !write_entry(name, attributes, room, to) {
                return ControlFlow::Break(());
            }
            next = after;
            ControlFlow::Continue(())
        })?;
        match is_all {
            true => Ok(0),
            false => more(to, next | IN_SOURCE),
        }
    }

    /// Where a symbolic link leads.
    ///
    /// # Errors
    /// EINVAL: it is none, or there is no such node; those of the host.
    pub fn read_link(&mut self, node: u64) -> Result<Vec<u8>, Errno> {
        let (_, found, inner) = self.source(node)?;
        found.read_link(inner)
    }

    /// Opens a regular file.
    ///
    /// # Errors
    /// EISDIR, ENXIO, EINVAL: it is none; those of the host.
    pub fn open(&mut self, node: u64) -> Result<Opened, Errno> {
        let (source, found, inner) = self.source(node)?;
        let mut opened = found.open(inner)?;
        opened.attributes = numbered(source, opened.attributes)?;
        Ok(opened)
    }
}

/// Attributes with the tree's number for the source's.
fn numbered(source: usize, found: Attributes) -> Result<Attributes, Errno> {
    let node = number(source, found.node)?;
    Ok(Attributes { node, ..found })
}

/// Whether there was room for an entry in `to`.
fn write_entry(name: &[u8], attributes: Attributes, room: usize, to: &mut Vec<u8>) -> bool {
    let start = to.len();
    let end = start + Entry::LEN + name.len().next_multiple_of(8);
    if end > room {
        return false;
    }
    to.resize(end, 0);
    let entry = Entry {
        attributes,
        name_len: name.len() as u64,
    };
    entry.write(&mut to[start..]);
    to[start + Entry::LEN..][..name.len()].copy_from_slice(name);
    true
}

/// A list goes on at `position`.
fn more(written: &[u8], position: u64) -> Result<u64, Errno> {
    match written.is_empty() {
        // It would never end.
        true => Err(Errno::EINVAL),
        false => Ok(position),
    }
}
