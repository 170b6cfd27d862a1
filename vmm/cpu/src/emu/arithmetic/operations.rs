//! Operations on one and two integers: the result, and the flags where they matter.

use crate::emu::arithmetic::flags::{Flags, bit};
use crate::emu::arithmetic::value::Int;

/// In which widths a conditional branch on the flags of an operation is frequent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tested {
    Always,
    Wide,
    Never,
}

impl Tested {
    /// Whether a branch is frequent after values of type `T`.
    pub const fn with<T: Int>(self) -> bool {
        match self {
            Self::Always => true,
            Self::Wide => T::BITS >= 32,
            Self::Never => false,
        }
    }
}

/// An operation on two values.
pub trait BinaryOp: 'static {
    /// Whether the result is kept (`cmp` and `test` only set flags).
    const KEEPS: bool;
    /// How often a conditional branch follows.
    const TESTED: Tested;
    /// The result and the flags.
    fn full<T: Int>(a: T, b: T, flags: Flags) -> (T, Flags);
    /// The result alone.
    fn plain<T: Int>(a: T, b: T, flags: Flags) -> T;
}

macro_rules! binary_ops {
    ($($name:ident, $host:ident, $tested:ident, |$a:ident, $b:ident, $flags:ident| $plain:expr;)*) => {$(
        pub struct $name;
        impl BinaryOp for $name {
            const KEEPS: bool = !matches!(Tested::$tested, Tested::Always);
            const TESTED: Tested = Tested::$tested;
            #[inline(always)]
            fn full<T: Int>(a: T, b: T, flags: Flags) -> (T, Flags) {
                T::$host(a, b, flags)
            }
            #[inline(always)]
            fn plain<T: Int>(a: T, b: T, $flags: Flags) -> T {
                let ($a, $b) = (a.zero_extend(), b.zero_extend());
                T::truncate($plain)
            }
        }
    )*};
}

/// CF as a number.
#[inline(always)]
fn carry(flags: Flags) -> u64 {
    u64::from(flags.has(bit::CF))
}

binary_ops! {
    Add, add, Wide, |a, b, _f| a.wrapping_add(b);
    Or, or, Wide, |a, b, _f| a | b;
    Adc, adc, Never, |a, b, f| a.wrapping_add(b).wrapping_add(carry(f));
    Sbb, sbb, Never, |a, b, f| a.wrapping_sub(b).wrapping_sub(carry(f));
    And, and, Wide, |a, b, _f| a & b;
    Sub, sub, Wide, |a, b, _f| a.wrapping_sub(b);
    Xor, xor, Never, |a, b, _f| a ^ b;
    Cmp, sub, Always, |a, _b, _f| a;
    Test, and, Always, |a, _b, _f| a;
}

/// An operation on one value.
pub trait UnaryOp: 'static {
    /// As in [`BinaryOp`].
    const TESTED: Tested;
    fn full<T: Int>(a: T, flags: Flags) -> (T, Flags);
    fn plain<T: Int>(a: T) -> T;
}

macro_rules! unary_ops {
    ($($name:ident, $tested:ident, |$a:ident, $flags:ident| $full:expr, |$b:ident| $plain:expr;)*) => {$(
        pub struct $name;
        impl UnaryOp for $name {
            const TESTED: Tested = Tested::$tested;
            #[inline(always)]
            fn full<T: Int>($a: T, $flags: Flags) -> (T, Flags) {
                $full
            }
            #[inline(always)]
            fn plain<T: Int>(a: T) -> T {
                let $b = a.zero_extend();
                T::truncate($plain)
            }
        }
    )*};
}

unary_ops! {
    Inc, Wide, |a, f| T::inc(a, f), |b| b.wrapping_add(1);
    Dec, Wide, |a, f| T::dec(a, f), |b| b.wrapping_sub(1);
    Neg, Never, |a, f| T::neg(a, f), |b| b.wrapping_neg();
    Not, Never, |a, f| (T::truncate(!a.zero_extend()), f), |b| !b;
}
