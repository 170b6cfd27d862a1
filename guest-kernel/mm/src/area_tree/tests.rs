//! The tree against an ordered map.

use std::collections::BTreeMap;

use fastrand::Rng;

use crate::area::{Area, Kind, Locking, OnFork};
use crate::area_tree::{AreaTree, Node, Tree};
use crate::frames::{self, Frame};
use crate::page_tables::Access;

const PAGE: u64 = 0x1000;

fn area(start: u64, end: u64) -> Area {
    Area {
        start,
        end,
        access: Access::READ,
        kind: Kind::Zero,
        on_fork: OnFork::Copy,
        locking: Locking::Unlocked,
    }
}

fn insert(tree: &mut AreaTree, start: u64, end: u64) {
    tree.insert(Node::new(area(start, end)).expect("there is memory"));
}

/// Asserts order and balance, and returns the height.
fn check(tree: &Tree, all: &mut Vec<(u64, u64)>) -> u8 {
    let Some(node) = tree else { return 0 };
    let left = check(&node.left, all);
    all.push((node.area.start, node.area.end));
    let right = check(&node.right, all);
    assert!(left.abs_diff(right) <= 1, "{left} beside {right}");
    assert_eq!(node.height, 1 + left.max(right));
    node.height
}

fn all(tree: &AreaTree) -> Vec<(u64, u64)> {
    let mut all = Vec::new();
    check(&tree.root, &mut all);
    assert!(all.is_sorted());
    assert_eq!(all.len(), tree.len());
    all
}

fn range(area: Option<&Area>) -> Option<(u64, u64)> {
    area.map(|area| (area.start, area.end))
}

#[test]
fn it_is_an_ordered_map() {
    const PLACES: u64 = 600;
    let before = frames::free();
    let mut random = Rng::with_seed(7);
    let mut tree = AreaTree::EMPTY;
    let mut model = BTreeMap::new();
    for step in 0..6000 {
        let start = random.u64(..PLACES) * 4 * PAGE;
        let grows = random.u64(..100) < if step / 1000 % 2 == 0 { 80 } else { 20 };
        if grows && !model.contains_key(&start) {
            let end = start + (1 + random.u64(..4)) * PAGE;
            insert(&mut tree, start, end);
            model.insert(start, end);
        } else {
            let removed = tree.remove(start).map(|area| area.end);
            assert_eq!(removed, model.remove(&start));
        }
        let at = random.u64(..PLACES * 4) * PAGE;
        let mut pairs = model.iter().map(|(&start, &end)| (start, end));
        let next = pairs.clone().find(|&(_, end)| end > at);
        assert_eq!(range(tree.at_or_after(at)), next);
        let last = pairs.clone().rfind(|&(start, _)| start < at);
        assert_eq!(range(tree.before(at)), last);
        let containing = pairs.find(|&(start, end)| start <= at && at < end);
        assert_eq!(range(tree.containing_mut(at).as_deref()), containing);
        if step % 50 == 0 {
            assert_eq!(all(&tree), model.clone().into_iter().collect::<Vec<_>>());
        }
    }
    drop(tree);
    assert_eq!(frames::free(), before);
}

/// In any order of insertion, no path is longer than 1.44 times the logarithm.
#[test]
fn sorted_areas_make_no_list() {
    let mut tree = AreaTree::EMPTY;
    for number in 0..4096 {
        insert(&mut tree, number * PAGE, (number + 1) * PAGE);
    }
    assert_eq!(all(&tree).len(), 4096);
    assert!(super::height(&tree.root) <= 17);
}

#[test]
fn areas_are_cut_and_merged() {
    let mut tree = AreaTree::EMPTY;
    insert(&mut tree, PAGE, 5 * PAGE);
    for at in [3 * PAGE, PAGE, 5 * PAGE, 0, 3 * PAGE] {
        assert_eq!(tree.cut(at), Ok(()));
    }
    assert_eq!(all(&tree), [(PAGE, 3 * PAGE), (3 * PAGE, 5 * PAGE)]);
    for at in [PAGE, 3 * PAGE, 5 * PAGE, 0] {
        tree.merge(at);
    }
    assert_eq!(all(&tree), [(PAGE, 5 * PAGE)]);
    assert_eq!(tree.cut(2 * PAGE), Ok(()));
    let lower = tree.containing_mut(PAGE).expect("the lower part");
    lower.access = Access::WRITE;
    tree.merge(2 * PAGE);
    assert_eq!(tree.len(), 2);
}

#[test]
fn without_memory_nothing_changes() {
    let mut tree = AreaTree::EMPTY;
    let mut number = 0;
    while number < 100 {
        insert(&mut tree, 2 * number * PAGE, (2 * number + 2) * PAGE);
        number += 1;
    }
    let before = all(&tree);
    let hog: Vec<_> = std::iter::from_fn(Frame::allocate).collect();
    while tree.cut(PAGE).is_ok() {
        tree.merge(PAGE);
        number += 1;
        let Ok(node) = Node::new(area(2 * number * PAGE, 2 * number * PAGE + PAGE)) else {
            break;
        };
        tree.insert(node);
    }
    assert!(tree.cut(PAGE).is_err());
    assert!(tree.try_clone().is_err());
    assert_eq!(all(&tree)[..before.len()], before);
    drop(hog);
    let copy = tree.try_clone().expect("there is memory");
    assert_eq!(all(&copy), all(&tree));
}

/// Areas that are near each other and alike are one run.
#[test]
fn runs_are_near_and_alike() {
    let mut tree = AreaTree::EMPTY;
    for start in [0, 1, 3, 12, 100] {
        insert(&mut tree, start * PAGE, (start + 1) * PAGE);
    }
    insert(&mut tree, 22 * PAGE, 23 * PAGE);
    let runs = |belong: fn(&Area, &Area) -> bool| {
        let runs = tree.runs(belong).map(|(first, range)| {
            assert_eq!(first.start, range.start);
            range.start / PAGE..range.end / PAGE
        });
        runs.collect::<Vec<_>>()
    };
    assert_eq!(runs(|_, _| true), [0..13, 22..23, 100..101]);
    let early = |_: &Area, next: &Area| next.start < 3 * PAGE;
    assert_eq!(runs(early), [0..2, 3..4, 12..13, 22..23, 100..101]);
    assert_eq!(AreaTree::EMPTY.runs(|_, _| true).count(), 0);
}
