//! x87, and images of the floating-point state.

pub mod arithmetic;
pub mod fxsave;
pub mod x87_env;
pub mod xsave;
