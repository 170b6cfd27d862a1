//! x87, and images of the floating-point state.

pub mod fxsave;
pub mod x87;
pub mod x87_env;
