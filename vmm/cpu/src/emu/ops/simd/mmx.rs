//! Moves from, to and between MMX registers, their elements, and `emms`.
//!
//! MMX registers are the x87 registers. Every instruction on them waits for exceptions
//! that are pending, and makes all x87 registers valid and the top of their stack 0.

use std::marker::PhantomData;

use iced_x86::{Instruction, OpKind, Register};

use crate::emu::arithmetic::value::Int;
use crate::emu::cpu::access::Access;
use crate::emu::cpu::{Cpu, Op};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::operand::{
    Dst, DstReg, Ea, General, Mem, Src, SrcReg, gpr_slot, immediate,
};
use crate::emu::engine::{Instr, fast, slow};
use crate::emu::ops::simd::sse_element::{masked_store, set_rdi_memory};
use crate::emu::state::exception::Stop;
use crate::emu::state::registers::Slot;

/// The slot of an MMX register: its number.
pub fn mm_slot(register: Register) -> Slot {
    Slot(register.number() as u8)
}

/// The MMX register in `dst`.
struct DstMm;

/// A place to which an MMX instruction writes a `T`.
trait Place<T>: 'static {
    fn put<M: Access>(cpu: &mut Cpu, op: &Op, value: T) -> Result<(), Stop>;
}

impl<T: Int> Place<T> for DstMm {
    #[inline(always)]
    fn put<M: Access>(cpu: &mut Cpu, op: &Op, value: T) -> Result<(), Stop> {
        cpu.regs
            .x87
            .set_mmx(usize::from(op.dst.0), value.zero_extend());
        Ok(())
    }
}

impl<T: Int> Place<T> for DstReg {
    #[inline(always)]
    fn put<M: Access>(cpu: &mut Cpu, op: &Op, value: T) -> Result<(), Stop> {
        cpu.regs.set(op.dst, value);
        Ok(())
    }
}

impl<T: Int, E: Ea> Place<T> for Mem<E> {
    #[inline(always)]
    fn put<M: Access>(cpu: &mut Cpu, op: &Op, value: T) -> Result<(), Stop> {
        <Self as Dst<T>>::set::<M>(cpu, op, value)
    }
}

/// `dst = src`, a `T`, zero-extended.
struct Move<T, D, S>(PhantomData<(T, D, S)>);

impl<T: Int, D: Place<T>, S: Src<T>> Instr for Move<T, D, S> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        cpu.check_x87()?;
        let value = S::get::<M>(cpu, op)?;
        D::put::<M>(cpu, op, value)?;
        cpu.regs.x87.begin_mmx();
        Ok(())
    }
}

/// The MMX register in `src`, or the low part of it.
pub struct SrcMm;

impl<T: Int> Src<T> for SrcMm {
    type Slow = Self;
    #[inline(always)]
    fn get<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<T, Stop> {
        Ok(T::truncate(cpu.regs.x87.mmx(usize::from(op.src.0))))
    }
}

/// Loads from a general register or memory, and moves between MMX registers.
fn lower_load<T: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.dst = mm_slot(insn.op0_register());
    op.handler = if insn.op1_kind() != OpKind::Register {
        op.set_memory(site, insn);
        fast::<Move<T, DstMm, Mem<General>>>
    } else if insn.op1_register().is_mm() {
        op.src = mm_slot(insn.op1_register());
        fast::<Move<T, DstMm, SrcMm>>
    } else {
        op.src = gpr_slot(insn.op1_register());
        fast::<Move<T, DstMm, SrcReg>>
    };
}

/// Stores to a general register or memory.
fn lower_store<T: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.src = mm_slot(insn.op1_register());
    op.handler = if insn.op0_kind() != OpKind::Register {
        op.set_memory(site, insn);
        fast::<Move<T, Mem<General>, SrcMm>>
    } else if insn.op0_register().is_mm() {
        op.dst = mm_slot(insn.op0_register());
        fast::<Move<T, DstMm, SrcMm>>
    } else {
        op.dst = gpr_slot(insn.op0_register());
        fast::<Move<T, DstReg, SrcMm>>
    };
}

/// `pinsrw`.
struct Insert<S>(PhantomData<S>);

impl<S: Src<u16>> Instr for Insert<S> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        cpu.check_x87()?;
        let value = u64::from(S::get::<M>(cpu, op)?);
        let number = usize::from(op.dst.0);
        let shift = (op.imm.get() & 3) * 16;
        let rest = cpu.regs.x87.mmx(number) & !(0xffff << shift);
        cpu.regs.x87.set_mmx(number, rest | value << shift);
        cpu.regs.x87.begin_mmx();
        Ok(())
    }
}

fn lower_insert(site: &Site, insn: &Instruction, op: &mut Op) {
    op.dst = mm_slot(insn.op0_register());
    op.imm.set(immediate(insn, 2));
    op.handler = if insn.op1_kind() == OpKind::Register {
        op.src = gpr_slot(insn.op1_register());
        fast::<Insert<SrcReg>>
    } else {
        op.set_memory(site, insn);
        fast::<Insert<Mem<General>>>
    };
}

/// What `pextrw` and `pmovmskb` make of an MMX register, for a general one.
struct ToGeneral<const SIGNS: bool>;

impl<const SIGNS: bool> Instr for ToGeneral<SIGNS> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        cpu.check_x87()?;
        let value = cpu.regs.x87.mmx(usize::from(op.src.0));
        let result = if SIGNS {
            value
                .to_le_bytes()
                .iter()
                .enumerate()
                .fold(0, |mask, (i, byte)| mask | u64::from(byte >> 7) << i)
        } else {
            value >> ((op.imm.get() & 3) * 16) & 0xffff
        };
        cpu.regs.gprs.write(op.dst, result);
        cpu.regs.x87.begin_mmx();
        Ok(())
    }
}

fn lower_to_general<const SIGNS: bool>(_: &Site, insn: &Instruction, op: &mut Op) {
    op.dst = gpr_slot(insn.op0_register());
    op.src = mm_slot(insn.op1_register());
    op.imm.set(immediate(insn, 2));
    op.handler = fast::<ToGeneral<SIGNS>>;
}

/// `maskmovq`.
struct MaskMove;

impl Instr for MaskMove {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        cpu.check_x87()?;
        let value = cpu.regs.x87.mmx(usize::from(op.dst.0)).to_le_bytes();
        let mask = cpu.regs.x87.mmx(usize::from(op.src.0)).to_le_bytes();
        masked_store::<M>(cpu, op, &value, &mask)?;
        cpu.regs.x87.begin_mmx();
        Ok(())
    }
}

fn lower_mask_move(site: &Site, insn: &Instruction, op: &mut Op) {
    op.dst = mm_slot(insn.op1_register());
    op.src = mm_slot(insn.op2_register());
    set_rdi_memory(site, insn, op);
    op.handler = slow::<MaskMove>;
}

/// `emms`.
struct Emms;

impl Instr for Emms {
    fn exec<M: Access>(cpu: &mut Cpu, _: &Op) -> Result<(), Stop> {
        cpu.check_x87()?;
        cpu.regs.x87.begin_mmx();
        cpu.regs.x87.full = 0;
        Ok(())
    }
}

fn lower_emms(_: &Site, _: &Instruction, op: &mut Op) {
    op.handler = fast::<Emms>;
}

pub const FORMS: &[Form] = forms! {
    next [lower_load::<u32>]: Movd_mm_rm32;
    next [lower_load::<u64>]: Movq_mm_rm64 Movq_mm_mmm64;
    next [lower_store::<u32>]: Movd_rm32_mm;
    next [lower_store::<u64>]: Movq_rm64_mm Movq_mmm64_mm Movntq_m64_mm;
    next [lower_insert]: Pinsrw_mm_r32m16_imm8 Pinsrw_mm_r64m16_imm8;
    next [lower_to_general::<false>]: Pextrw_r32_mm_imm8 Pextrw_r64_mm_imm8;
    next [lower_to_general::<true>]: Pmovmskb_r32_mm Pmovmskb_r64_mm;
    next [lower_mask_move]: Maskmovq_rDI_mm_mm;
    next [lower_emms]: Emms;
};
