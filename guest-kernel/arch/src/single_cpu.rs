//! Kernel globals.

use core::ops::Deref;

/// A global that is not `Sync` by itself: a `Cell` or a `RefCell`, which costs no locked
/// instruction and whose borrows are checked.
///
/// Rejected: spin locks. With one CPU and no interrupts in the kernel, a lock that is held
/// could never be released.
pub struct SingleCpu<T>(T);

// SAFETY: the machine has one CPU and the kernel runs with interrupts off (the one `sti`
// is in `wait_for_interrupt`, whose handlers touch only atomics), so nothing is ever
// used by two threads of execution at once.
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
