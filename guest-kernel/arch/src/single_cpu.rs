//! Kernel globals.

use core::ops::Deref;

/// A global that is not `Sync` by itself: a `Cell` or a `RefCell`, which costs no locked
/// instruction and whose borrows are checked.
///
/// Rejected: a lock for each. There is one for the whole kernel: see
/// [`processors`](crate::processors).
pub struct SingleCpu<T>(T);

// SAFETY: one CPU at a time is in the kernel, with interrupts off (the one `sti` is in
// `wait_for_interrupt`, whose handler takes the kernel first), so nothing is ever used by two
// threads of execution at once. What runs outside of that is in this crate: entries and those who
// wait for the kernel, which use none; and a CPU that starts, for which the first one, in the
// kernel, waits meanwhile (`startup`).
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
