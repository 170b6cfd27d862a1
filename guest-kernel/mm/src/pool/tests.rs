//! Objects against a model, and the frames that they must free.

use std::cell::Cell;
use std::rc::Rc;

use fastrand::Rng;

use crate::OutOfMemory;
use crate::frames::{self, Frame};
use crate::pool::{Owned, Shared};

/// Counts how many of it are alive.
struct Alive(Rc<Cell<usize>>);

impl Alive {
    fn new(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

fn fill<const N: usize>(seed: u8) -> Owned<[u8; N]> {
    Owned::new([seed; N]).expect("there is memory")
}

/// Objects of several sizes come and go in any order; none overwrites another.
#[test]
fn objects_keep_their_values() {
    enum Any {
        Small(u8, Owned<[u8; 3]>),
        Middle(u8, Owned<[u8; 200]>),
        Large(u8, Owned<[u8; 4064]>),
    }
    let before = frames::free();
    let mut random = Rng::with_seed(1);
    let mut objects = Vec::new();
    for step in 0..20_000 {
        // Grows, then shrinks, then again.
        let grows = random.u64(..100) < if step / 1000 % 2 == 0 { 70 } else { 30 };
        if grows || objects.is_empty() {
            let seed = step as u8;
            objects.push(match random.u64(..8) {
                0 => Any::Large(seed, fill(seed)),
                1..4 => Any::Middle(seed, fill(seed)),
                _ => Any::Small(seed, fill(seed)),
            });
        } else {
            let index = random.usize(..objects.len());
            match objects.swap_remove(index) {
                Any::Small(seed, object) => assert_eq!(*object, [seed; 3]),
                Any::Middle(seed, object) => assert_eq!(*object, [seed; 200]),
                Any::Large(seed, object) => assert_eq!(*object, [seed; 4064]),
            }
        }
    }
    drop(objects);
    assert_eq!(frames::free(), before);
}

#[test]
fn a_frame_holds_what_fits_and_goes_with_the_last() {
    let before = frames::free();
    // 4,096 bytes, 32 of them the header's: 127 slots of 32.
    let mut objects: Vec<_> = (0..127_u64).map(|n| Owned::new([n; 4])).collect();
    assert_eq!(frames::free(), before - 1);
    objects.push(Owned::new([127; 4]));
    assert_eq!(frames::free(), before - 2);
    // The first frame was full, has room again, and is used again before another.
    objects.remove(5).expect("there is memory");
    objects.push(Owned::new([128; 4]));
    assert_eq!(frames::free(), before - 2);
    drop(objects);
    assert_eq!(frames::free(), before);
}

#[test]
fn values_are_dropped_once() {
    let alive = Rc::new(Cell::new(0));
    let owned = Owned::new(Alive::new(&alive)).expect("there is memory");
    let moved = Owned::new(Alive::new(&alive)).map(Owned::into_inner);
    assert_eq!(alive.get(), 2);
    drop(owned);
    assert_eq!(alive.get(), 1);
    drop(moved);
    assert_eq!(alive.get(), 0);
}

#[test]
fn shared_objects_go_with_their_last_owner() {
    let before = frames::free();
    let alive = Rc::new(Cell::new(0));
    let first = Shared::new(Alive::new(&alive)).expect("there is memory");
    let second = first.clone();
    assert!(Shared::is_same(&first, &second));
    assert_eq!((Shared::owners(&first), alive.get()), (2, 1));
    drop(first);
    assert_eq!((Shared::owners(&second), alive.get()), (1, 1));
    drop(second);
    assert_eq!((alive.get(), frames::free()), (0, before));
}

/// A list of a thousand objects, each the owner of the next: dropping one drops others.
#[test]
fn objects_may_own_objects() {
    struct Node {
        next: Option<Owned<Node>>,
    }
    let before = frames::free();
    let mut list = None;
    for _ in 0..1000 {
        list = Some(Owned::new(Node { next: list }).expect("there is memory"));
    }
    let len = std::iter::successors(list.as_deref(), |node| node.next.as_deref()).count();
    assert_eq!(len, 1000);
    drop(list);
    assert_eq!(frames::free(), before);
}

#[test]
fn without_frames_there_is_an_error_and_nothing_is_lost() {
    let before = frames::free();
    let alive = Rc::new(Cell::new(0));
    let object = Owned::new(0_u64).expect("there is memory");
    let hog: Vec<_> = std::iter::from_fn(Frame::allocate).collect();
    assert_eq!(hog.len() as u64, before - 1);
    assert_eq!(
        Owned::new([0_u8; 100]).map(|object| object[0]),
        Err(OutOfMemory)
    );
    assert!(Shared::new((Alive::new(&alive), [0; 40])).is_err());
    assert_eq!(alive.get(), 0);
    // The frame in hand has room.
    assert!(Owned::new(1_u64).is_ok());
    drop((object, hog));
    assert_eq!(frames::free(), before);
}

#[test]
fn values_without_size_are_objects_too() {
    let (first, second) = (Shared::new(()), Shared::new(()));
    let (first, second) = (first.expect("memory"), second.expect("memory"));
    assert!(!Shared::is_same(&first, &second));
}

/// An object ends with its last owner, its slot with the last that watches it.
#[test]
fn watchers_do_not_keep_an_object() {
    let before = frames::free();
    let alive = Rc::new(Cell::new(0));
    let object = Shared::new(Alive::new(&alive)).expect("there is memory");
    let watcher = Shared::downgrade(&object).expect("it has few");
    assert!(watcher.is_to(&object));
    let again = watcher.upgrade().expect("it is alive");
    assert!(Shared::is_same(&object, &again));
    drop(object);
    assert_eq!(alive.get(), 1);
    drop(again);
    assert_eq!(alive.get(), 0);
    assert!(watcher.upgrade().is_none());
    assert_ne!(frames::free(), before);
    drop(watcher);
    assert_eq!(frames::free(), before);
}

/// A value that drops the last reference to itself as it ends.
#[test]
fn an_object_may_own_its_watchers() {
    struct Selfish(std::cell::RefCell<Vec<crate::pool::Weak<Selfish>>>);
    let before = frames::free();
    let object = Shared::new(Selfish(Default::default())).expect("there is memory");
    for _ in 0..3 {
        let watcher = Shared::downgrade(&object).expect("it has few");
        object.0.borrow_mut().push(watcher);
    }
    drop(object);
    assert_eq!(frames::free(), before);
}
