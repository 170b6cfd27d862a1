//! Decoded code: its form, and where it is kept. Nothing here knows a CPU.

pub mod cache;
pub mod executable;
pub mod fetches;
pub mod jump_table;
pub mod neighbours;
pub mod op;
pub mod regions;
pub mod stub;
pub mod stubs;
#[cfg(test)]
mod tests;
