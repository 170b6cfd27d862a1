//! Instruction families: one file each, with its semantics and its list of forms.

mod alu;
mod atomic;
mod bits;
mod branch;
mod control;
mod flag;
mod fxsave;
pub(super) mod invalid;
mod io;
mod mmx;
mod mmx_convert;
mod mmx_int;
mod mov;
mod muldiv;
pub(super) mod pairs;
mod segments;
mod shift;
pub(super) mod sse;
mod sse_element;
mod sse_float;
mod sse_forms;
mod sse_int;
mod sse_move;
mod sse_range;
mod sse_scalar;
mod sse_string;
mod stack;
mod string;
mod string_io;
mod system;
mod transfer;
pub(super) mod x87;
mod x87_env;

use iced_x86::{Instruction, Mnemonic};

use super::decode::Form;

/// All families.
pub(super) const FAMILIES: &[&[Form]] = &[
    alu::FORMS,
    atomic::FORMS,
    bits::FORMS,
    branch::FORMS,
    control::FORMS,
    flag::FORMS,
    fxsave::FORMS,
    io::FORMS,
    mmx::FORMS,
    mmx_convert::FORMS,
    mmx_int::FORMS,
    mov::FORMS,
    muldiv::FORMS,
    segments::FORMS,
    shift::FORMS,
    sse_element::FORMS,
    sse_float::FORMS,
    sse_int::FORMS,
    sse_move::FORMS,
    sse_scalar::FORMS,
    sse_string::FORMS,
    stack::FORMS,
    string::FORMS,
    string_io::FORMS,
    system::FORMS,
    transfer::FORMS,
    x87::FORMS,
    x87_env::FORMS,
];

/// The families on XMM registers.
#[cfg(test)]
pub(super) fn sse_families() -> [&'static [Form]; 6] {
    [
        sse_element::FORMS,
        sse_float::FORMS,
        sse_int::FORMS,
        sse_move::FORMS,
        sse_scalar::FORMS,
        sse_string::FORMS,
    ]
}

/// The families on MMX registers.
#[cfg(test)]
pub(super) fn mmx_families() -> [&'static [Form]; 3] {
    [mmx::FORMS, mmx_convert::FORMS, mmx_int::FORMS]
}

/// The families on x87 registers.
#[cfg(test)]
pub(super) fn x87_families() -> [&'static [Form]; 2] {
    [x87::FORMS, x87_env::FORMS]
}

/// Whether the instruction, on registers and immediates, can neither fault nor leave.
pub(super) fn is_quiet(insn: &Instruction) -> bool {
    use Mnemonic as M;
    is_shift(insn)
        || insn.mnemonic() as u32 == M::Mov as u32 && mov::is_quiet(insn)
        || matches!(
            insn.mnemonic(),
            M::Add
                | M::Adc
                | M::Sub
                | M::Sbb
                | M::And
                | M::Or
                | M::Xor
                | M::Cmp
                | M::Test
                | M::Inc
                | M::Dec
                | M::Neg
                | M::Not
                | M::Lea
                | M::Movzx
                | M::Movsx
                | M::Movsxd
                | M::Xchg
                | M::Bswap
                | M::Nop
        )
}

/// Whether the instruction shifts or rotates.
pub(super) fn is_shift(insn: &Instruction) -> bool {
    use Mnemonic as M;
    matches!(
        insn.mnemonic(),
        M::Shl | M::Sal | M::Shr | M::Sar | M::Rol | M::Ror | M::Rcl | M::Rcr | M::Shld | M::Shrd
    )
}

/// Lists the forms of a family: `next [lower]: Code1 Code2;` for instructions that go on
/// to the next, `end [lower]: ...;` for those that end a block.
macro_rules! forms {
    ($($kind:ident $lower:tt: $($code:ident)*;)*) => {
        &[$($($crate::emu::decode::Form::$kind(iced_x86::Code::$code, forms!(@lower $lower)),)*)*]
    };
    (@lower [$lower:expr]) => { $lower };
}
pub(super) use forms;
