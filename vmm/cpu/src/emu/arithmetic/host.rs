//! Arithmetic done by the host's own instructions, with their flags.
//!
//! See [`flags`](crate::emu::arithmetic::flags) for why. Each function executes one
//! instruction on values of one width. Where the instruction leaves some flags alone (or
//! all, for a shift by zero), the guest's flags are loaded first: `add al, 0x7f` recreates
//! OF, `sahf` the others.

use std::arch::asm;

use crate::emu::arithmetic::flags::Flags;

/// Arithmetic of one width, with flags.
pub trait Arith: Sized {
    fn add(a: Self, b: Self, flags: Flags) -> (Self, Flags);
    fn sub(a: Self, b: Self, flags: Flags) -> (Self, Flags);
    fn and(a: Self, b: Self, flags: Flags) -> (Self, Flags);
    fn or(a: Self, b: Self, flags: Flags) -> (Self, Flags);
    fn xor(a: Self, b: Self, flags: Flags) -> (Self, Flags);
    fn adc(a: Self, b: Self, flags: Flags) -> (Self, Flags);
    fn sbb(a: Self, b: Self, flags: Flags) -> (Self, Flags);
    fn inc(a: Self, flags: Flags) -> (Self, Flags);
    fn dec(a: Self, flags: Flags) -> (Self, Flags);
    fn neg(a: Self, flags: Flags) -> (Self, Flags);
    fn shl(a: Self, count: u8, flags: Flags) -> (Self, Flags);
    fn shr(a: Self, count: u8, flags: Flags) -> (Self, Flags);
    fn sar(a: Self, count: u8, flags: Flags) -> (Self, Flags);
    fn rol(a: Self, count: u8, flags: Flags) -> (Self, Flags);
    fn ror(a: Self, count: u8, flags: Flags) -> (Self, Flags);
    fn rcl(a: Self, count: u8, flags: Flags) -> (Self, Flags);
    fn rcr(a: Self, count: u8, flags: Flags) -> (Self, Flags);
    /// Undefined for bytes, which have no such instruction.
    fn shld(a: Self, b: Self, count: u8, flags: Flags) -> (Self, Flags);
    fn shrd(a: Self, b: Self, count: u8, flags: Flags) -> (Self, Flags);
    fn bsf(old: Self, b: Self, flags: Flags) -> (Self, Flags);
    fn bsr(old: Self, b: Self, flags: Flags) -> (Self, Flags);
    fn tzcnt(old: Self, b: Self, flags: Flags) -> (Self, Flags);
    fn lzcnt(old: Self, b: Self, flags: Flags) -> (Self, Flags);
    fn popcnt(old: Self, b: Self, flags: Flags) -> (Self, Flags);
    /// The low and the high half of the product of `low` and `b`.
    ///
    /// # Safety
    /// Always safe; declared with the divisions.
    unsafe fn mul_wide(high: Self, low: Self, b: Self, flags: Flags) -> (Self, Self, Flags);
    /// # Safety
    /// As for [`mul_wide`](Self::mul_wide).
    unsafe fn imul_wide(high: Self, low: Self, b: Self, flags: Flags) -> (Self, Self, Flags);
    /// Quotient and remainder.
    ///
    /// # Safety
    /// The divisor is not zero and the quotient fits, or the host faults.
    unsafe fn div_wide(high: Self, low: Self, divisor: Self, flags: Flags) -> (Self, Self, Flags);
    /// # Safety
    /// As for [`div_wide`](Self::div_wide).
    unsafe fn idiv_wide(high: Self, low: Self, divisor: Self, flags: Flags) -> (Self, Self, Flags);
}

macro_rules! arith {
    ($type:ty, $class:ident, $modifier:literal, { $($more:tt)* }) => {
        impl Arith for $type {
            arith!(@two $class, $modifier, add, "add");
            arith!(@two $class, $modifier, sub, "sub");
            arith!(@two $class, $modifier, and, "and");
            arith!(@two $class, $modifier, or, "or");
            arith!(@two $class, $modifier, xor, "xor");
            arith!(@carry $class, $modifier, adc, "adc");
            arith!(@carry $class, $modifier, sbb, "sbb");
            arith!(@one $class, $modifier, inc, "inc");
            arith!(@one $class, $modifier, dec, "dec");
            arith!(@one $class, $modifier, neg, "neg");
            arith!(@shift $class, $modifier, shl, "shl");
            arith!(@shift $class, $modifier, shr, "shr");
            arith!(@shift $class, $modifier, sar, "sar");
            arith!(@shift $class, $modifier, rol, "rol");
            arith!(@shift $class, $modifier, ror, "ror");
            arith!(@shift $class, $modifier, rcl, "rcl");
            arith!(@shift $class, $modifier, rcr, "rcr");
            $($more)*
        }
    };
    // All flags are results.
    (@two $class:ident, $modifier:literal, $name:ident, $text:literal) => {
        #[inline(always)]
        fn $name(mut a: Self, b: Self, _: Flags) -> (Self, Flags) {
            let flags: u64;
            // SAFETY: computes on registers only.
            unsafe {
                asm!(
                    concat!($text, " {a", $modifier, "}, {b", $modifier, "}"),
                    "lahf",
                    "seto al",
                    a = inout($class) a,
                    b = in($class) b,
                    lateout("rax") flags,
                    options(pure, nomem, nostack),
                );
            }
            (a, Flags(flags as u16))
        }
    };
    // CF is an input, all flags are results.
    (@carry $class:ident, $modifier:literal, $name:ident, $text:literal) => {
        #[inline(always)]
        fn $name(mut a: Self, b: Self, old: Flags) -> (Self, Flags) {
            let flags: u64;
            // SAFETY: computes on registers only.
            unsafe {
                asm!(
                    "bt {old:e}, 8",
                    concat!($text, " {a", $modifier, "}, {b", $modifier, "}"),
                    "lahf",
                    "seto al",
                    a = inout($class) a,
                    b = in($class) b,
                    old = in(reg) u32::from(old.0),
                    lateout("rax") flags,
                    options(pure, nomem, nostack),
                );
            }
            (a, Flags(flags as u16))
        }
    };
    // CF passes through (`neg` does not need it, and overwrites it).
    (@one $class:ident, $modifier:literal, $name:ident, $text:literal) => {
        #[inline(always)]
        fn $name(mut a: Self, old: Flags) -> (Self, Flags) {
            let flags: u64;
            // SAFETY: computes on registers only.
            unsafe {
                asm!(
                    "bt {old:e}, 8",
                    concat!($text, " {a", $modifier, "}"),
                    "lahf",
                    "seto al",
                    a = inout($class) a,
                    old = in(reg) u32::from(old.0),
                    lateout("rax") flags,
                    options(pure, nomem, nostack),
                );
            }
            (a, Flags(flags as u16))
        }
    };
    // Some or all flags may pass through.
    (@shift $class:ident, $modifier:literal, $name:ident, $text:literal) => {
        #[inline(always)]
        fn $name(mut a: Self, count: u8, old: Flags) -> (Self, Flags) {
            let mut flags = u64::from(old.0 & !0xfe);
            // SAFETY: computes on registers only.
            unsafe {
                asm!(
                    "add al, 0x7f",
                    "sahf",
                    concat!($text, " {a", $modifier, "}, cl"),
                    "lahf",
                    "seto al",
                    a = inout($class) a,
                    in("cl") count,
                    inout("rax") flags,
                    options(pure, nomem, nostack),
                );
            }
            (a, Flags(flags as u16))
        }
    };
}

/// Instructions without a byte form.
macro_rules! wide {
    // Some or all flags may pass through, and `old` too.
    (@scan $modifier:literal, $name:ident, $text:literal) => {
        #[inline(always)]
        fn $name(mut old: Self, b: Self, flags: Flags) -> (Self, Flags) {
            let mut flags = u64::from(flags.0 & !0xfe);
            // SAFETY: computes on registers only.
            unsafe {
                asm!(
                    "add al, 0x7f",
                    "sahf",
                    concat!($text, " {a", $modifier, "}, {b", $modifier, "}"),
                    "lahf",
                    "seto al",
                    a = inout(reg) old,
                    b = in(reg) b,
                    inout("rax") flags,
                    options(pure, nomem, nostack),
                );
            }
            (old, Flags(flags as u16))
        }
    };
    (@double $modifier:literal, $name:ident, $text:literal) => {
        #[inline(always)]
        fn $name(mut a: Self, b: Self, count: u8, flags: Flags) -> (Self, Flags) {
            let mut flags = u64::from(flags.0 & !0xfe);
            // SAFETY: computes on registers only.
            unsafe {
                asm!(
                    "add al, 0x7f",
                    "sahf",
                    concat!($text, " {a", $modifier, "}, {b", $modifier, "}, cl"),
                    "lahf",
                    "seto al",
                    a = inout(reg) a,
                    b = in(reg) b,
                    in("cl") count,
                    inout("rax") flags,
                    options(pure, nomem, nostack),
                );
            }
            (a, Flags(flags as u16))
        }
    };
    // `op b` on rdx:rax, both in and out: quotient and remainder, or product.
    (@wide $modifier:literal, $name:ident, $text:literal) => {
        #[inline(always)]
        unsafe fn $name(high: Self, low: Self, b: Self, flags: Flags) -> (Self, Self, Flags) {
            let (mut high, mut low) = (u64::from(high), u64::from(low));
            let mut flags = u64::from(flags.0 & !0xfe);
            // SAFETY: computes on registers only; the caller sees to it that a division
            // does not fault.
            unsafe {
                asm!(
                    "add al, 0x7f",
                    "sahf",
                    "mov rax, {low}",
                    concat!($text, " {b", $modifier, "}"),
                    "mov {low}, rax",
                    "lahf",
                    "seto al",
                    low = inout(reg) low,
                    b = in(reg) b,
                    inout("rdx") high,
                    inout("rax") flags,
                    options(pure, nomem, nostack),
                );
            }
            (low as Self, high as Self, Flags(flags as u16))
        }
    };
    ($type:ty, $modifier:literal) => {
        arith!($type, reg, $modifier, {
            wide!(@scan $modifier, bsf, "bsf");
            wide!(@scan $modifier, bsr, "bsr");
            wide!(@scan $modifier, tzcnt, "tzcnt");
            wide!(@scan $modifier, lzcnt, "lzcnt");
            wide!(@scan $modifier, popcnt, "popcnt");
            wide!(@double $modifier, shld, "shld");
            wide!(@double $modifier, shrd, "shrd");
            wide!(@wide $modifier, mul_wide, "mul");
            wide!(@wide $modifier, imul_wide, "imul");
            wide!(@wide $modifier, div_wide, "div");
            wide!(@wide $modifier, idiv_wide, "idiv");
        });
    };
}

/// The byte forms, whose dividend and product are in ax.
macro_rules! byte_wide {
    ($name:ident, $text:literal) => {
        #[inline(always)]
        unsafe fn $name(high: Self, low: Self, b: Self, flags: Flags) -> (Self, Self, Flags) {
            let mut ax = u64::from(high) << 8 | u64::from(low);
            let mut flags = u64::from(flags.0 & !0xfe);
            // SAFETY: computes on registers only; the caller sees to it that a division
            // does not fault.
            unsafe {
                asm!(
                    "add al, 0x7f",
                    "sahf",
                    "mov rax, {ax}",
                    concat!($text, " {b}"),
                    "mov {ax}, rax",
                    "lahf",
                    "seto al",
                    ax = inout(reg) ax,
                    b = in(reg_byte) b,
                    inout("rax") flags,
                    options(pure, nomem, nostack),
                );
            }
            (ax as u8, (ax >> 8) as u8, Flags(flags as u16))
        }
    };
}

/// Stands in for the instructions that have no byte form.
macro_rules! byte_none {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {$(
        fn $name(a: Self, $($argument: $type,)* flags: Flags) -> (Self, Flags) {
            let _ = ($($argument,)*);
            (a, flags)
        }
    )*};
}

arith!(u8, reg_byte, "", {
    byte_wide!(mul_wide, "mul");
    byte_wide!(imul_wide, "imul");
    byte_wide!(div_wide, "div");
    byte_wide!(idiv_wide, "idiv");
    byte_none! {
        shld(b: Self, count: u8);
        shrd(b: Self, count: u8);
        bsf(b: Self);
        bsr(b: Self);
        tzcnt(b: Self);
        lzcnt(b: Self);
        popcnt(b: Self);
    }
});
wide!(u16, ":x");
wide!(u32, ":e");
wide!(u64, ":r");
