//! Privileged instructions, and those that exit to the VMM.

pub mod control;
pub mod io;
pub mod processor;
pub mod string_io;
