//! A directory's nodes.
//!
//! They are in chunks, each beside a hash of its name, so that a look-up compares one
//! name and reads memory in order. A node keeps its place until it is removed, and the
//! place is its offset for `getdents64`: a program may remove what it has read and go on.
//! Rejected: a list through the nodes, which has no such place; a tree, which takes more
//! code than these directories have names.

use core::cell::RefCell;

use abi::Errno;
use mm::{OutOfMemory, Owned, Shared};

use crate::fs::node::{Name, Node};

/// Nodes in a chunk.
const CHUNK: usize = 16;

struct Chunk {
    /// Hashes of the names; 0 where there is none.
    hashes: [u32; CHUNK],
    nodes: [Option<Shared<Node>>; CHUNK],
    next: Option<Owned<Chunk>>,
}

impl Chunk {
    const EMPTY: Self = Self {
        hashes: [0; CHUNK],
        nodes: [const { None }; CHUNK],
        next: None,
    };

    fn is_empty(&self) -> bool {
        self.hashes == [0; CHUNK]
    }
}

/// The nodes of one directory.
#[derive(Default)]
pub struct Directory {
    first: RefCell<Option<Owned<Chunk>>>,
}

/// FNV-1a, and never 0.
fn hash(name: &[u8]) -> u32 {
    let step = |hash: u32, &byte: &u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    name.iter().fold(0x811c_9dc5, step) | 1
}

impl Directory {
    /// The node with this name.
    pub fn find(&self, name: &[u8]) -> Option<Shared<Node>> {
        let hash = hash(name);
        let first = self.first.borrow();
        let mut next = first.as_ref();
        while let Some(chunk) = next {
            for (node, _) in chunk
                .nodes
                .iter()
                .zip(&chunk.hashes)
                .filter(|(_, h)| **h == hash)
            {
                if let Some(node) = node
                    && node.with_name(|own| own == name)
                {
                    return Some(node.clone());
                }
            }
            next = chunk.next.as_ref();
        }
        None
    }

    /// The first node at place `from` or after it, and its place.
    pub fn next(&self, from: usize) -> Option<(usize, Shared<Node>)> {
        let first = self.first.borrow();
        let mut next = first.as_ref();
        let mut start = 0;
        while let Some(chunk) = next {
            let skipped = from.saturating_sub(start).min(CHUNK);
            for (place, node) in (start + skipped..).zip(&chunk.nodes[skipped..]) {
                if let Some(node) = node {
                    return Some((place, node.clone()));
                }
            }
            start += CHUNK;
            next = chunk.next.as_ref();
        }
        None
    }

    /// Whether there are no nodes in it.
    pub fn is_empty(&self) -> bool {
        self.next(0).is_none()
    }

    /// Puts `node` in; `this` is the node of this directory. No other has its name.
    ///
    /// # Errors
    /// There is no memory; nothing has changed.
    pub fn insert(&self, this: &Shared<Node>, node: Shared<Node>) -> Result<(), OutOfMemory> {
        self.with_free_place(|chunk, place| {
            node.set_parent(Some(this.clone()));
            chunk.hashes[place] = node.with_name(hash);
            chunk.nodes[place] = Some(node);
        })
    }

    /// Reserves memory so that the next [`insert`](Self::insert) cannot fail.
    fn reserve(&self) -> Result<(), OutOfMemory> {
        self.with_free_place(|_, _| ())
    }

    fn with_free_place(&self, fill: impl FnOnce(&mut Chunk, usize)) -> Result<(), OutOfMemory> {
        let mut first = self.first.borrow_mut();
        let mut next = &mut *first;
        loop {
            if next.is_none() {
                *next = Some(Owned::new(Chunk::EMPTY)?);
            }
            let Some(chunk) = next else {
                unreachable!("there is a chunk now");
            };
            if let Some(place) = chunk.hashes.iter().position(|&hash| hash == 0) {
                fill(chunk, place);
                return Ok(());
            }
            next = &mut chunk.next;
        }
    }

    /// Takes `node` out, if it is there. It keeps its name.
    pub fn remove(&self, node: &Shared<Node>) {
        let hash = node.with_name(hash);
        let mut first = self.first.borrow_mut();
        let mut next = first.as_mut();
        while let Some(chunk) = next {
            for place in 0..CHUNK {
                let is_it = |other: &Shared<Node>| Shared::is_same(other, node);
                if chunk.hashes[place] == hash && chunk.nodes[place].as_ref().is_some_and(is_it) {
                    chunk.hashes[place] = 0;
                    chunk.nodes[place] = None;
                    node.set_parent(None);
                    if chunk.is_empty() {
                        trim(&mut first);
                    }
                    return;
                }
            }
            next = chunk.next.as_mut();
        }
    }
}

/// Frees the empty chunks at the end.
fn trim(first: &mut Option<Owned<Chunk>>) {
    let mut kept = 0;
    let mut next = first.as_ref();
    for count in 1.. {
        let Some(chunk) = next else {
            break;
        };
        if !chunk.is_empty() {
            kept = count;
        }
        next = chunk.next.as_ref();
    }
    let mut rest = first;
    for _ in 0..kept {
        let Some(chunk) = rest else {
            return;
        };
        rest = &mut chunk.next;
    }
    drop_all(rest.take());
}

/// One chunk after the other: the kernel's stack is too small to recurse.
fn drop_all(mut next: Option<Owned<Chunk>>) {
    while let Some(mut chunk) = next {
        next = chunk.next.take();
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop_all(self.first.get_mut().take());
    }
}

/// Moves `node` to the directory `to`, as `name`, in place of `replaced` if that is there.
///
/// # Errors
/// EBUSY for the root, ENOMEM, or as [`Node::directory`]; nothing has changed.
pub fn rename(
    node: &Shared<Node>,
    to: &Shared<Node>,
    name: &[u8],
    replaced: Option<&Shared<Node>>,
) -> Result<(), Errno> {
    let parent = node.parent().ok_or(Errno::EBUSY)?;
    let (from, target) = (parent.directory()?, to.directory()?);
    let name = Name::new(name)?;
    target.reserve()?;
    if let Some(replaced) = replaced {
        target.remove(replaced);
    }
    from.remove(node);
    node.set_name(name);
    target.insert(to, node.clone())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::node::Kind;
    use mm::frames;

    fn directory(name: &'static str) -> Shared<Node> {
        let kind = Kind::Directory(Directory::default());
        Node::new(kind, 0o755, Name::InPlace(name.as_bytes())).expect("there is memory")
    }

    fn add(parent: &Shared<Node>, name: &str) -> Shared<Node> {
        let node = directory(String::from(name).leak());
        let inserted = entries(parent).insert(parent, node.clone());
        inserted.expect("there is memory");
        node
    }

    fn entries(node: &Node) -> &Directory {
        node.directory().expect("it is one")
    }

    fn names(node: &Node) -> Vec<String> {
        let mut names = Vec::new();
        let mut place = 0;
        while let Some((at, node)) = entries(node).next(place) {
            names.push(node.with_name(|name| String::from_utf8_lossy(name).into_owned()));
            place = at + 1;
        }
        names
    }

    #[test]
    fn nodes_are_found_by_name_and_in_order() {
        let root = directory("");
        let expected: Vec<_> = (0..50).map(|n| format!("name{n}")).collect();
        for name in &expected {
            let node = add(&root, name);
            assert!(
                node.parent()
                    .is_some_and(|parent| Shared::is_same(&parent, &root))
            );
        }
        assert_eq!(names(&root), expected);
        for name in &expected {
            assert!(entries(&root).find(name.as_bytes()).is_some());
        }
        assert!(entries(&root).find(b"name50").is_none());
        assert!(entries(&root).find(b"").is_none());
    }

    #[test]
    fn all_that_is_read_can_be_removed_on_the_way() {
        let before = frames::free();
        let root = directory("");
        for n in 0..50 {
            add(&root, &format!("{n}"));
        }
        let mut place = 0;
        let mut removed = 0;
        while let Some((at, node)) = entries(&root).next(place) {
            entries(&root).remove(&node);
            assert!(node.is_removed() && node.directory().is_err());
            (place, removed) = (at + 1, removed + 1);
        }
        assert_eq!(removed, 50);
        assert!(entries(&root).is_empty());
        assert!(entries(&root).first.borrow().is_none());
        drop(root);
        assert_eq!(frames::free(), before);
    }

    #[test]
    fn empty_chunks_go_from_the_end() {
        let root = directory("");
        let nodes: Vec<_> = (0..3 * CHUNK)
            .map(|n| add(&root, &format!("{n}")))
            .collect();
        let chunks = || {
            let first = entries(&root).first.borrow();
            core::iter::successors(first.as_ref(), |chunk| chunk.next.as_ref()).count()
        };
        for node in &nodes[CHUNK..2 * CHUNK] {
            entries(&root).remove(node);
        }
        assert_eq!(chunks(), 3);
        for node in &nodes[2 * CHUNK..] {
            entries(&root).remove(node);
        }
        assert_eq!((chunks(), names(&root).len()), (1, CHUNK));
    }

    #[test]
    fn a_renamed_node_is_in_one_place() {
        let root = directory("");
        let (from, to) = (add(&root, "from"), add(&root, "to"));
        let node = add(&from, "a");
        let other = add(&to, "b");
        assert_eq!(rename(&node, &to, b"b", Some(&other)), Ok(()));
        assert!(other.is_removed());
        assert_eq!((names(&from).len(), names(&to)), (0, vec!["b".into()]));
        assert!(
            node.parent()
                .is_some_and(|parent| Shared::is_same(&parent, &to))
        );
        assert_eq!(rename(&node, &to, b"c", None), Ok(()));
        assert_eq!(names(&to), ["c"]);
        assert_eq!(rename(&root, &to, b"r", None), Err(Errno::EBUSY));
        assert_eq!(
            rename(&node, &to, &[b'x'; 256], None),
            Err(Errno::ENAMETOOLONG)
        );
    }
}
