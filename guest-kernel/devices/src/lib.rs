//! Drivers (k0): serial ports, consoles, the I/O APIC that brings their interrupts, and what the
//! VMM has for its guests: standard input and files of the host. Who calls them holds the
//! kernel's lock.

#![cfg_attr(not(test), no_std)]
#![deny(missing_docs)]

pub mod host_files;
pub mod input;
pub mod io_apic;
pub mod serial;
pub mod virtio_console;
mod virtqueue;
