//! One CPU starts another, and gives it up if it does not come: which of the two happens is
//! decided once, whenever that comes.

use core::ptr;

use crate::sync::atomic::{
    AtomicBool, AtomicPtr,
    Ordering::{AcqRel, Acquire, Release},
};

/// What the two share. `T` is what the other finds out by that it is meant.
pub struct Handshake<T> {
    /// What waits for the other, until it comes or is given up.
    pub offer: AtomicPtr<T>,
    /// Whether it is up.
    pub is_up: AtomicBool,
}

impl<T> Handshake<T> {
    /// Before the other is told to start.
    pub fn offer(&self, what: *mut T) {
        self.is_up.store(false, Release);
        self.offer.store(what, Release);
    }

    /// Whether the other is up: what it did before can be seen then.
    pub fn is_up(&self) -> bool {
        self.is_up.load(Acquire)
    }

    /// Gives the other up, unless it has come by now: whether it has. Then it is up soon.
    pub fn give_up(&self) -> bool {
        self.take().is_null()
    }

    /// The other has come: what was offered, once, or null if it was given up.
    pub fn take(&self) -> *mut T {
        self.offer.swap(ptr::null_mut(), AcqRel)
    }

    /// The other, which has come, is up.
    pub fn tell_up(&self) {
        self.is_up.store(true, Release);
    }
}
