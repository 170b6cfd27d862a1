//! Devices and files (k2).
//!
//! ```text
//! FileTable    descriptors of a process; threads share it, a child has a copy
//!   OpenFile   offset and flags; descriptors share it
//!     Node     in the tree: a file, directory, link, device, or text of /proc
//!     pipes, terminals and standard streams
//! ```
//!
//! Code that blocks holds no borrow, and neither does code that touches user memory
//! (`transfer`).

#[cfg(test)]
#[path = "../../formats/src/initramfs/samples.rs"]
mod archives;
pub mod bytes;
pub mod calls;
pub mod copying;
pub mod device;
pub mod directory;
pub mod events;
pub mod extended;
pub mod fifo;
mod file_table;
pub mod input_stream;
mod link_target;
pub mod locks;
pub mod mapped;
pub mod mount;
pub mod namespace;
pub mod node;
pub mod notify;
mod number_map;
pub mod open_file;
pub mod opened;
mod output;
mod outside;
pub mod path;
pub mod permission;
pub mod pipe;
pub mod poll;
pub mod proc_files;
mod process_files;
mod process_slot;
pub mod ramfs;
pub mod regular;
pub mod running;
pub mod seal;
mod shared_list;
pub mod sigio;
mod size_limit;
pub mod socket;
pub mod stamp;
pub mod standard;
mod surroundings;
pub mod terminal;
pub mod transfer;

pub use file_table::{DEFAULT_LIMIT, FileTable, LIMIT as FILE_LIMIT};
pub use open_file::{Object, OpenFile};
pub use process_files::{
    any_file, enter_mounts, file, file_inline, files, here, mask, mounts_number, move_all,
    of_process, start, stop_sharing, surroundings,
};
pub use surroundings::Surroundings;
