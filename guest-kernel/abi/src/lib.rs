//! What the guest kernel, its programs and the VMM agree on.
//!
//! Constants, plain layouts, the table of system calls, and one grammar: the words of the
//! command line, which one side writes and the other reads. System call numbers,
//! structures and errno values are Linux's, from the `linux-raw-sys` crate.

#![no_std]
#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod calls;
pub mod command_line;
pub mod copies;
pub mod debug_exit;
pub mod errno;
pub mod host_files;
pub mod ports;
pub mod shared;
pub mod trace;
pub mod virtio_mmio;
pub mod virtual_map;
pub mod words;

pub use errno::Errno;
