//! Control transfers and segments.

pub mod branch;
pub mod segments;
pub mod transfer;
