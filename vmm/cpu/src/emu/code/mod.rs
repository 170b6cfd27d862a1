//! Decoded code: its form, and where it is kept. Nothing here knows a CPU.

pub mod cache;
pub mod jump_table;
pub mod op;
#[cfg(test)]
mod tests;
