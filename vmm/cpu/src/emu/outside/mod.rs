//! The interface of a vCPU to the VMM: exits and replies, interrupts, limits, time.

pub mod events;
pub mod exit;
pub mod kicked;
pub mod meter;
pub mod random;
