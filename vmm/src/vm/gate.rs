//! Where the threads of a run wait for each other before the guest's first instruction.

use std::sync::{Condvar, Mutex, PoisonError};

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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::Gate;

    #[test]
    fn nobody_passes_before_all_have_come() {
        let (gate, came) = (Gate::new(3), AtomicUsize::new(0));
        let pass = || {
            came.fetch_add(1, Ordering::SeqCst);
            gate.pass();
            assert_eq!(came.load(Ordering::SeqCst), 3);
        };
        thread::scope(|scope| [pass; 3].map(|pass| scope.spawn(pass).thread().id()));
    }

    #[test]
    fn it_opens_for_those_who_wait_for_nobody() {
        let gate = Gate::new(2);
        thread::scope(|scope| {
            scope.spawn(|| gate.pass());
            gate.open();
        });
        gate.pass();
    }
}
