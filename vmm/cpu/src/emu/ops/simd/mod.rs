//! Instructions on XMM and MMX registers.

pub mod mmx;
pub mod mmx_convert;
pub mod mmx_int;
pub mod sse;
pub mod sse_element;
pub mod sse_float;
pub mod sse_forms;
pub mod sse_int;
pub mod sse_move;
pub mod sse_scalar;
pub mod sse_string;
