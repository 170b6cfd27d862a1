use super::{FrameShare, LIMIT, PageTree};
use crate::frames::FrameRun;
use crate::{Frame, frames};

fn insert(tree: &mut PageTree, page: u64) {
    let kept = tree.keep(page, || Frame::allocate_zeroed().map(FrameShare::from));
    kept.expect("there is memory");
    let kept = tree.get_mut(page).expect("it is kept");
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
    let again = tree.keep(7, || unreachable!("it is there"));
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
        assert!(tree.vacant(page << 20, 1) == Ok(1));
        tree.put(page << 20, FrameRun::EMPTY);
    }
    insert(&mut tree, 40);
    insert(&mut tree, 1100);
    tree.remove(33..LIMIT);
    // What is above a page that it has had once stays.
    assert!(before - frames::free() <= 1);
    assert!(tree.vacant(0, 2) == Ok(0) && tree.count() == 1);
}
