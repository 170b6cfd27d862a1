//! Integers, flags and the stack.

pub mod alu;
pub mod atomic;
pub mod bits;
pub mod flag;
pub mod legacy;
pub mod mov;
pub mod muldiv;
pub mod random;
pub mod shift;
pub mod stack;
pub mod string;
