//! Exceptions by number, under the manuals' names (APM vol. 2 8.2).

use crate::ExceptionVector as Vector;

/// First vector for interrupts: those below are the processor's.
pub const FIRST_INTERRUPT: u8 = 32;

/// Divide error.
pub const DE: u8 = Vector::Division as u8;
/// Debug.
pub const DB: u8 = Vector::Debug as u8;
/// Non-maskable interrupt.
pub const NMI: u8 = Vector::NonMaskableInterrupt as u8;
/// Breakpoint.
pub const BP: u8 = Vector::Breakpoint as u8;
/// Overflow.
pub const OF: u8 = Vector::Overflow as u8;
/// Bound range exceeded.
pub const BR: u8 = Vector::BoundRange as u8;
/// Invalid opcode.
pub const UD: u8 = Vector::InvalidOpcode as u8;
/// Device not available.
pub const NM: u8 = Vector::DeviceNotAvailable as u8;
/// Double fault.
pub const DF: u8 = Vector::Double as u8;
/// Invalid TSS.
pub const TS: u8 = Vector::InvalidTss as u8;
/// Segment not present.
pub const NP: u8 = Vector::SegmentNotPresent as u8;
/// Stack.
pub const SS: u8 = Vector::Stack as u8;
/// General protection.
pub const GP: u8 = Vector::GeneralProtection as u8;
/// Page fault.
pub const PF: u8 = Vector::Page as u8;
/// x87 exception.
pub const MF: u8 = Vector::X87FloatingPoint as u8;
/// Alignment check.
pub const AC: u8 = Vector::AlignmentCheck as u8;
/// Machine check.
pub const MC: u8 = Vector::MachineCheck as u8;
/// SIMD exception.
pub const XM: u8 = Vector::SimdFloatingPoint as u8;
