//! The Ringfence virtual machine monitor as a library.

#![deny(missing_docs)]

pub mod cpu;
pub mod exit;
pub mod memory;
