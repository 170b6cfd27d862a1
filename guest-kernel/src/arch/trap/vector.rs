//! Vectors, by the Intel SDM's names (vol. 3A 7.3.1), and ours.

pub const DIVIDE_ERROR: u8 = 0;
pub const DEBUG: u8 = 1;
pub const NMI: u8 = 2;
pub const BREAKPOINT: u8 = 3;
pub const OVERFLOW: u8 = 4;
pub const BOUND_RANGE: u8 = 5;
pub const INVALID_OPCODE: u8 = 6;
pub const DEVICE_NOT_AVAILABLE: u8 = 7;
pub const DOUBLE_FAULT: u8 = 8;
pub const INVALID_TSS: u8 = 10;
pub const SEGMENT_NOT_PRESENT: u8 = 11;
pub const STACK_FAULT: u8 = 12;
pub const GENERAL_PROTECTION: u8 = 13;
pub const PAGE_FAULT: u8 = 14;
pub const X87_ERROR: u8 = 16;
pub const ALIGNMENT_CHECK: u8 = 17;
pub const MACHINE_CHECK: u8 = 18;
pub const SIMD_ERROR: u8 = 19;
/// First vector that is not an exception.
pub const FIRST_INTERRUPT: u8 = 32;
/// The local APIC's timer.
pub const TIMER: u8 = 0x20;
/// The system call gate.
pub const INT_80: u8 = 0x80;
/// Interrupts that were withdrawn before the CPU took them; not acknowledged.
pub const SPURIOUS: u8 = 0xff;
