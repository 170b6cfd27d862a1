//! What the guest kernel, its programs and the VMM agree on.
//!
//! Nothing but constants and plain layouts lives here: no code that one side runs for
//! the other. System call numbers, structures and errno values are Linux's and come
//! from the `linux-raw-sys` crate instead.

#![no_std]
#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod debug_exit;
pub mod ports;
pub mod shared;
pub mod trace;
pub mod virtual_map;
