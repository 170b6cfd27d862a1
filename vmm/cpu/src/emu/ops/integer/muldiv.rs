//! Multiplication and division: `mul imul div idiv`.

use std::marker::PhantomData;

use iced_x86::{Instruction, OpKind};

use crate::emu::arithmetic::value::Int;
use crate::emu::cpu::access::Access;
use crate::emu::cpu::{Cpu, Handler, Op};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::lower::{Binary, UnaryForms, lower_into_register, lower_unary};
use crate::emu::engine::operand::{Dst, General, Mem, Src, SrcReg, gpr_slot, immediate};
use crate::emu::engine::{Instr, OnMemory, fast};
use crate::emu::state::exception::{Exception, Stop};
use crate::emu::state::registers::Slot;

/// The two halves of a double-width value: ah and al for bytes, else rdx and rax.
fn wide_halves<T: Int>() -> (Slot, Slot) {
    if T::BITS == 8 {
        (Slot::AH, Slot::RAX)
    } else {
        (Slot::RDX, Slot::RAX)
    }
}

/// `mul src` and, if `SIGNED`, `imul src`.
struct Mul<T, S, const SIGNED: bool>(PhantomData<(T, S)>);

impl<T: Int, S: Src<T>, const SIGNED: bool> OnMemory for Mul<T, S, SIGNED> {
    type Slow = Mul<T, S::Slow, SIGNED>;
}

impl<T: Int, S: Src<T>, const SIGNED: bool> Instr for Mul<T, S, SIGNED> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let b = S::get::<M>(cpu, op)?;
        let (high, low) = wide_halves::<T>();
        let a = cpu.regs.get::<T>(low);
        // SAFETY: multiplications do not fault.
        let (l, h, flags) = unsafe {
            if SIGNED {
                T::imul_wide(T::ZERO, a, b, cpu.regs.flags)
            } else {
                T::mul_wide(T::ZERO, a, b, cpu.regs.flags)
            }
        };
        cpu.regs.flags = flags;
        cpu.regs.set(low, l);
        cpu.regs.set(high, h);
        Ok(())
    }
}

/// `div src` and, if `SIGNED`, `idiv src`.
struct Div<T, S, const SIGNED: bool>(PhantomData<(T, S)>);

impl<T: Int, S: Src<T>, const SIGNED: bool> OnMemory for Div<T, S, SIGNED> {
    type Slow = Div<T, S::Slow, SIGNED>;
}

impl<T: Int, S: Src<T>, const SIGNED: bool> Instr for Div<T, S, SIGNED> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let divisor = S::get::<M>(cpu, op)?;
        let (high, low) = wide_halves::<T>();
        let (h, l) = (cpu.regs.get::<T>(high), cpu.regs.get::<T>(low));
        let fits = if SIGNED {
            signed_fits(h, l, divisor)
        } else {
            h < divisor
        };
        if !fits {
            return Err(Exception::DE.into());
        }
        let (quotient, remainder, flags) = if SIGNED {
            // SAFETY: the divisor is not zero and the quotient fits.
            unsafe { T::idiv_wide(h, l, divisor, cpu.regs.flags) }
        } else {
            // SAFETY: as above.
            unsafe { T::div_wide(h, l, divisor, cpu.regs.flags) }
        };
        cpu.regs.flags = flags;
        cpu.regs.set(low, quotient);
        cpu.regs.set(high, remainder);
        Ok(())
    }
}

/// Whether a signed division has a quotient of the divisor's width.
#[inline(always)]
fn signed_fits<T: Int>(high: T, low: T, divisor: T) -> bool {
    let (h, l) = (high.sign_extend() as i64, low.sign_extend() as i64);
    let d = divisor.sign_extend() as i64;
    if h == l >> 63 && d != 0 && d != -1 {
        // The dividend has the divisor's width already.
        return true;
    }
    let dividend = i128::from(h) << T::BITS | low.zero_extend() as i128;
    let Some(quotient) = dividend.checked_div(i128::from(d)) else {
        return false;
    };
    let limit = 1_i128 << (T::BITS - 1);
    (-limit..limit).contains(&quotient)
}

struct WideFamily<const SIGNED: bool>;

impl<const SIGNED: bool> UnaryForms for WideFamily<SIGNED> {
    const ON_MEMORY: bool = false;
    type Form<T: Int, const F: bool, D: Dst<T>> = Mul<T, D, SIGNED>;
}

struct DivFamily<const SIGNED: bool>;

impl<const SIGNED: bool> UnaryForms for DivFamily<SIGNED> {
    const ON_MEMORY: bool = false;
    type Form<T: Int, const F: bool, D: Dst<T>> = Div<T, D, SIGNED>;
}

/// `imul dst, src`.
struct Imul<T, const F: bool, S>(PhantomData<(T, S)>);

impl<T: Int, const F: bool, S: Src<T>> OnMemory for Imul<T, F, S> {
    type Slow = Imul<T, true, S::Slow>;
}

impl<T: Int, const F: bool, S: Src<T>> Instr for Imul<T, F, S> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let b = S::get::<M>(cpu, op)?;
        product::<T, F>(cpu, op, cpu.regs.get::<T>(op.dst), b);
        Ok(())
    }
}

struct ImulFamily;

impl Binary for ImulFamily {
    const ON_MEMORY: bool = false;
    type Form<T: Int, const F: bool, D: Dst<T>, S: Src<T>> = Imul<T, F, S>;
}

/// `imul dst, src, imm`.
struct ImulBy<T, const F: bool, S>(PhantomData<(T, S)>);

impl<T: Int, const F: bool, S: Src<T>> Instr for ImulBy<T, F, S> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let a = S::get::<M>(cpu, op)?;
        product::<T, F>(cpu, op, a, T::truncate(op.imm.get()));
        Ok(())
    }
}

#[inline(always)]
fn product<T: Int, const F: bool>(cpu: &mut Cpu, op: &Op, a: T, b: T) {
    if F {
        // SAFETY: multiplications do not fault.
        let (low, _, flags) = unsafe { T::imul_wide(T::ZERO, a, b, cpu.regs.flags) };
        cpu.regs.flags = flags;
        cpu.regs.set(op.dst, low);
    } else {
        cpu.regs.set(
            op.dst,
            T::truncate(a.zero_extend().wrapping_mul(b.zero_extend())),
        );
    }
}

fn lower_imul_by<T: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.handler = if site.flags_live {
        imul_by::<T, true>(site, insn, op)
    } else {
        imul_by::<T, false>(site, insn, op)
    };
    op.dst = gpr_slot(insn.op0_register());
    op.imm.set(immediate(insn, 2));
}

fn imul_by<T: Int, const F: bool>(site: &Site, insn: &Instruction, op: &mut Op) -> Handler {
    if insn.op1_kind() == OpKind::Register {
        op.src = gpr_slot(insn.op1_register());
        fast::<ImulBy<T, F, SrcReg>>
    } else {
        op.set_memory(site, insn);
        fast::<ImulBy<T, F, Mem<General>>>
    }
}

pub const FORMS: &[Form] = forms! {
    next [lower_unary::<WideFamily<false>>]: Mul_rm8 Mul_rm16 Mul_rm32 Mul_rm64;
    next [lower_unary::<WideFamily<true>>]: Imul_rm8 Imul_rm16 Imul_rm32 Imul_rm64;
    next [lower_unary::<DivFamily<false>>]: Div_rm8 Div_rm16 Div_rm32 Div_rm64;
    next [lower_unary::<DivFamily<true>>]: Idiv_rm8 Idiv_rm16 Idiv_rm32 Idiv_rm64;
    next [lower_into_register::<ImulFamily>]: Imul_r16_rm16 Imul_r32_rm32 Imul_r64_rm64;
    next [lower_imul_by::<u16>]: Imul_r16_rm16_imm16 Imul_r16_rm16_imm8;
    next [lower_imul_by::<u32>]: Imul_r32_rm32_imm32 Imul_r32_rm32_imm8;
    next [lower_imul_by::<u64>]: Imul_r64_rm64_imm32 Imul_r64_rm64_imm8;
};
