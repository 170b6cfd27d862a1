//! References to [`Shared`] objects that do not keep them: an object that something watches
//! ends with its last owner all the same. Its slot stays until nobody watches it any more.

use core::cell::Cell;
use core::marker::PhantomData;
use core::ptr;
use core::ptr::NonNull;

use crate::pool::{Counted, Shared, vacate};

/// How many own an object, in the low bits, and how many watch it, in the high ones. Each of
/// them takes 8 bytes somewhere, so that no memory has 2^40 owners; watchers are bounded where
/// they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Count(u64);

const OWNER_BITS: u32 = 40;
const OWNER: u64 = 1;
const WATCHER: u64 = 1 << OWNER_BITS;
/// Watchers of one object at most, but for one that its end adds.
const MAX_WATCHERS: u64 = (1 << (u64::BITS - OWNER_BITS)) - 2;

impl Count {
    pub const ONE_OWNER: Self = Self(OWNER);

    #[inline]
    pub fn owners(self) -> u64 {
        self.0 & (WATCHER - 1)
    }

    fn watchers(self) -> u64 {
        self.0 >> OWNER_BITS
    }

    #[inline]
    pub fn with_owner(self) -> Self {
        Self(self.0 + OWNER)
    }

    #[inline]
    pub fn without_owner(self) -> Self {
        Self(self.0 - OWNER)
    }

    pub fn with_watcher(self) -> Self {
        Self(self.0 + WATCHER)
    }

    fn without_watcher(self) -> Self {
        Self(self.0 - WATCHER)
    }
}

/// A reference to an object that may have ended.
pub struct Weak<T> {
    slot: NonNull<Counted<T>>,
    watches: PhantomData<Counted<T>>,
}

impl<T> Shared<T> {
    /// A reference that does not keep the object; `None` if it has too many.
    pub fn downgrade(this: &Self) -> Option<Weak<T>> {
        let count = &this.counted().count;
        if count.get().watchers() >= MAX_WATCHERS {
            return None;
        }
        count.set(count.get().with_watcher());
        Some(Weak {
            slot: this.slot,
            watches: PhantomData,
        })
    }
}

impl<T> Weak<T> {
    /// The object, if it has not ended.
    pub fn upgrade(&self) -> Option<Shared<T>> {
        let count = self.count();
        if count.get().owners() == 0 {
            return None;
        }
        count.set(count.get().with_owner());
        Some(Shared {
            slot: self.slot,
            owns: PhantomData,
        })
    }

    /// Whether it refers to `value`, which may just be ending.
    pub fn is_to(&self, value: &T) -> bool {
        // SAFETY: the slot is there as long as anybody watches it; only the place of the value
        // in it is taken.
        ptr::eq(unsafe { &raw const (*self.slot.as_ptr()).value }, value)
    }

    fn count(&self) -> &Cell<Count> {
        // SAFETY: the slot is there as long as anybody watches it, and nobody has an exclusive
        // reference to the count.
        unsafe { &(*self.slot.as_ptr()).count }
    }
}

impl<T> Drop for Weak<T> {
    fn drop(&mut self) {
        // SAFETY: this was a watcher, which is not used any more.
        unsafe { leave(self.slot) }
    }
}

/// Takes a watcher away, and with the last one the slot of an object that has ended.
///
/// # Safety
/// The slot has a watcher, which does not use it any more.
pub(super) unsafe fn leave<T>(slot: NonNull<Counted<T>>) {
    // SAFETY: the slot is there, as the caller says, and of the value nothing is touched.
    let count = unsafe { &(*slot.as_ptr()).count };
    let left = count.get().without_watcher();
    count.set(left);
    if left.owners() == 0 && left.watchers() == 0 {
        // SAFETY: the value has been dropped, since it has no owner and `end` watches it
        // while it drops it; nothing refers to the slot.
        unsafe { vacate(slot) }
    }
}
