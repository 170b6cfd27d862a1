//! Control transfers and segments.

pub mod branch;
pub mod fast_call;
mod real;
pub mod segments;
pub mod transfer;
