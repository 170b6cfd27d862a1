use super::{FrameShare, LIMIT, PageTree};
use crate::{Frame, frames};

fn insert(tree: &mut PageTree, page: u64) {
    let kept = tree.get_or_insert(page, || Frame::allocate_zeroed().map(FrameShare::from));
    let kept = kept.expect("there is memory");
    kept.bytes_mut()[..8].copy_from_slice(&page.to_le_bytes());
}

fn has(tree: &PageTree, page: u64) -> bool {
    let found = tree.get(page).map(|kept| kept.bytes()[..8].to_vec());
    found.is_some_and(|bytes| bytes == page.to_le_bytes())
}

const SOME: [u64; 9] = [0, 1, 31, 32, 33, 1023, 1024, 1 << 20, LIMIT - 1];

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
    let again = tree.get_or_insert(7, || unreachable!("it is there"));
    assert!(again.is_ok());
}

#[test]
fn cut_pages_return_to_the_pool() {
    let before = frames::free();
    for first in [0, 1, 2, 31, 32, 40, 1024, 1 << 20, LIMIT] {
        let mut tree = PageTree::new();
        for page in SOME {
            insert(&mut tree, page);
        }
        tree.truncate(first);
        for page in SOME {
            assert_eq!(has(&tree, page), page < first, "page {page} cut at {first}");
        }
        tree.truncate(0);
        assert_eq!(tree.height, 0);
        assert_eq!(frames::free(), before);
    }
}

#[test]
fn ranges_are_removed_and_skipped() {
    let before = frames::free();
    for range in [0..1, 1..33, 0..1024, 32..LIMIT, 1025..1 << 20, 0..LIMIT] {
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
        }
        tree.truncate(0);
        assert_eq!(frames::free(), before);
    }
}

#[test]
fn without_memory_nothing_changes() {
    let mut tree = PageTree::new();
    insert(&mut tree, 0);
    assert!(tree.get_or_insert(5, || None).is_err());
    assert!(has(&tree, 0) && tree.get(5).is_none());
}
