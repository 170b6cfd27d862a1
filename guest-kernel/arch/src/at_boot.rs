//! What is known once the CPUs run.

use core::cell::Cell;

/// A global that is set as a CPU is set up, and read as often as one likes.
pub struct AtBoot<T>(Cell<T>);

// SAFETY: who sets it promises that nobody else uses it at that moment.
unsafe impl<T: Send> Sync for AtBoot<T> {}

impl<T: Copy> AtBoot<T> {
    /// Wraps an initial value.
    pub const fn new(value: T) -> Self {
        Self(Cell::new(value))
    }

    /// The value.
    #[inline(always)]
    pub fn get(&self) -> T {
        self.0.get()
    }

    /// Sets it.
    ///
    /// # Safety
    /// No other CPU reads or sets it meanwhile: there is none yet, or all wait for this one.
    pub unsafe fn set(&self, value: T) {
        self.0.set(value);
    }
}
