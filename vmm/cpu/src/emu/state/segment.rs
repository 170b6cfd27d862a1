//! Segments: registers, selectors, descriptors, and linear addresses through them.

use x86::{segment as a, vector};

use crate::Segment;
use crate::emu::state::control::{CodeSize, Control, canonical};
use crate::emu::state::exception::{Exception, Stop};

/// Numbers of the segment registers, as ModRM has them.
pub const ES: usize = 0;
pub const CS: usize = 1;
pub const SS: usize = 2;
pub const DS: usize = 3;
pub const FS: usize = 4;
pub const GS: usize = 5;
/// Stands for no segment: the processor's own accesses, to its tables.
pub const SYSTEM: u8 = 6;

/// A linear address, and the segment that made it (which decides between #GP and #SS).
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    pub address: u64,
    pub segment: u8,
}

impl Linear {
    /// `address` in the stack segment.
    #[inline(always)]
    pub fn stack(address: u64) -> Self {
        Self {
            address,
            segment: SS as u8,
        }
    }

    /// The address `offset` bytes on.
    #[inline(always)]
    pub fn add(self, offset: u64) -> Self {
        Self {
            address: self.address.wrapping_add(offset),
            ..self
        }
    }
}

/// The requested privilege level in a selector.
pub fn rpl(selector: u16) -> u8 {
    (selector & 3) as u8
}

/// The selector's bits for an error code.
pub fn selector_code(selector: u16) -> u16 {
    selector & !3
}

/// #GP with a selector.
pub fn gp(selector: u16) -> Stop {
    Exception::coded(vector::GP, selector_code(selector)).into()
}

/// #NP with a selector.
pub fn np(selector: u16) -> Stop {
    Exception::coded(vector::NP, selector_code(selector)).into()
}

/// #SS with a selector.
pub fn ss(selector: u16) -> Stop {
    Exception::coded(vector::SS, selector_code(selector)).into()
}

/// The segment that a descriptor's low eight bytes describe.
pub fn parse(selector: u16, raw: u64) -> Segment {
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
pub fn flat(selector: u16, cpl: u8, attributes: u16) -> Segment {
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
pub fn dpl(segment: &Segment) -> u8 {
    (segment.attributes >> a::DPL_SHIFT & 3) as u8
}

/// Whether all of `mask` is set in the segment's attributes.
pub fn has(segment: &Segment, mask: u16) -> bool {
    segment.attributes & mask == mask
}

impl Control {
    /// The linear address of `size` bytes at `offset` in segment number `segment`.
    ///
    /// # Errors
    /// #GP(0) or #SS(0) if the segment does not admit the access (legacy modes).
    pub fn linear(&self, segment: u8, offset: u64, size: u64, write: bool) -> Result<Linear, Stop> {
        let number = usize::from(segment).min(5);
        let cached = &self.segments[number];
        if self.code_size == CodeSize::Bits64 {
            if number < FS {
                return Ok(Linear {
                    address: offset,
                    segment,
                });
            }
            // AMD's processors check the offset as well as the sum.
            let last = offset.wrapping_add(size.saturating_sub(1));
            if !canonical(offset) || !canonical(last) {
                return Err(Exception::GP.into());
            }
            return Ok(Linear {
                address: cached.base.wrapping_add(offset),
                segment,
            });
        }
        self.legacy_linear(cached, segment, offset, size, write)
    }

    /// The same outside 64-bit code, for a register that would be number `segment` with the
    /// value `cached`. Of a segment that has all 4 GiB, accesses wrap at the end. Real mode
    /// knows limits only.
    ///
    /// # Errors
    /// As for [`linear`](Self::linear).
    pub fn legacy_linear(
        &self,
        cached: &Segment,
        segment: u8,
        offset: u64,
        size: u64,
        write: bool,
    ) -> Result<Linear, Stop> {
        let fault = || {
            Stop::from(if usize::from(segment) == SS {
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
        let usable = has(cached, a::PRESENT) && allowed;
        if !self.real_mode() && !usable {
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
            last <= limit || cached.limit == u32::MAX
        };
        if !inside {
            return Err(fault());
        }
        Ok(Linear {
            address: cached.base.wrapping_add(offset) & 0xffff_ffff,
            segment,
        })
    }
}
