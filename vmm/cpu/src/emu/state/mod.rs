//! The processor's registers, by their users, and the meaning of their values. Nothing here
//! knows memory or the engine.

pub mod breakpoints;
pub mod control;
pub mod exception;
pub mod mxcsr;
pub mod registers;
pub mod segment;
pub mod x87;
pub mod x87_frame;
pub mod xsave;
