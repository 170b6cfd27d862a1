//! The widths of values that instructions work on.

use std::arch::x86_64::__m128i;

use crate::emu::arithmetic::host::Arith;

/// A value that guest memory can hold.
///
/// # Safety
/// Every bit pattern is a value, and the type has no padding and at most 16 bytes.
pub unsafe trait Plain: Copy + 'static {
    /// Bytes.
    const SIZE: u64 = size_of::<Self>() as u64;
    /// All bits clear.
    const ZERO: Self;
}

/// An integer operand.
pub trait Int: Plain + Eq + Ord + Arith {
    /// Bits.
    const BITS: u32 = 8 * size_of::<Self>() as u32;
    /// The low bits of `value`.
    fn truncate(value: u64) -> Self;
    /// Zero-extends.
    fn zero_extend(self) -> u64;
    /// Sign-extends.
    fn sign_extend(self) -> u64;
    fn rotate_left(self, count: u32) -> Self;
    fn rotate_right(self, count: u32) -> Self;
}

macro_rules! integers {
    ($($type:ty, $signed:ty;)*) => {$(
        // SAFETY: an integer.
        unsafe impl Plain for $type {
            const ZERO: Self = 0;
        }
        impl Int for $type {
            #[inline(always)]
            fn truncate(value: u64) -> Self {
                value as Self
            }
            #[inline(always)]
            fn zero_extend(self) -> u64 {
                u64::from(self)
            }
            #[inline(always)]
            fn sign_extend(self) -> u64 {
                i64::from(self as $signed) as u64
            }
            #[inline(always)]
            fn rotate_left(self, count: u32) -> Self {
                <$type>::rotate_left(self, count)
            }
            #[inline(always)]
            fn rotate_right(self, count: u32) -> Self {
                <$type>::rotate_right(self, count)
            }
        }
    )*};
}

integers! {
    u8, i8;
    u16, i16;
    u32, i32;
    u64, i64;
}

// SAFETY: two integers.
unsafe impl Plain for [u64; 2] {
    const ZERO: Self = [0; 2];
}

// SAFETY: an integer.
unsafe impl Plain for u128 {
    const ZERO: Self = 0;
}

// SAFETY: 128 bits without meaning.
unsafe impl Plain for __m128i {
    // SAFETY: both are 128 bits of any value.
    const ZERO: Self = unsafe { std::mem::transmute::<u128, Self>(0) };
}

/// An XMM value of zeros.
pub const fn xmm_zero() -> __m128i {
    <__m128i as Plain>::ZERO
}
