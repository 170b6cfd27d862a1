//! What CPUs share memory by. Code that takes it from here, and not from `core`, is also run by
//! `tests/models`, where other types in its place try all orders in which CPUs may run.

pub use core::sync::atomic;
