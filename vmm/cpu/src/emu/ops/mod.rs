//! Instruction families: one file each, with its semantics and its list of forms.

pub mod control;
pub mod integer;
pub mod native;
pub mod simd;
pub mod system;
pub mod x87;

use crate::emu::engine::form::Form;

/// All families.
pub const FAMILIES: &[&[Form]] = &[
    integer::alu::FORMS,
    integer::atomic::FORMS,
    integer::bits::FORMS,
    control::branch::FORMS,
    control::fast_call::FORMS,
    system::control::FORMS,
    integer::flag::FORMS,
    x87::fxsave::FORMS,
    system::io::FORMS,
    native::gather::FORMS,
    native::upper::FORMS,
    simd::mmx::FORMS,
    simd::mmx_convert::FORMS,
    simd::mmx_int::FORMS,
    integer::legacy::FORMS,
    integer::mov::FORMS,
    integer::muldiv::FORMS,
    integer::random::FORMS,
    control::segments::FORMS,
    integer::shift::FORMS,
    simd::sse_element::FORMS,
    simd::sse_float::FORMS,
    simd::sse_int::FORMS,
    simd::sse_move::FORMS,
    simd::sse_scalar::FORMS,
    simd::sse_string::FORMS,
    integer::stack::FORMS,
    integer::string::FORMS,
    system::string_io::FORMS,
    system::processor::FORMS,
    control::transfer::FORMS,
    x87::arithmetic::FORMS,
    x87::x87_env::FORMS,
    x87::xsave::FORMS,
];
