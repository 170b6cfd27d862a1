//! From linear addresses to guest RAM. Nothing here knows instructions.

pub mod mmu;
pub mod ram;
#[cfg(test)]
mod tests;
pub mod tlb;
pub mod walk;
