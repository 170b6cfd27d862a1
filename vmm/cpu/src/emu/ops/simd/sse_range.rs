//! Exceptions of arithmetic whose result is out of range, when those are not masked.
//!
//! The host executes with all exceptions masked, and a masked response differs from an
//! unmasked one in its flags: a masked overflow is always inexact too, a masked
//! underflow counts only if inexact, and `dpps` goes on after its products have raised
//! something. So when it matters the flags are worked out element by element and step by
//! step, rounded without a bound of the exponent: that is what x87 registers offer when
//! their precision is set to that of singles or doubles (Intel SDM vol. 1 4.9.1, 11.5.2).

use std::arch::asm;
use std::arch::x86_64::__m128i;

use iced_x86::Code;

use crate::emu::cpu::Cpu;
use crate::emu::ops::simd::sse::{Bits128, call_stub_under, low};
use crate::emu::state::exception::Stop;
use crate::emu::state::mxcsr;

/// An operation on two numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Add,
    Sub,
    Mul,
    Div,
    /// The second, a double, to a single.
    ToSingle,
}

/// Which elements are operands of one operation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// The lowest of each.
    Scalar,
    /// Those of the same index.
    Packed,
    /// The same, subtracting and adding in turn.
    Alternating,
    /// Neighbours.
    Horizontal,
    /// Chosen products, added up.
    Dot,
}

/// How to work out the exceptions of an instruction.
pub struct Range {
    code: Code,
    kind: Kind,
    shape: Shape,
    single: bool,
}

macro_rules! ranges {
    ($($code:ident $kind:ident $shape:ident $single:literal;)*) => {
        &[$(Range {
            code: Code::$code,
            kind: Kind::$kind,
            shape: Shape::$shape,
            single: $single,
        },)*]
    };
}

/// All instructions whose results may leave the range of their type.
static RANGES: &[Range] = ranges! {
    Addss_xmm_xmmm32 Add Scalar true;
    Subss_xmm_xmmm32 Sub Scalar true;
    Mulss_xmm_xmmm32 Mul Scalar true;
    Divss_xmm_xmmm32 Div Scalar true;
    Addsd_xmm_xmmm64 Add Scalar false;
    Subsd_xmm_xmmm64 Sub Scalar false;
    Mulsd_xmm_xmmm64 Mul Scalar false;
    Divsd_xmm_xmmm64 Div Scalar false;
    Addps_xmm_xmmm128 Add Packed true;
    Subps_xmm_xmmm128 Sub Packed true;
    Mulps_xmm_xmmm128 Mul Packed true;
    Divps_xmm_xmmm128 Div Packed true;
    Addpd_xmm_xmmm128 Add Packed false;
    Subpd_xmm_xmmm128 Sub Packed false;
    Mulpd_xmm_xmmm128 Mul Packed false;
    Divpd_xmm_xmmm128 Div Packed false;
    Cvtsd2ss_xmm_xmmm64 ToSingle Scalar false;
    Cvtpd2ps_xmm_xmmm128 ToSingle Packed false;
    Addsubps_xmm_xmmm128 Sub Alternating true;
    Addsubpd_xmm_xmmm128 Sub Alternating false;
    Haddps_xmm_xmmm128 Add Horizontal true;
    Haddpd_xmm_xmmm128 Add Horizontal false;
    Hsubps_xmm_xmmm128 Sub Horizontal true;
    Hsubpd_xmm_xmmm128 Sub Horizontal false;
    Dpps_xmm_xmmm128_imm8 Mul Dot true;
    Dppd_xmm_xmmm128_imm8 Mul Dot false;
};

/// The place of `code` in the table.
pub fn index(code: Code) -> Option<u8> {
    RANGES
        .iter()
        .position(|range| range.code == code)
        .map(|i| i as u8)
}

/// Records the exceptions of instruction number `index`, which raised `raised` when all
/// were masked.
///
/// # Errors
/// The exception that is not masked.
pub fn note(
    cpu: &mut Cpu,
    index: u8,
    imm: u8,
    operands: [__m128i; 2],
    raised: u32,
) -> Result<(), Stop> {
    let unmasked = !cpu.regs.mxcsr >> mxcsr::MASK_SHIFT & mxcsr::FLAGS;
    match RANGES.get(usize::from(index)) {
        Some(range) if range.depends_on(unmasked) => range.note(cpu, imm, operands),
        _ => cpu.note_float_exceptions(raised),
    }
}

impl Range {
    /// Whether what is raised while all is masked may not be what `unmasked` exceptions
    /// leave. Inexact results are the same; but what has several steps ends with the first.
    fn depends_on(&self, unmasked: u32) -> bool {
        unmasked & !mxcsr::INEXACT != 0 || self.shape == Shape::Dot && unmasked != 0
    }

    fn note(&self, cpu: &mut Cpu, imm: u8, operands: [__m128i; 2]) -> Result<(), Stop> {
        let [a, b] = operands.map(|v| self.numbers(v));
        let count = if self.single { 4 } else { 2 };
        let mut step = Step {
            range: self,
            control: cpu.regs.careful_mxcsr(),
            unmasked: !cpu.regs.mxcsr >> mxcsr::MASK_SHIFT & mxcsr::FLAGS,
            raised: 0,
        };
        match self.shape {
            Shape::Scalar => {
                step.compute(self.kind, a[0], b[0]);
            }
            Shape::Packed => {
                for i in 0..count {
                    step.compute(self.kind, a[i], b[i]);
                }
            }
            Shape::Alternating => {
                for i in 0..count {
                    let kind = if i % 2 == 0 { Kind::Sub } else { Kind::Add };
                    step.compute(kind, a[i], b[i]);
                }
            }
            Shape::Horizontal => {
                for numbers in [a, b] {
                    for pair in numbers[..count].chunks_exact(2) {
                        step.compute(self.kind, pair[0], pair[1]);
                    }
                }
            }
            Shape::Dot => {
                let mut products = [0; 4];
                for i in (0..count).filter(|i| imm >> (4 + i) & 1 != 0) {
                    products[i] = step.compute(Kind::Mul, a[i], b[i]);
                }
                step.finish(cpu)?;
                let first = step.compute(Kind::Add, products[0], products[1]);
                if self.single {
                    let second = step.compute(Kind::Add, products[2], products[3]);
                    step.finish(cpu)?;
                    step.compute(Kind::Add, first, second);
                }
            }
        }
        step.finish(cpu)
    }

    /// The numbers in a vector.
    fn numbers(&self, vector: __m128i) -> [u64; 4] {
        let bits = Bits128::from(vector);
        if self.single {
            bits.singles().map(u64::from)
        } else {
            let [low, high] = bits.doubles();
            [low, high, 0, 0]
        }
    }
}

/// Numbers that are computed at once.
struct Step<'a> {
    range: &'a Range,
    control: u32,
    unmasked: u32,
    raised: u32,
}

impl Step<'_> {
    /// Computes one number and gathers its exceptions.
    fn compute(&mut self, kind: Kind, a: u64, b: u64) -> u64 {
        let single = self.range.single;
        // SAFETY: these are stubs of SSE2 instructions, and careful MXCSR values mask
        // all exceptions.
        let (result, mut raised) =
            unsafe { call_stub_under(stub(kind, single), low(a), low(b), self.control) };
        let result = Bits128::from(result);
        let (value, tiny) = if single || kind == Kind::ToSingle {
            let value = result.singles()[0];
            (u64::from(value), f32::from_bits(value).is_subnormal())
        } else {
            let value = result.doubles()[0];
            (value, f64::from_bits(value).is_subnormal())
        };
        if tiny && self.unmasked & mxcsr::UNDERFLOW != 0 {
            raised |= mxcsr::UNDERFLOW;
        }
        if raised & self.unmasked & (mxcsr::OVERFLOW | mxcsr::UNDERFLOW) != 0 {
            raised &= !mxcsr::INEXACT;
            if inexact(kind, single, a, b, self.control) {
                raised |= mxcsr::INEXACT;
            }
        }
        self.raised |= raised;
        value
    }

    /// Records the exceptions that the step raised.
    fn finish(&mut self, cpu: &mut Cpu) -> Result<(), Stop> {
        cpu.note_float_exceptions(std::mem::take(&mut self.raised))
    }
}

/// Whether the result is inexact if its exponent may be anything.
fn inexact(kind: Kind, single: bool, a: u64, b: u64, control: u32) -> bool {
    /// Precision control of doubles; singles have zero.
    const DOUBLE: u16 = 2 << 8;
    const ALL_MASKED: u16 = 0x7f;
    const INEXACT: u16 = 1 << 5;
    let numbers = [a, b, 1.0_f64.to_bits()].map(|bits| {
        let (tiny, sign) = if single {
            (f32::from_bits(bits as u32).is_subnormal(), bits & 1 << 31)
        } else {
            (f64::from_bits(bits).is_subnormal(), bits & 1 << 63)
        };
        if tiny && control & mxcsr::DENORMALS_ARE_ZEROS != 0 {
            sign
        } else {
            bits
        }
    });
    let precision = if single || kind == Kind::ToSingle {
        0
    } else {
        DOUBLE
    };
    let rounding = (control >> mxcsr::ROUNDING_SHIFT & 3) as u16;
    let mut words = [ALL_MASKED | precision | rounding << 10, 0];
    macro_rules! compute {
        ($size:literal, $first:literal, $text:literal) => {
            // SAFETY: leaves the x87 stack empty, and its control word and flags as the
            // ABI has them.
            unsafe {
                asm!(
                    "fnstcw [{w} + 2]",
                    "fldcw [{w}]",
                    concat!("fld ", $size, " ptr [{n} + ", $first, "]"),
                    concat!($text, " ", $size, " ptr [{n} + ", $first, " + 8]"),
                    "fstp st(0)",
                    "fnstsw [{w}]",
                    "fnclex",
                    "fldcw [{w} + 2]",
                    n = in(reg) numbers.as_ptr(),
                    w = in(reg) words.as_mut_ptr(),
                    out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                    out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
                    options(nostack),
                )
            }
        };
    }
    match (kind, single) {
        (Kind::Add, true) => compute!("dword", "0", "fadd"),
        (Kind::Sub, true) => compute!("dword", "0", "fsub"),
        (Kind::Mul, true) => compute!("dword", "0", "fmul"),
        (Kind::Div, true) => compute!("dword", "0", "fdiv"),
        (Kind::Add, false) => compute!("qword", "0", "fadd"),
        (Kind::Sub, false) => compute!("qword", "0", "fsub"),
        (Kind::Mul, false) => compute!("qword", "0", "fmul"),
        (Kind::Div, false) => compute!("qword", "0", "fdiv"),
        // Multiplied by one.
        (Kind::ToSingle, _) => compute!("qword", "8", "fmul"),
    }
    words[0] & INEXACT != 0
}

/// The address of the host's code for the operation.
fn stub(kind: Kind, single: bool) -> u64 {
    macro_rules! stubs {
        ($($text:literal)*) => {
            [$({
                #[unsafe(naked)]
                unsafe extern "C" fn stub() {
                    std::arch::naked_asm!(concat!($text, " xmm0, xmm1"), "ret")
                }
                stub as unsafe extern "C" fn()
            },)*]
        };
    }
    let [singles, doubles] = [
        stubs!("addss" "subss" "mulss" "divss" "cvtsd2ss"),
        stubs!("addsd" "subsd" "mulsd" "divsd" "cvtsd2ss"),
    ];
    let stubs = if single { singles } else { doubles };
    stubs[kind as usize] as *const () as u64
}
