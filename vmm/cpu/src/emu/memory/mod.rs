//! From linear addresses to guest RAM. Nothing here knows instructions.

pub mod mmu;
pub mod ram;
pub mod tlb;
pub mod walk;
