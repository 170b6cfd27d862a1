//! What threads share a vCPU's kicks by: see the module of this name in the crate `vmm`.

pub use std::sync::{Mutex, PoisonError, atomic};
