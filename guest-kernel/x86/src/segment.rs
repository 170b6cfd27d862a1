//! Segment attributes as hypervisors keep them: bits 40 to 55 of a descriptor, without the
//! limit (APM vol. 2 4.7 and 4.8).

use crate::DescriptorFlags;

const fn attribute(flags: DescriptorFlags) -> u16 {
    const LIMIT: u16 = 0xf00;
    (flags.bits() >> 40) as u16 & !LIMIT
}

/// Code and data: used.
pub const ACCESSED: u16 = attribute(DescriptorFlags::ACCESSED);
/// Data: writable.
pub const WRITABLE: u16 = attribute(DescriptorFlags::WRITABLE);
/// Code: readable.
pub const READABLE: u16 = WRITABLE;
/// Data: the limit is a lower one.
pub const EXPAND_DOWN: u16 = CONFORMING;
/// Code: callable from less privileged code without a gate.
pub const CONFORMING: u16 = attribute(DescriptorFlags::CONFORMING);
/// Code, not data.
pub const CODE: u16 = attribute(DescriptorFlags::EXECUTABLE);
/// Code or data, not a system segment.
pub const ORDINARY: u16 = attribute(DescriptorFlags::USER_SEGMENT);
/// Where the descriptor's privilege level is, of two bits.
pub const DPL_SHIFT: u32 = 5;
/// All of that level.
pub const DPL: u16 = attribute(DescriptorFlags::DPL_RING_3);
/// It may be used.
pub const PRESENT: u16 = attribute(DescriptorFlags::PRESENT);
/// Ignored by the processor.
pub const AVAILABLE: u16 = attribute(DescriptorFlags::AVAILABLE);
/// 64-bit code.
pub const LONG: u16 = attribute(DescriptorFlags::LONG_MODE);
/// 32-bit code, or a stack whose pointer has 32 bits.
pub const BIG: u16 = attribute(DescriptorFlags::DEFAULT_SIZE);
/// The limit counts pages.
pub const GRANULAR: u16 = attribute(DescriptorFlags::GRANULARITY);

/// 32-bit code of ring 0 in all of the address space.
pub const FLAT_CODE_32: u16 = attribute(DescriptorFlags::KERNEL_CODE32);
/// 64-bit code of ring 0.
pub const FLAT_CODE_64: u16 = attribute(DescriptorFlags::KERNEL_CODE64);
/// Data of ring 0 in all of the address space.
pub const FLAT_DATA: u16 = attribute(DescriptorFlags::KERNEL_DATA);

/// Where the type is.
pub const TYPE: u16 = 0xf;
/// Types of system segments.
pub const TYPE_LDT: u16 = 2;
/// An available task-state segment of 16 bits.
pub const TYPE_TSS_16: u16 = 1;
/// An available task-state segment.
pub const TYPE_TSS: u16 = 9;
/// A call gate of 32 bits, or in long mode of 64.
pub const TYPE_CALL_GATE: u16 = 12;
/// A busy task-state segment.
pub const TYPE_TSS_BUSY: u16 = 11;
