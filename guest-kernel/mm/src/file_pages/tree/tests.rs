use super::{LIMIT, PageTree, Run, Slot};
use crate::frames::{FRAME_SIZE, FrameRun};
use crate::{Frame, frames};

fn insert(tree: &mut PageTree, page: u64) {
    let kept = tree.keep(page, Frame::allocate_zeroed);
    kept.expect("there is memory");
    let kept = tree.get_mut(page).expect("it is kept");
    kept[..8].copy_from_slice(&page.to_le_bytes());
}

fn has(tree: &PageTree, page: u64) -> bool {
    match tree.run(page, 1) {
        Run::Kept(bytes) => bytes[..8] == page.to_le_bytes(),
        Run::Gap(_) => false,
    }
}

const SOME: [u64; 11] = [0, 1, 31, 32, 63, 64, 65, 4095, 4096, 1 << 20, LIMIT - 1];

#[test]
fn pages_are_found_in_any_order() {
    for reversed in [false, true] {
        let mut tree = PageTree::new();
        let mut order = SOME;
        if reversed {
            order.reverse();
        }
        for page in order {
            assert!(!has(&tree, page));
            insert(&mut tree, page);
        }
        assert!(SOME.iter().all(|&page| has(&tree, page)));
        assert!(tree.get(2).is_none() && tree.get(LIMIT).is_none());
    }
}

#[test]
fn a_frame_is_made_once() {
    let mut tree = PageTree::new();
    insert(&mut tree, 7);
    let again = tree.keep(7, || unreachable!("it is there"));
    assert!(again.is_ok());
}

#[test]
fn cut_pages_return_to_the_pool() {
    let before = frames::free();
    for first in [0, 1, 2, 31, 32, 63, 64, 70, 4096, 1 << 20, LIMIT] {
        let mut tree = PageTree::new();
        for page in SOME {
            insert(&mut tree, page);
        }
        tree.remove(first..LIMIT);
        for page in SOME {
            assert_eq!(has(&tree, page), page < first, "page {page} cut at {first}");
        }
        tree.remove(0..LIMIT);
        assert_eq!(tree.height, 0);
        assert_eq!(frames::free(), before);
    }
}

#[test]
fn ranges_are_removed_and_skipped() {
    let before = frames::free();
    for range in [
        0..1,
        1..33,
        1..65,
        0..4096,
        64..LIMIT,
        4097..1 << 20,
        0..LIMIT,
    ] {
        let mut tree = PageTree::new();
        for page in SOME {
            insert(&mut tree, page);
        }
        tree.remove(range.clone());
        let left = || SOME.into_iter().filter(|page| !range.contains(page));
        for page in SOME {
            assert_eq!(has(&tree, page), !range.contains(&page), "{page} {range:?}");
            let next = left().find(|&next| next >= page);
            assert_eq!(tree.next(page), next, "{page} {range:?}");
            let count = left().filter(|&other| other >= page).count() as u64;
            assert_eq!(tree.count_from(page), count, "{page} {range:?}");
            let gap = (page..).find(|&gap| !has(&tree, gap));
            assert_eq!(Some(tree.next_gap(page)), gap, "{page} {range:?}");
        }
        assert_eq!(tree.count(), left().count() as u64);
        tree.remove(0..LIMIT);
        assert_eq!(frames::free(), before);
    }
}

#[test]
fn without_memory_nothing_changes() {
    let mut tree = PageTree::new();
    insert(&mut tree, 0);
    let before = frames::free();
    for page in 1..100 {
        assert!(tree.keep(page << 20, || None).is_err());
    }
    assert!(has(&tree, 0) && tree.get(1 << 20).is_none());
    assert_eq!((tree.count(), frames::free()), (1, before));
}

#[test]
fn tables_go_with_the_last_page_that_they_lead_to() {
    let mut tree = PageTree::new();
    insert(&mut tree, 0);
    let before = frames::free();
    for page in 1..100 {
        insert(&mut tree, page << 20);
        tree.remove(page << 20..(page << 20) + 1);
    }
    for page in 1..100 {
        assert!(tree.frames_for(page << 20, 1, FrameRun::allocate).is_some());
        tree.put(page << 20, FrameRun::EMPTY);
    }
    insert(&mut tree, 80);
    insert(&mut tree, 4200);
    tree.remove(65..LIMIT);
    assert_eq!((tree.height, frames::free()), (1, before));
    assert!(tree.frames_for(0, 2, FrameRun::allocate).is_none() && tree.count() == 1);
}

/// A write of so many pages, each of which gets its number.
fn write(tree: &mut PageTree, page: u64, most: u64) -> u64 {
    let frames = tree.frames_for(page, most, FrameRun::allocate);
    let mut frames = frames.expect("there is memory");
    let count = (frames.len() / FRAME_SIZE) as u64;
    for (page, bytes) in (page..).zip(frames.bytes_mut().chunks_mut(FRAME_SIZE)) {
        bytes[..8].copy_from_slice(&page.to_le_bytes());
    }
    tree.put(page, frames);
    count
}

#[test]
fn what_a_long_write_brings_has_no_table() {
    let before = frames::free();
    let mut tree = PageTree::new();
    assert_eq!(write(&mut tree, 0, 16), 16);
    assert_eq!(write(&mut tree, 16, 48), 48);
    assert!(matches!(tree.root, Slot::Together(_)));
    assert_eq!(frames::free(), before - 64);
    assert!(matches!(tree.run(3, 100), Run::Kept(bytes) if bytes.len() == 61 * FRAME_SIZE));
    tree.remove(5..7);
    assert!(matches!(tree.run(5, 100), Run::Gap(2)));
    assert!((0..64).all(|page| has(&tree, page) != (5..7).contains(&page)));
    assert_eq!(
        (tree.count(), tree.next(5), tree.next_gap(0)),
        (62, Some(7), 5)
    );
    assert_eq!(frames::free(), before - 62);
    tree.for_each(4..9, &mut |bytes| bytes.fill(0));
    assert!(has(&tree, 3) && !has(&tree, 4) && !has(&tree, 8) && has(&tree, 9));
}

#[test]
fn frames_from_elsewhere_make_a_table() {
    let before = frames::free();
    let mut tree = PageTree::new();
    assert_eq!(write(&mut tree, 2, 9), 9);
    // Whatever is next in memory goes to somebody else.
    let other = Frame::allocate().expect("there is memory");
    insert(&mut tree, 11);
    assert!(matches!(tree.root, Slot::Table(_)) && tree.height == 1);
    assert!((0..64).all(|page| has(&tree, page) == (2..12).contains(&page)));
    assert_eq!(write(&mut tree, 12, 100), 52);
    assert!(matches!(tree.run(2, 9), Run::Kept(bytes) if bytes.len() == 9 * FRAME_SIZE));
    assert_eq!(
        (tree.count(), tree.count_from(63), tree.next_gap(2)),
        (62, 1, 64)
    );
    drop(tree);
    drop(other);
    assert_eq!(frames::free(), before);
}
