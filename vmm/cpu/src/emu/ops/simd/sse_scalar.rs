//! Between floating point and general registers or flags: `cvtsi2ss cvtsi2sd cvtss2si
//! cvtsd2si cvttss2si cvttsd2si comiss comisd ucomiss ucomisd`.
//!
//! Each is one piece of assembly, and another that loads the guest's MXCSR around it.

use std::arch::asm;
use std::arch::x86_64::__m128i;
use std::marker::PhantomData;

use iced_x86::{Instruction, OpKind};

use crate::emu::arithmetic::flags::Flags;
use crate::emu::arithmetic::value::Int;
use crate::emu::cpu::access::Access;
use crate::emu::cpu::{Cpu, Handler, Op};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::operand::{General, Mem, Src, SrcReg, SrcXmm, gpr_slot, xmm_slot};
use crate::emu::engine::{Instr, OnMemory, fast, slow};
use crate::emu::ops::simd::sse::{Family, LowMem, Source, leave_to_slow, source_form};
use crate::emu::state::exception::Stop;
use crate::emu::state::mxcsr;

/// Executes `$text`, or, if `$careful`, under the guest's MXCSR, whose exceptions are then
/// recorded. The operands are those of `asm!`.
macro_rules! arithmetic {
    ($careful:expr, $cpu:expr, [$($text:expr),*], $($operands:tt)*) => {
        if $careful {
            let mut registers = [$cpu.regs.careful_mxcsr(), 0];
            // SAFETY: computes on registers only; the guest's MXCSR masks all
            // exceptions, and the host's own is saved and restored.
            unsafe {
                asm!(
                    "stmxcsr [{m} + 4]",
                    "ldmxcsr [{m}]",
                    $($text,)*
                    "stmxcsr [{m}]",
                    "ldmxcsr [{m} + 4]",
                    m = in(reg) registers.as_mut_ptr(),
                    $($operands)*
                    options(nostack),
                );
            }
            $cpu.note_masked_exceptions(registers[0] & mxcsr::FLAGS)?;
        } else {
            // SAFETY: computes on registers only, and may set exception flags in MXCSR.
            unsafe { asm!($($text,)* $($operands)* options(nomem, nostack)) };
        }
    };
}

/// An integer to floating point.
trait FromInt: 'static {
    fn apply<const CAREFUL: bool>(cpu: &mut Cpu, a: __m128i, value: u64) -> Result<__m128i, Stop>;
}

/// Floating point to an integer.
trait ToInt: 'static {
    fn apply<const CAREFUL: bool>(cpu: &mut Cpu, value: __m128i) -> Result<u64, Stop>;
}

/// A comparison.
trait Compare: 'static {
    fn apply<const CAREFUL: bool>(cpu: &mut Cpu, a: __m128i, b: __m128i) -> Result<Flags, Stop>;
}

macro_rules! conversions {
    (from { $($from:ident $from_text:literal)* } to { $($to:ident $to_text:literal)* }
     compare { $($compare:ident $compare_text:literal)* }) => {
        $(
            struct $from;
            impl FromInt for $from {
                #[inline(always)]
                fn apply<const CAREFUL: bool>(
                    cpu: &mut Cpu,
                    mut a: __m128i,
                    value: u64,
                ) -> Result<__m128i, Stop> {
                    arithmetic!(CAREFUL, cpu, [concat!($from_text, "")],
                        a = inout(xmm_reg) a, value = in(reg) value,);
                    Ok(a)
                }
            }
        )*
        $(
            struct $to;
            impl ToInt for $to {
                #[inline(always)]
                fn apply<const CAREFUL: bool>(cpu: &mut Cpu, value: __m128i) -> Result<u64, Stop> {
                    let result: u64;
                    arithmetic!(CAREFUL, cpu, [concat!($to_text, "")],
                        result = out(reg) result, value = in(xmm_reg) value,);
                    Ok(result)
                }
            }
        )*
        $(
            struct $compare;
            impl Compare for $compare {
                #[inline(always)]
                fn apply<const CAREFUL: bool>(
                    cpu: &mut Cpu,
                    a: __m128i,
                    b: __m128i,
                ) -> Result<Flags, Stop> {
                    let flags: u64;
                    arithmetic!(CAREFUL, cpu, [concat!($compare_text, " {a}, {b}"), "lahf", "seto al"],
                        a = in(xmm_reg) a, b = in(xmm_reg) b, out("rax") flags,);
                    Ok(Flags(flags as u16))
                }
            }
        )*
    };
}

conversions! {
    from {
        Cvtsi2ss32 "cvtsi2ss {a}, {value:e}"
        Cvtsi2ss64 "cvtsi2ss {a}, {value:r}"
        Cvtsi2sd32 "cvtsi2sd {a}, {value:e}"
        Cvtsi2sd64 "cvtsi2sd {a}, {value:r}"
    }
    to {
        Cvtss2si32 "cvtss2si {result:e}, {value}"
        Cvtss2si64 "cvtss2si {result:r}, {value}"
        Cvtsd2si32 "cvtsd2si {result:e}, {value}"
        Cvtsd2si64 "cvtsd2si {result:r}, {value}"
        Cvttss2si32 "cvttss2si {result:e}, {value}"
        Cvttss2si64 "cvttss2si {result:r}, {value}"
        Cvttsd2si32 "cvttsd2si {result:e}, {value}"
        Cvttsd2si64 "cvttsd2si {result:r}, {value}"
    }
    compare {
        Ucomiss "ucomiss"
        Ucomisd "ucomisd"
        Comiss "comiss"
        Comisd "comisd"
    }
}

/// `cvtsi2ss` and `cvtsi2sd`.
struct Float<O, T, S, const CAREFUL: bool>(PhantomData<(O, T, S)>);

impl<O: FromInt, T: Int, S: Src<T>, const CAREFUL: bool> Instr for Float<O, T, S, CAREFUL> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let value = S::get::<M>(cpu, op)?.zero_extend();
        let a = cpu.regs.xmms.read(op.dst);
        let result = O::apply::<CAREFUL>(cpu, a, value)?;
        cpu.regs.xmms.write(op.dst, result);
        Ok(())
    }
}

fn lower_float<O: FromInt, T: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.dst = xmm_slot(insn.op0_register());
    op.handler = if insn.op1_kind() == OpKind::Register {
        op.src = gpr_slot(insn.op1_register());
        float_handler::<O, T, SrcReg>(site)
    } else {
        op.set_memory(site, insn);
        float_handler::<O, T, Mem<General>>(site)
    };
}

fn float_handler<O: FromInt, T: Int, S: Src<T>>(site: &Site) -> Handler {
    if site.fp.careful() {
        slow::<Float<O, T, S, true>>
    } else {
        fast::<Float<O, T, S, false>>
    }
}

/// `cvt[t]ss2si` and `cvt[t]sd2si`. 32-bit results come zero-extended.
struct Integer<O, S, const CAREFUL: bool>(PhantomData<(O, S)>);

impl<O: ToInt, S: Src<__m128i>, const CAREFUL: bool> Instr for Integer<O, S, CAREFUL> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let value = S::get::<M>(cpu, op)?;
        let result = O::apply::<CAREFUL>(cpu, value)?;
        cpu.regs.gprs.write(op.dst, result);
        Ok(())
    }
}

fn lower_integer<O: ToInt, T: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.dst = gpr_slot(insn.op0_register());
    op.handler = if insn.op1_kind() == OpKind::Register {
        op.src = xmm_slot(insn.op1_register());
        integer_handler::<O, SrcXmm>(site)
    } else {
        op.set_memory(site, insn);
        integer_handler::<O, LowMem<T, General>>(site)
    };
}

fn integer_handler<O: ToInt, S: Src<__m128i>>(site: &Site) -> Handler {
    if site.fp.careful() {
        slow::<Integer<O, S, true>>
    } else {
        fast::<Integer<O, S, false>>
    }
}

/// `ucomiss ucomisd comiss comisd`: they set all arithmetic flags.
struct CompareFlags<O, S, const CAREFUL: bool>(PhantomData<(O, S)>);

impl<O: Compare, S: Src<__m128i>, const CAREFUL: bool> OnMemory for CompareFlags<O, S, CAREFUL> {
    type Slow = CompareFlags<O, S::Slow, CAREFUL>;
}

impl<O: Compare, S: Src<__m128i>, const CAREFUL: bool> Instr for CompareFlags<O, S, CAREFUL> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        if CAREFUL {
            leave_to_slow::<M>()?;
        }
        let b = S::get::<M>(cpu, op)?;
        let a = cpu.regs.xmms.read(op.dst);
        cpu.regs.flags = O::apply::<CAREFUL>(cpu, a, b)?;
        Ok(())
    }
}

struct CompareFamily<O, const CAREFUL: bool>(PhantomData<O>);
impl<O: Compare, const CAREFUL: bool> Family for CompareFamily<O, CAREFUL> {
    type Form<S: Src<__m128i>> = CompareFlags<O, S, CAREFUL>;
}

fn lower_compare<O: Compare>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.dst = xmm_slot(insn.op0_register());
    let source = match insn.memory_size().size() {
        4 => Source::Low32,
        _ => Source::Low64,
    };
    op.handler = if site.fp.careful() {
        source_form::<CompareFamily<O, true>>(site, insn, op, source)
    } else {
        source_form::<CompareFamily<O, false>>(site, insn, op, source)
    };
}

pub const FORMS: &[Form] = forms! {
    quiet_vector [lower_float::<Cvtsi2ss32, u32>]: Cvtsi2ss_xmm_rm32;
    quiet_vector [lower_float::<Cvtsi2ss64, u64>]: Cvtsi2ss_xmm_rm64;
    quiet_vector [lower_float::<Cvtsi2sd32, u32>]: Cvtsi2sd_xmm_rm32;
    quiet_vector [lower_float::<Cvtsi2sd64, u64>]: Cvtsi2sd_xmm_rm64;
    quiet_vector [lower_integer::<Cvtss2si32, u32>]: Cvtss2si_r32_xmmm32;
    quiet_vector [lower_integer::<Cvtss2si64, u32>]: Cvtss2si_r64_xmmm32;
    quiet_vector [lower_integer::<Cvtsd2si32, u64>]: Cvtsd2si_r32_xmmm64;
    quiet_vector [lower_integer::<Cvtsd2si64, u64>]: Cvtsd2si_r64_xmmm64;
    quiet_vector [lower_integer::<Cvttss2si32, u32>]: Cvttss2si_r32_xmmm32;
    quiet_vector [lower_integer::<Cvttss2si64, u32>]: Cvttss2si_r64_xmmm32;
    quiet_vector [lower_integer::<Cvttsd2si32, u64>]: Cvttsd2si_r32_xmmm64;
    quiet_vector [lower_integer::<Cvttsd2si64, u64>]: Cvttsd2si_r64_xmmm64;
    quiet_vector [lower_compare::<Ucomiss>]: Ucomiss_xmm_xmmm32;
    quiet_vector [lower_compare::<Ucomisd>]: Ucomisd_xmm_xmmm64;
    quiet_vector [lower_compare::<Comiss>]: Comiss_xmm_xmmm32;
    quiet_vector [lower_compare::<Comisd>]: Comisd_xmm_xmmm64;
};
