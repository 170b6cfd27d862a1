//! Locks against a model: who has which bytes.

use super::*;
use fastrand::Rng;
use mm::frames;

fn lock(owner: usize, first: u64, last: u64, is_exclusive: bool) -> Lock {
    Lock {
        owner: Owner::File(owner),
        pid: 0,
        first,
        last,
        is_exclusive,
    }
}

/// A test sees everything that any owner has.
const NOBODY: usize = 99;

#[test]
fn ranges_are_what_bytes_would_be() {
    const BYTES: usize = 24;
    const OWNERS: usize = 3;
    let before = frames::free();
    let locks = FileLocks::new();
    let mut model = [[None::<bool>; OWNERS]; BYTES];
    let mut random = Rng::with_seed(3);
    for _ in 0..5000 {
        let owner = random.usize(..OWNERS);
        let first = random.usize(..BYTES);
        let last = random.usize(first..BYTES);
        let is_exclusive = random.bool();
        let wanted = lock(owner, first as u64, last as u64, is_exclusive);
        let range = &mut model[first..=last];
        if random.u8(..3) == 0 {
            assert_eq!(locks.release(Kind::Ranges, wanted), Ok(()));
            range.iter_mut().for_each(|byte| byte[owner] = None);
        } else {
            let is_free = range.iter().all(|byte| {
                let mut others = (0..OWNERS).filter(|&other| other != owner);
                others.all(|other| byte[other].is_none_or(|other| !other && !is_exclusive))
            });
            let result = locks.set(Kind::Ranges, wanted, false);
            assert_eq!(result.is_ok(), is_free);
            if is_free {
                let set = |byte: &mut [_; OWNERS]| byte[owner] = Some(is_exclusive);
                range.iter_mut().for_each(set);
            }
        }
        for (place, byte) in (0..).zip(&model) {
            for is_exclusive in [false, true] {
                let seen = locks.conflict(Kind::Ranges, &lock(NOBODY, place, place, is_exclusive));
                let has = |other: &Option<bool>| other.is_some_and(|other| other || is_exclusive);
                assert_eq!(seen.is_some(), byte.iter().any(has));
            }
        }
    }
    (0..OWNERS).for_each(|owner| locks.release_all(Owner::File(owner)));
    assert_eq!(
        locks.conflict(Kind::Ranges, &lock(NOBODY, 0, LAST, true)),
        None
    );
    drop(locks);
    assert_eq!(frames::free(), before);
}

#[test]
fn neighbours_become_one() {
    let locks = FileLocks::new();
    for (first, last) in [(0, 9), (20, LAST), (10, 19)] {
        assert_eq!(
            locks.set(Kind::Ranges, lock(1, first, last, true), false),
            Ok(())
        );
    }
    let seen = locks.conflict(Kind::Ranges, &lock(2, 15, 15, false));
    assert_eq!(seen, Some(lock(1, 0, LAST, true)));
    assert_eq!(locks.conflict(Kind::Whole, &lock(2, 0, LAST, true)), None);
}
