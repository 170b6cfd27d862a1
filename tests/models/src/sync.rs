//! What `crate::sync` has in the crates whose files are modules here, of loom's.

use std::cell::RefCell;
pub use std::sync::{Arc, PoisonError, TryLockError};
use std::time::Duration;

pub use loom::sync::{Condvar, Mutex, MutexGuard, atomic};

/// A thread that parks. Loom has those too, but there waking one that waits for a lock ends that
/// wait.
#[derive(Clone, Debug, Default)]
pub struct Thread(Arc<Token>);

#[derive(Debug, Default)]
struct Token {
    is_there: Mutex<bool>,
    came: Condvar,
}

loom::thread_local! {
    static CURRENT: RefCell<Thread> = RefCell::default();
}

/// This thread.
pub fn current() -> Thread {
    CURRENT.with(|thread| thread.borrow().clone())
}

impl Thread {
    /// Makes its current or next wait end.
    pub fn unpark(&self) {
        *self.0.is_there.lock().expect("not poisoned") = true;
        self.0.came.notify_one();
    }
}

/// Waits until this thread is woken.
pub fn park() {
    let Token { is_there, came } = &*current().0;
    let mut is_there = is_there.lock().expect("not poisoned");
    while !std::mem::take(&mut *is_there) {
        is_there = came.wait(is_there).expect("not poisoned");
    }
}

/// May return at any time.
pub fn park_timeout(_limit: Duration) {
    loom::thread::yield_now();
}
