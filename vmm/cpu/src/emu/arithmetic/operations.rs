//! Operations on one and two integers: the result, and the flags where they matter.

use crate::emu::arithmetic::flags::{Flags, bit};
use crate::emu::arithmetic::value::Int;

/// An operation on two values.
pub trait BinaryOp: 'static {
    /// Whether the result is kept (`cmp` and `test` only set flags).
    const KEEPS: bool = true;
    /// The result and the flags.
    fn full<T: Int>(a: T, b: T, flags: Flags) -> (T, Flags);
    /// The result alone.
    fn plain<T: Int>(a: T, b: T, flags: Flags) -> T;
}

macro_rules! binary_ops {
    ($($name:ident, $host:ident, |$a:ident, $b:ident, $flags:ident| $plain:expr $(, $keeps:literal)?;)*) => {$(
        pub struct $name;
        impl BinaryOp for $name {
            $(const KEEPS: bool = $keeps;)?
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
    Add, add, |a, b, _f| a.wrapping_add(b);
    Or, or, |a, b, _f| a | b;
    Adc, adc, |a, b, f| a.wrapping_add(b).wrapping_add(carry(f));
    Sbb, sbb, |a, b, f| a.wrapping_sub(b).wrapping_sub(carry(f));
    And, and, |a, b, _f| a & b;
    Sub, sub, |a, b, _f| a.wrapping_sub(b);
    Xor, xor, |a, b, _f| a ^ b;
    Cmp, sub, |a, _b, _f| a, false;
    Test, and, |a, _b, _f| a, false;
}

/// An operation on one value.
pub trait UnaryOp: 'static {
    fn full<T: Int>(a: T, flags: Flags) -> (T, Flags);
    fn plain<T: Int>(a: T) -> T;
}

macro_rules! unary_ops {
    ($($name:ident, |$a:ident, $flags:ident| $full:expr, |$b:ident| $plain:expr;)*) => {$(
        pub struct $name;
        impl UnaryOp for $name {
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
    Inc, |a, f| T::inc(a, f), |b| b.wrapping_add(1);
    Dec, |a, f| T::dec(a, f), |b| b.wrapping_sub(1);
    Neg, |a, f| T::neg(a, f), |b| b.wrapping_neg();
    Not, |a, f| (T::truncate(!a.zero_extend()), f), |b| !b;
}
