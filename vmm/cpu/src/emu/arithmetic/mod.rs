//! Values and flags, and what the host's own instructions make of them.

pub mod flags;
pub mod host;
pub mod native;
pub mod operations;
pub mod value;
