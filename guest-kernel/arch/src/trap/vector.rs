//! Vectors: the processor's exceptions, under the manuals' names, and ours.

pub use x86::vector::*;

/// First vector that is not an exception.
pub const FIRST_INTERRUPT: u8 = 32;
/// The local APIC's timer.
pub const TIMER: u8 = 0x20;
/// The system call gate.
pub const INT_80: u8 = 0x80;
/// From another CPU: there is something to do.
pub const WAKE: u8 = 0xf0;
/// Interrupts that were withdrawn before the CPU took them; not acknowledged.
pub const SPURIOUS: u8 = 0xff;
