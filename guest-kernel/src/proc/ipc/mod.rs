//! System V's means of communication: shared memory, sets of semaphores, message queues.
//!
//! Each has objects by number and by key that live until somebody removes them, so their
//! count and what they keep is bounded.

pub mod messages;
pub mod semaphores;
pub mod shared_memory;
mod table;

pub use self::table::{Item, Permissions, SLOTS, Table};

use crate::proc::process::Process;

/// The key of what only its number leads to.
pub const PRIVATE: i32 = 0;
/// Flag of calls that find: make it if it is not there (Linux, include/uapi/linux/ipc.h).
pub const CREATE: u32 = 0o1000;
/// With the one above: it must not be there.
pub const EXCLUSIVE: u32 = 0o2000;
/// What those may do with an object whose mode lets them: look at it and take from it.
pub const READ: u32 = 4;
/// Change it and add to it.
pub const WRITE: u32 = 2;
/// Run code in it.
pub const EXECUTE: u32 = 1;
/// Flag of calls that could wait: fail instead.
pub const NO_WAIT: u32 = 0o4000;

/// What a process leaves behind: adjustments of semaphores, and memory that only it had.
pub fn process_ends(process: &Process) {
    semaphores::undo(process.pid());
    shared_memory::sweep();
}
