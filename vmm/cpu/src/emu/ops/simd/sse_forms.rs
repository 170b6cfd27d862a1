//! Tables of XMM instructions: the macros that make lowering functions and the host's
//! code from a line that names both.

/// A stub for each immediate of an instruction: the text without it.
macro_rules! stub_for_each_imm {
    ($text:expr) => {
        std::arch::naked_asm!(
            ".set stub_imm, 0",
            ".rept 256",
            "2:",
            concat!($text, " stub_imm"),
            "ret",
            ".skip {size} - (. - 2b), 0xcc",
            ".set stub_imm, stub_imm + 1",
            ".endr",
            size = const $crate::emu::ops::simd::sse::STUB_SIZE,
        )
    };
}
pub(crate) use stub_for_each_imm;

/// Lists forms of `op xmm, xmm/memory`, as `kind source math { "op" Code ... }`. They
/// are executed by `stub`s or `direct`ly; `imm` and `shift` are stubs for `op xmm,
/// xmm/memory, imm8` and `op xmm, imm8`.
macro_rules! xmm_forms {
    ($($kind:ident $source:ident $math:ident { $($text:literal $code:ident)* })*) => {
        &[$($(
            $crate::emu::engine::form::Form {
                code: iced_x86::Code::$code,
                lower: $crate::emu::ops::simd::sse_forms::xmm_forms!(@$kind $source $math $text),
                outcome: $crate::emu::engine::form::Outcome::QuietVector,
                stub: false,
            },
        )*)*]
    };
    (@stub $source:ident $math:ident $text:literal) => {{
        #[unsafe(naked)]
        unsafe extern "C" fn stub() {
            std::arch::naked_asm!(concat!($text, " xmm0, xmm1"), "ret")
        }
        fn lower(site: &Site, insn: &Instruction, op: &mut Op) {
            use $crate::emu::ops::simd::sse::{Math, Source, Stubs, lower_stub};
            let stubs = Stubs { first: stub, imm: None };
            lower_stub(site, insn, op, Source::$source, Math::$math, stubs);
        }
        lower
    }};
    (@imm $source:ident $math:ident $text:literal) => {{
        #[unsafe(naked)]
        unsafe extern "C" fn stub() {
            $crate::emu::ops::simd::sse_forms::stub_for_each_imm!(concat!($text, " xmm0, xmm1,"))
        }
        fn lower(site: &Site, insn: &Instruction, op: &mut Op) {
            use $crate::emu::ops::simd::sse::{Math, Source, Stubs, lower_stub};
            let stubs = Stubs { first: stub, imm: Some(2) };
            lower_stub(site, insn, op, Source::$source, Math::$math, stubs);
        }
        lower
    }};
    (@shift $source:ident $math:ident $text:literal) => {{
        #[unsafe(naked)]
        unsafe extern "C" fn stub() {
            $crate::emu::ops::simd::sse_forms::stub_for_each_imm!(concat!($text, " xmm0,"))
        }
        fn lower(site: &Site, insn: &Instruction, op: &mut Op) {
            use $crate::emu::ops::simd::sse::{Stubs, lower_shift};
            lower_shift(site, insn, op, Stubs { first: stub, imm: Some(1) });
        }
        lower
    }};
    (@direct $source:ident $math:ident $text:literal) => {{
        use $crate::emu::ops::simd::{sse, sse_forms};
        struct Op_;
        impl sse::Direct for Op_ {
            #[inline(always)]
            fn apply(mut a: __m128i, b: __m128i) -> __m128i {
                sse_forms::xmm_forms!(@asm $math $text a b);
                a
            }
        }
        fn lower(site: &Site, insn: &Instruction, op: &mut Op) {
            if sse::Math::$math != sse::Math::None && site.fp.careful() {
                return sse_forms::xmm_forms!(@stub $source $math $text)(site, insn, op);
            }
            sse::lower_direct::<Op_, sse_forms::xmm_forms!(@place $source)>(site, insn, op);
        }
        lower
    }};
    (@asm None $text:literal $a:ident $b:ident) => {
        // SAFETY: computes on registers only.
        unsafe {
            std::arch::asm!(
                concat!($text, " {a}, {b}"),
                a = inout(xmm_reg) $a,
                b = in(xmm_reg) $b,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
    };
    (@asm $math:ident $text:literal $a:ident $b:ident) => {
        // SAFETY: computes on registers only, and may set exception flags in MXCSR.
        unsafe {
            std::arch::asm!(
                concat!($text, " {a}, {b}"),
                a = inout(xmm_reg) $a,
                b = in(xmm_reg) $b,
                options(nomem, nostack),
            );
        }
    };
    (@place Full) => { sse::Full };
    (@place Low64) => { sse::Low<u64> };
    (@place Low32) => { sse::Low<u32> };
}
pub(crate) use xmm_forms;
