//! The arithmetic flags, in the form in which the host's `lahf; seto` gives them.
//!
//! The guest's processor is of the host's kind, so an instruction that sets flags is
//! executed as itself and its flags are taken by `lahf; seto`: exact by construction,
//! undefined ones included, and measured here at 0.4 cycles, where storing operands for
//! later (lazy evaluation as in Bochs: three stores) costs 1.2 and a dispatch at each use.
//! The lazy part is static: the decoder knows which flags are overwritten before they are
//! read and picks handlers that do not compute them at all.

use iced_x86::RflagsBits;

/// SF, ZF, AF, PF and CF at bits 15, 14, 12, 10 and 8 (the order of AH after `lahf`,
/// shifted) and OF at bit 0. Bit 9 is always set; the others are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Flags(pub u16);

/// Flag bits of [`Flags`].
pub mod bit {
    pub const OF: u16 = 1;
    pub const CF: u16 = 1 << 8;
    pub const PF: u16 = 1 << 10;
    pub const AF: u16 = 1 << 12;
    pub const ZF: u16 = 1 << 14;
    pub const SF: u16 = 1 << 15;
}

/// Bits of RFLAGS, under the manuals' names (AMD APM vol. 2 3.1.6).
pub mod rflags {
    use x86::RFlags;

    pub const CF: u64 = RFlags::CARRY_FLAG.bits();
    pub const FIXED: u64 = x86::RFLAGS_FIXED;
    pub const PF: u64 = RFlags::PARITY_FLAG.bits();
    pub const AF: u64 = RFlags::AUXILIARY_CARRY_FLAG.bits();
    pub const ZF: u64 = RFlags::ZERO_FLAG.bits();
    pub const SF: u64 = RFlags::SIGN_FLAG.bits();
    pub const TF: u64 = RFlags::TRAP_FLAG.bits();
    pub const IF: u64 = RFlags::INTERRUPT_FLAG.bits();
    pub const DF: u64 = RFlags::DIRECTION_FLAG.bits();
    pub const OF: u64 = RFlags::OVERFLOW_FLAG.bits();
    pub const IOPL: u64 = RFlags::IOPL_LOW.union(RFlags::IOPL_HIGH).bits();
    pub const IOPL_SHIFT: u32 = IOPL.trailing_zeros();
    pub const NT: u64 = RFlags::NESTED_TASK.bits();
    pub const RF: u64 = RFlags::RESUME_FLAG.bits();
    pub const VM: u64 = RFlags::VIRTUAL_8086_MODE.bits();
    pub const AC: u64 = RFlags::ALIGNMENT_CHECK.bits();
    pub const ID: u64 = RFlags::ID.bits();
    /// Those that [`Flags`](super::Flags) holds.
    pub const ARITHMETIC: u64 = CF | PF | AF | ZF | SF | OF;
    /// All other defined flags.
    pub const SYSTEM: u64 = RFlags::all().bits() & !ARITHMETIC;
}

impl Flags {
    /// The flags that it has, as iced-x86 names them.
    pub const BITS: u32 = RflagsBits::OF
        | RflagsBits::SF
        | RflagsBits::ZF
        | RflagsBits::AF
        | RflagsBits::CF
        | RflagsBits::PF;

    /// The arithmetic flags among RFLAGS.
    pub fn from_rflags(value: u64) -> Self {
        Self(((value & 0xff) << 8) as u16 | u16::from(value & rflags::OF != 0))
    }

    /// As bits of RFLAGS.
    pub fn to_rflags(self) -> u64 {
        u64::from(self.0 >> 8) & (rflags::ARITHMETIC & 0xff) | u64::from(self.0 & bit::OF) << 11
    }

    #[inline(always)]
    pub fn has(self, mask: u16) -> bool {
        self.0 & mask != 0
    }

    /// These flags, with those in `mask` as in `other`.
    #[inline(always)]
    pub fn merged(self, other: Self, mask: u16) -> Self {
        Self(self.0 & !mask | other.0 & mask)
    }

    /// These flags, with those in `mask` set or cleared.
    #[inline(always)]
    pub fn with(self, mask: u16, on: bool) -> Self {
        Self(if on { self.0 | mask } else { self.0 & !mask })
    }
}

/// A condition of `jcc`, `setcc` and `cmovcc`.
pub trait Condition: 'static {
    /// Whether it holds.
    fn holds(flags: Flags) -> bool;
}

macro_rules! conditions {
    ($($name:ident, |$f:ident| $test:expr;)*) => {$(
        pub struct $name;
        impl Condition for $name {
            #[inline(always)]
            fn holds($f: Flags) -> bool {
                $test
            }
        }
    )*};
}

/// SF differs from OF.
#[inline(always)]
fn less(f: Flags) -> bool {
    (f.0 >> 15 ^ f.0) & 1 != 0
}

conditions! {
    O, |f| f.has(bit::OF);
    No, |f| !f.has(bit::OF);
    B, |f| f.has(bit::CF);
    Ae, |f| !f.has(bit::CF);
    E, |f| f.has(bit::ZF);
    Ne, |f| !f.has(bit::ZF);
    Be, |f| f.has(bit::CF | bit::ZF);
    A, |f| !f.has(bit::CF | bit::ZF);
    S, |f| f.has(bit::SF);
    Ns, |f| !f.has(bit::SF);
    P, |f| f.has(bit::PF);
    Np, |f| !f.has(bit::PF);
    L, |f| less(f);
    Ge, |f| !less(f);
    Le, |f| less(f) || f.has(bit::ZF);
    G, |f| !less(f) && !f.has(bit::ZF);
}

#[cfg(test)]
mod tests {
    use super::{Flags, rflags};

    #[test]
    fn rflags_round_trip() {
        for value in 0..=0xfff_u64 {
            let arithmetic = value & rflags::ARITHMETIC;
            assert_eq!(Flags::from_rflags(value).to_rflags(), arithmetic);
        }
    }
}
