//! The nodes that the entries of an archive make.

use std::collections::BTreeMap;

use tar::EntryType;

use super::headers::Entry;
use super::{ArchiveError, Node, text};
use crate::host_files::{KIND, MAX_NODES, NAME_MAX};

/// Begins the name of what deletes a file of a layer below.
const WHITEOUT: &[u8] = b".wh.";

/// Makes nodes of entries.
pub struct Builder {
    nodes: Vec<Node>,
    children: Vec<BTreeMap<Box<[u8]>, u32>>,
}

const TOP: u32 = 0;

impl Builder {
    /// A folder with nothing in it.
    pub fn new() -> Self {
        let mut builder = Self {
            nodes: Vec::new(),
            children: Vec::new(),
        };
        builder.push(folder());
        builder
    }

    fn push(&mut self, node: Node) -> u32 {
        self.nodes.push(node);
        self.children.push(BTreeMap::new());
        self.nodes.len() as u32 - 1
    }

    fn is_folder(&self, node: u32) -> bool {
        self.nodes[node as usize].mode & KIND == libc::S_IFDIR
    }

    /// Adds what an entry is, or leaves it out.
    ///
    /// # Errors
    /// Its name is none, or there are too many.
    pub fn add(&mut self, mut entry: Entry) -> Result<(), ArchiveError> {
        if self.nodes.len() >= MAX_NODES {
            return Err(ArchiveError::TooMany);
        }
        let name = std::mem::take(&mut entry.name);
        let path = components(&name)?;
        let Some((last, folders)) = path.split_last() else {
            // The archive's own root.
            if entry.kind.is_dir() {
                self.nodes[TOP as usize] = node_of(entry);
            }
            return Ok(());
        };
        let Some(parent) = self.parent(folders)? else {
            return Ok(());
        };
        if last.starts_with(WHITEOUT) {
            return Ok(());
        }
        let before = self.children[parent as usize].get(*last).copied();
        let before = before.filter(|&before| self.is_folder(before));
        let made = match (entry.kind, before) {
            (EntryType::Link, _) => {
                let other = self.find(&components(&entry.target)?);
                let Some(other) = other.filter(|&other| !self.is_folder(other)) else {
                    return Ok(());
                };
                self.nodes[other as usize].links += 1;
                other
            }
            (EntryType::Directory, Some(before)) => {
                self.nodes[before as usize] = node_of(entry);
                before
            }
            _ => self.push(node_of(entry)),
        };
        self.children[parent as usize].insert((*last).into(), made);
        Ok(())
    }

    /// The folder at a path, which is made where there is none; `None` if there is something
    /// else.
    fn parent(&mut self, path: &[&[u8]]) -> Result<Option<u32>, ArchiveError> {
        let mut at = TOP;
        for name in path {
            at = match self.children[at as usize].get(*name).copied() {
                Some(child) if self.is_folder(child) => child,
                Some(_) => return Ok(None),
                None if self.nodes.len() >= MAX_NODES => return Err(ArchiveError::TooMany),
                None => {
                    let child = self.push(folder());
                    self.children[at as usize].insert((*name).into(), child);
                    child
                }
            };
        }
        Ok(Some(at))
    }

    fn find(&self, path: &[&[u8]]) -> Option<u32> {
        let mut at = TOP;
        for name in path {
            at = *self.children[at as usize].get(*name)?;
        }
        Some(at)
    }

    /// The nodes; the first is the root.
    pub fn finish(mut self) -> Vec<Node> {
        for (node, children) in self.nodes.iter_mut().zip(self.children) {
            node.children = children.into_iter().collect();
        }
        self.nodes
    }
}

fn node_of(entry: Entry) -> Node {
    let mut node = entry.node;
    match entry.kind {
        EntryType::Directory => {
            node.mode |= libc::S_IFDIR;
            (node.links, node.size) = (2, 0);
        }
        EntryType::Symlink => {
            node.mode |= libc::S_IFLNK;
            node.size = entry.target.len() as u64;
            node.target = entry.target.into();
        }
        EntryType::Char => node.mode |= libc::S_IFCHR,
        EntryType::Block => node.mode |= libc::S_IFBLK,
        EntryType::Fifo => node.mode |= libc::S_IFIFO,
        // What POSIX asks for where a kind is not known, too.
        _ => node.mode |= libc::S_IFREG,
    }
    node
}

/// A folder that an archive has no header of.
fn folder() -> Node {
    Node {
        mode: libc::S_IFDIR | 0o755,
        user: 0,
        group: 0,
        modified_ns: 0,
        links: 2,
        offset: 0,
        size: 0,
        target: Box::default(),
        children: Vec::new(),
    }
}

/// The names in a path, from the archive's root.
fn components(path: &[u8]) -> Result<Vec<&[u8]>, ArchiveError> {
    let mut names = Vec::new();
    for name in path.split(|&byte| byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => return Err(ArchiveError::LeadsOut { name: text(path) }),
            _ if name.len() > NAME_MAX => return Err(ArchiveError::LongName(name.len())),
            _ if name.contains(&0) => return Err(ArchiveError::LeadsOut { name: text(path) }),
            _ => names.push(name),
        }
    }
    Ok(names)
}
