//! What comes to the guest kernel as bytes: its command line, the initramfs, executables.
//!
//! All of it is data of anybody: whatever the bytes are, they are read without a panic, in time
//! that their number bounds. Nothing is kept and nothing allocated here, so that it is tested, and
//! fuzzed (`tests/fuzz`), without a kernel.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod command_line;
pub mod elf;
pub mod initramfs;
