//! The areas of an address space, by address: a balanced tree of kernel objects (AVL), in
//! which every operation takes a number of steps that grows with the logarithm of the
//! number of areas.
//!
//! Whatever changes is built on one function, `balance`, that puts a node above two trees.
//! Rejected: a list, which a program could make long enough to slow down every fault; a
//! B-tree, which is faster only with more areas than programs have.

use core::cmp::Ordering;
use core::ops::Range;

use abi::virtual_map::PAGE_SIZE;

use crate::area::Area;
use crate::{OutOfMemory, Owned};

/// Bytes between areas that are worth one walk of page tables: it looks at each entry there.
const NEAR: u64 = 8 * PAGE_SIZE;

/// A tree, maybe empty.
type Tree = Option<Owned<Node>>;

/// A node of a tree.
pub struct Node {
    area: Area,
    left: Tree,
    right: Tree,
    height: u8,
}

impl Node {
    /// A node for `area`, allocated beforehand so that inserting cannot fail.
    ///
    /// # Errors
    /// There is no memory.
    pub fn new(area: Area) -> Result<Owned<Self>, OutOfMemory> {
        Owned::new(Self {
            area,
            left: None,
            right: None,
            height: 1,
        })
    }
}

/// Areas that do not overlap, by address.
#[derive(Default)]
pub struct AreaTree {
    root: Tree,
    len: usize,
}

impl AreaTree {
    /// No areas.
    pub const EMPTY: Self = Self { root: None, len: 0 };

    /// How many areas there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The first area that ends after `address`: the one that contains it, or else the
    /// next.
    pub fn at_or_after(&self, address: u64) -> Option<&Area> {
        let mut found = None;
        let mut next = &self.root;
        while let Some(node) = next {
            next = if node.area.end > address {
                found = Some(&node.area);
                &node.left
            } else {
                &node.right
            };
        }
        found
    }

    /// The areas that have a part of `range`, in order.
    pub fn range(&self, range: Range<u64>) -> impl Iterator<Item = &Area> {
        let mut next = range.start;
        core::iter::from_fn(move || {
            let area = self
                .at_or_after(next)
                .filter(|area| area.start < range.end)?;
            next = area.end;
            Some(area)
        })
    }

    /// Runs of areas, each with its first area and its range: as far as others follow that
    /// `belong` to that, with few pages between. One walk of page tables for many areas costs less
    /// than one for each.
    pub fn runs(
        &self,
        belong: impl Fn(&Area, &Area) -> bool,
    ) -> impl Iterator<Item = (&Area, Range<u64>)> {
        let mut next = self.at_or_after(0);
        core::iter::from_fn(move || {
            let first = next?;
            let mut range = first.start..first.end;
            next = self.at_or_after(range.end);
            while let Some(area) = next
                && area.start - range.end <= NEAR
                && belong(first, area)
            {
                range.end = area.end;
                next = self.at_or_after(range.end);
            }
            Some((first, range))
        })
    }

    /// Bytes in the areas of which `counts` says so.
    pub fn sum(&self, counts: impl Fn(&Area) -> bool) -> u64 {
        let counted = self.range(0..u64::MAX).filter(|area| counts(area));
        counted.map(Area::size).sum()
    }

    /// The last area that starts before `address`.
    pub fn before(&self, address: u64) -> Option<&Area> {
        let mut found = None;
        let mut next = &self.root;
        while let Some(node) = next {
            next = if node.area.start < address {
                found = Some(&node.area);
                &node.right
            } else {
                &node.left
            };
        }
        found
    }

    /// The area that contains `address`; its order among the others must not change.
    pub fn containing_mut(&mut self, address: u64) -> Option<&mut Area> {
        let mut next = &mut self.root;
        while let Some(node) = next {
            let node = &mut **node;
            if address < node.area.start {
                next = &mut node.left;
            } else if address >= node.area.end {
                next = &mut node.right;
            } else {
                return Some(&mut node.area);
            }
        }
        None
    }

    /// Inserts an area that overlaps no other.
    pub fn insert(&mut self, node: Owned<Node>) {
        self.root = Some(insert(self.root.take(), node));
        self.len += 1;
    }

    /// Takes out the area that starts at `start`.
    pub fn remove(&mut self, start: u64) -> Option<Area> {
        let (root, removed) = remove(self.root.take(), start);
        self.root = root;
        let removed = removed?;
        self.len -= 1;
        Some(removed.into_inner().area)
    }

    /// Cuts the area that contains `at` in two there, if it does not start there.
    ///
    /// # Errors
    /// There is no memory for one more.
    pub fn cut(&mut self, at: u64) -> Result<(), OutOfMemory> {
        let Some(area) = self.containing_mut(at).filter(|area| area.start < at) else {
            return Ok(());
        };
        // The node first, for the upper part as it will be.
        let upper = Node::new(area.clone().split_off(at))?;
        area.end = at;
        self.insert(upper);
        Ok(())
    }

    /// Merges two areas that meet at `at`, if they can be.
    pub fn merge(&mut self, at: u64) {
        let lower = at.checked_sub(1).and_then(|last| self.at_or_after(last));
        let Some(lower) = lower.filter(|lower| lower.end == at) else {
            return;
        };
        if !self.at_or_after(at).is_some_and(|upper| lower.joins(upper)) {
            return;
        }
        let upper = self.remove(at);
        let lower = at.checked_sub(1).and_then(|last| self.containing_mut(last));
        if let (Some(lower), Some(upper)) = (lower, upper) {
            lower.end = upper.end;
        }
    }

    /// Another tree with the same areas.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn try_clone(&self) -> Result<Self, OutOfMemory> {
        Ok(Self {
            root: try_clone(&self.root)?,
            len: self.len,
        })
    }
}

fn try_clone(tree: &Tree) -> Result<Tree, OutOfMemory> {
    let Some(node) = tree else {
        return Ok(None);
    };
    Ok(Some(Owned::new(Node {
        area: node.area.clone(),
        left: try_clone(&node.left)?,
        right: try_clone(&node.right)?,
        height: node.height,
    })?))
}

fn height(tree: &Tree) -> u8 {
    tree.as_ref().map_or(0, |node| node.height)
}

/// `node` above two trees whose heights differ by at most one.
fn above(left: Tree, mut node: Owned<Node>, right: Tree) -> Owned<Node> {
    node.height = 1 + height(&left).max(height(&right));
    node.left = left;
    node.right = right;
    node
}

/// `node` above two trees whose heights differ by at most two.
fn balance(left: Tree, node: Owned<Node>, right: Tree) -> Owned<Node> {
    match (left, right) {
        (Some(mut left), right) if left.height > height(&right) + 1 => {
            let (outer, inner) = (left.left.take(), left.right.take());
            match inner {
                Some(mut top) if top.height > height(&outer) => {
                    let (low, high) = (top.left.take(), top.right.take());
                    above(
                        Some(above(outer, left, low)),
                        top,
                        Some(above(high, node, right)),
                    )
                }
                inner => above(outer, left, Some(above(inner, node, right))),
            }
        }
        (left, Some(mut right)) if right.height > height(&left) + 1 => {
            let (inner, outer) = (right.left.take(), right.right.take());
            match inner {
                Some(mut top) if top.height > height(&outer) => {
                    let (low, high) = (top.left.take(), top.right.take());
                    above(
                        Some(above(left, node, low)),
                        top,
                        Some(above(high, right, outer)),
                    )
                }
                inner => above(Some(above(left, node, inner)), right, outer),
            }
        }
        (left, right) => above(left, node, right),
    }
}

/// The tree with one node more.
fn insert(tree: Tree, node: Owned<Node>) -> Owned<Node> {
    let Some(mut top) = tree else {
        return node;
    };
    let place = match node.area.start < top.area.start {
        true => &mut top.left,
        false => &mut top.right,
    };
    *place = Some(insert(place.take(), node));
    let (left, right) = (height(&top.left), height(&top.right));
    if left.abs_diff(right) <= 1 {
        top.height = 1 + left.max(right);
        return top;
    }
    let (left, right) = (top.left.take(), top.right.take());
    balance(left, top, right)
}

/// The tree without the area that starts at `start`, and that one.
fn remove(tree: Tree, start: u64) -> (Tree, Tree) {
    let Some(mut node) = tree else {
        return (None, None);
    };
    let (left, right) = (node.left.take(), node.right.take());
    match start.cmp(&node.area.start) {
        Ordering::Less => {
            let (left, removed) = remove(left, start);
            (Some(balance(left, node, right)), removed)
        }
        Ordering::Greater => {
            let (right, removed) = remove(right, start);
            (Some(balance(left, node, right)), removed)
        }
        Ordering::Equal => {
            let rest = match right {
                None => left,
                Some(right) => {
                    let (first, right) = pop_first(right);
                    Some(balance(left, first, right))
                }
            };
            (rest, Some(node))
        }
    }
}

/// The first of a tree, and the others.
fn pop_first(mut node: Owned<Node>) -> (Owned<Node>, Tree) {
    match node.left.take() {
        None => {
            let right = node.right.take();
            (node, right)
        }
        Some(left) => {
            let (first, left) = pop_first(left);
            let right = node.right.take();
            (first, Some(balance(left, node, right)))
        }
    }
}

#[cfg(test)]
mod tests;
