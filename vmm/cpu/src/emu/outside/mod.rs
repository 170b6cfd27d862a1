//! What lies between a vCPU and the VMM: exits and answers, interrupts, limits, time.

pub mod events;
pub mod exit;
pub mod meter;
