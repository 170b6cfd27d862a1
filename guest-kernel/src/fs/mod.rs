//! Devices and files (k2).

pub mod console;
mod files;
pub mod initramfs;

pub use files::{FileTable, OpenFile};
