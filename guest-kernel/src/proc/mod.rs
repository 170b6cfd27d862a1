//! Processes (k1): descriptors, programs, and who runs when.

pub mod arguments;
pub mod elf;
pub mod end;
pub mod exception;
pub mod process;
pub mod program;
pub mod scheduler;

pub use process::current;
