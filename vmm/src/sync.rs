//! What threads share a machine by. Code that takes it from here, and not from the standard
//! library, is also run by `tests/models`, where other types in its place try all orders in which
//! threads may run.

pub use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError, atomic};
pub use std::thread::{Thread, park, park_timeout};
