//! What asks for privilege or the VMM.

pub mod control;
pub mod io;
pub mod processor;
pub mod string_io;
