//! Segments: descriptors, their checks, and addresses through them.

use super::access::Linear;
use super::cpu::{CS, CodeSize, Cpu, FS, SS, bits};
use super::exception::{Exception, Stop, vector};
use crate::Segment;

/// Bits of [`Segment::attributes`].
pub(super) mod attribute {
    /// The type (bits 0 to 3) of code and data segments.
    pub const ACCESSED: u16 = 1;
    /// Data: writable. Code: readable.
    pub const WRITABLE: u16 = 1 << 1;
    pub const READABLE: u16 = 1 << 1;
    /// Data: the limit is a lower one.
    pub const EXPAND_DOWN: u16 = 1 << 2;
    /// Code: callable from less privileged code without a gate.
    pub const CONFORMING: u16 = 1 << 2;
    pub const CODE: u16 = 1 << 3;
    /// Not a system segment.
    pub const ORDINARY: u16 = 1 << 4;
    pub const DPL_SHIFT: u32 = 5;
    pub const PRESENT: u16 = 1 << 7;
    pub const LONG: u16 = 1 << 13;
    pub const BIG: u16 = 1 << 14;
    pub const GRANULAR: u16 = 1 << 15;
    pub const TYPE: u16 = 0xf;
    /// Types of system segments.
    pub const TYPE_LDT: u16 = 2;
    pub const TYPE_TSS: u16 = 9;
    pub const TYPE_TSS_BUSY: u16 = 11;
}

use attribute as a;

/// The requested privilege level in a selector.
pub(super) fn rpl(selector: u16) -> u8 {
    (selector & 3) as u8
}

/// The selector's bits for an error code.
pub(super) fn selector_code(selector: u16) -> u16 {
    selector & !3
}

/// #GP with a selector.
pub(super) fn gp(selector: u16) -> Stop {
    Exception::coded(vector::GP, selector_code(selector)).into()
}

/// #NP with a selector.
pub(super) fn np(selector: u16) -> Stop {
    Exception::coded(vector::NP, selector_code(selector)).into()
}

/// #SS with a selector.
pub(super) fn ss(selector: u16) -> Stop {
    Exception::coded(vector::SS, selector_code(selector)).into()
}

/// The segment that a descriptor's low eight bytes describe.
pub(super) fn parse(selector: u16, raw: u64) -> Segment {
    let attributes = (raw >> 40) as u16 & 0xf0ff;
    let limit = (raw & 0xffff | raw >> 32 & 0xf_0000) as u32;
    Segment {
        selector,
        base: raw >> 16 & 0xff_ffff | raw >> 32 & 0xff00_0000,
        limit: if attributes & a::GRANULAR != 0 {
            limit << 12 | 0xfff
        } else {
            limit
        },
        attributes,
    }
}

/// A flat segment of ring `cpl`, as `syscall`, `sysret` and deliveries make it without a
/// look at a descriptor.
pub(super) fn flat(selector: u16, cpl: u8, attributes: u16) -> Segment {
    Segment {
        selector,
        base: 0,
        limit: u32::MAX,
        attributes: attributes
            | a::PRESENT
            | a::ORDINARY
            | a::GRANULAR
            | a::ACCESSED
            | a::WRITABLE
            | u16::from(cpl) << a::DPL_SHIFT,
    }
}

/// The descriptor's privilege level.
pub(super) fn dpl(segment: &Segment) -> u8 {
    (segment.attributes >> a::DPL_SHIFT & 3) as u8
}

/// Whether all of `mask` is set in the segment's attributes.
pub(super) fn has(segment: &Segment, mask: u16) -> bool {
    segment.attributes & mask == mask
}

impl Cpu {
    /// The linear address of `size` bytes at `offset` in segment number `segment`.
    ///
    /// # Errors
    /// #GP(0) or #SS(0) if the segment does not admit the access (legacy modes).
    pub(super) fn linear(
        &self,
        segment: u8,
        offset: u64,
        size: u64,
        write: bool,
    ) -> Result<Linear, Stop> {
        let number = usize::from(segment).min(5);
        let cached = &self.segments[number];
        if self.code_size == CodeSize::Bits64 {
            if number < FS {
                return Ok(Linear {
                    address: offset,
                    segment,
                });
            }
            // AMD's processors want this of the offset as well as of the sum.
            let last = offset.wrapping_add(size.saturating_sub(1));
            if !Self::canonical(offset) || !Self::canonical(last) {
                return Err(Exception::GP.into());
            }
            return Ok(Linear {
                address: cached.base.wrapping_add(offset),
                segment,
            });
        }
        let fault = || {
            Stop::from(if number == SS {
                Exception::SS
            } else {
                Exception::GP
            })
        };
        let code = has(cached, a::CODE);
        let allowed = if write {
            !code && has(cached, a::WRITABLE)
        } else {
            !code || has(cached, a::READABLE)
        };
        if !has(cached, a::PRESENT) || !allowed {
            return Err(fault());
        }
        let last = offset + (size - 1);
        let limit = u64::from(cached.limit);
        let inside = if !code && has(cached, a::EXPAND_DOWN) {
            let top = if has(cached, a::BIG) {
                0xffff_ffff
            } else {
                0xffff
            };
            offset > limit && last <= top
        } else {
            last <= limit
        };
        if !inside {
            return Err(fault());
        }
        Ok(Linear {
            address: cached.base.wrapping_add(offset) & 0xffff_ffff,
            segment,
        })
    }

    /// Whether the processor is in long mode (64-bit or compatibility).
    pub(super) fn long_mode(&self) -> bool {
        self.efer & bits::EFER_LMA != 0
    }

    /// Works out code size and context after CS changed.
    pub(super) fn code_segment_changed(&mut self) {
        let cs = &self.segments[CS];
        self.code_size = if self.long_mode() && has(cs, a::LONG) {
            CodeSize::Bits64
        } else if has(cs, a::BIG) {
            CodeSize::Bits32
        } else {
            CodeSize::Bits16
        };
        if self.code_size != CodeSize::Bits64 {
            self.code.new_legacy_segment();
        }
        self.select_ctx();
    }

    /// Reads the low eight bytes of the descriptor that `selector` names.
    ///
    /// # Errors
    /// #GP with the selector if it lies outside its table; whatever the read raises.
    pub(super) fn descriptor(&mut self, selector: u16) -> Result<u64, Stop> {
        let (base, limit) = if selector & 4 == 0 {
            (self.gdt.base, u32::from(self.gdt.limit))
        } else if has(&self.ldt, a::PRESENT) {
            (self.ldt.base, self.ldt.limit)
        } else {
            return Err(gp(selector));
        };
        let offset = u32::from(selector & !7);
        if offset + 7 > limit {
            return Err(gp(selector));
        }
        self.system_read(base.wrapping_add(u64::from(offset)))
    }
}
