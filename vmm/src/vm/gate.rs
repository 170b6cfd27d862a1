//! Where the threads of a run wait for each other before the guest's first instruction.

use crate::sync::{Condvar, Mutex, PoisonError};

/// Opens when a number of threads have come.
#[derive(Debug)]
pub struct Gate {
    missing: Mutex<usize>,
    opened: Condvar,
}

impl Gate {
    /// For so many threads.
    pub fn new(threads: usize) -> Self {
        Self {
            missing: Mutex::new(threads),
            opened: Condvar::new(),
        }
    }

    /// Waits until all have come.
    pub fn pass(&self) {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        *missing = missing.saturating_sub(1);
        if *missing == 0 {
            self.opened.notify_all();
        }
        while *missing > 0 {
            let waited = self.opened.wait(missing);
            missing = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Opens although some will never come.
    pub fn open(&self) {
        *self.missing.lock().unwrap_or_else(PoisonError::into_inner) = 0;
        self.opened.notify_all();
    }
}
