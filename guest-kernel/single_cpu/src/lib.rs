//! Kernel globals, for who holds the kernel's lock.
//!
//! That it is held is checked by the compiler, as crates can be: what may run without it is all in
//! the crate `arch` (entries, waits for the lock, the start of a CPU), which does not depend on
//! this one and so can name none of these globals; and `arch` calls what is above it only with
//! the lock. Rejected: a token that each function passes on, of which nine in ten would never
//! use it; a lock for each global.

#![no_std]
#![deny(missing_docs)]

use core::ops::Deref;

/// A global that is not `Sync` by itself: a `Cell` or a `RefCell`, which costs no locked
/// instruction and whose borrows are checked.
pub struct SingleCpu<T>(T);

// SAFETY: one CPU at a time is in the kernel, with interrupts off whenever it runs there
// (`arch::processors`), so nothing is ever used by two threads of execution at once. What runs
// outside of that is in `arch`, which has none of these.
unsafe impl<T> Sync for SingleCpu<T> {}

impl<T> SingleCpu<T> {
    /// Wraps a global's initial value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The global, where a constant needs it: elsewhere it is simply dereferenced.
    #[inline]
    pub const fn value(this: &'static Self) -> &'static T {
        &this.0
    }
}

impl<T> Deref for SingleCpu<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}
