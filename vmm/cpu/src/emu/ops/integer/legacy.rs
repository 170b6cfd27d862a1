//! Instructions that 64-bit code does not have: `daa das aaa aas aam aad bound arpl`. Flags
//! that the manuals leave undefined are as processors have them.

use std::marker::PhantomData;

use iced_x86::{Instruction, OpKind};
use x86::vector;

use crate::emu::arithmetic::flags::bit;
use crate::emu::arithmetic::host::Arith;
use crate::emu::arithmetic::value::Int;
use crate::emu::cpu::access::Access;
use crate::emu::cpu::{Cpu, Op};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::operand::{Dst, DstReg, Ea, General, Mem, gpr_slot, immediate};
use crate::emu::engine::{Instr, slow};
use crate::emu::state::exception::{Exception, Stop};
use crate::emu::state::registers::Slot;
use crate::emu::state::segment::rpl;

/// Sets the flags for `al` as logical instructions do, then CF and AF.
fn set_flags(cpu: &mut Cpu, al: u8, carry: bool, auxiliary: bool) {
    let (_, flags) = u8::and(al, al, cpu.regs.flags);
    cpu.regs.flags = flags.with(bit::CF, carry).with(bit::AF, auxiliary);
}

/// Whether the low digit of `al` needs correction.
fn needs_correction(cpu: &Cpu, al: u8) -> bool {
    al & 0xf > 9 || cpu.regs.flags.has(bit::AF)
}

/// `daa`, and `das` if `SUB`: corrects the packed decimal digits in al.
struct CorrectPacked<const SUB: bool>;

impl<const SUB: bool> Instr for CorrectPacked<SUB> {
    fn exec<M: Access>(cpu: &mut Cpu, _: &Op) -> Result<(), Stop> {
        let old: u8 = cpu.regs.get(Slot::RAX);
        let (low, high) = (
            needs_correction(cpu, old),
            old > 0x99 || cpu.regs.flags.has(bit::CF),
        );
        let by = if low { 6 } else { 0 } + if high { 0x60 } else { 0 };
        let (new, borrows) = if SUB {
            (old.wrapping_sub(by), low && old < 6)
        } else {
            (old.wrapping_add(by), false)
        };
        cpu.regs.set(Slot::RAX, new);
        set_flags(cpu, new, high || borrows, low);
        Ok(())
    }
}

/// `aaa`, and `aas` if `SUB`: corrects the decimal digit in al, with the next one in ah.
struct CorrectDigit<const SUB: bool>;

impl<const SUB: bool> Instr for CorrectDigit<SUB> {
    fn exec<M: Access>(cpu: &mut Cpu, _: &Op) -> Result<(), Stop> {
        let old: u16 = cpu.regs.get(Slot::RAX);
        let corrects = needs_correction(cpu, old as u8);
        let by = if corrects { 0x106 } else { 0 };
        let new = if SUB {
            old.wrapping_sub(by)
        } else {
            old.wrapping_add(by)
        };
        let new = new & 0xff0f;
        cpu.regs.set(Slot::RAX, new);
        set_flags(cpu, new as u8, corrects, corrects);
        Ok(())
    }
}

/// `aam`: al becomes digits to the base of the immediate.
struct SplitDigits;

impl Instr for SplitDigits {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let (al, base): (u8, _) = (cpu.regs.get(Slot::RAX), op.imm.get() as u8);
        let (Some(high), Some(low)) = (al.checked_div(base), al.checked_rem(base)) else {
            return Err(Exception::DE.into());
        };
        cpu.regs.set(Slot::AH, high);
        cpu.regs.set(Slot::RAX, low);
        set_flags(cpu, low, false, false);
        Ok(())
    }
}

/// `aad`: the reverse. The flags are those of the addition.
struct JoinDigits;

impl Instr for JoinDigits {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let (low, high): (u8, u8) = (cpu.regs.get(Slot::RAX), cpu.regs.get(Slot::AH));
        let high = high.wrapping_mul(op.imm.get() as u8);
        let (al, flags) = u8::add(low, high, cpu.regs.flags);
        cpu.regs.set(Slot::RAX, u16::from(al));
        cpu.regs.flags = flags;
        Ok(())
    }
}

/// Lowers what works on ax alone; the immediate is the base.
fn lower_decimal<I: Instr>(_: &Site, insn: &Instruction, op: &mut Op) {
    op.imm.set(immediate(insn, 0));
    op.handler = slow::<I>;
}

/// `bound`: #BR if the signed register is not within the two bounds in memory.
struct Bound<T>(PhantomData<T>);

impl<T: Int> Instr for Bound<T> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let at = General::linear(cpu, op, 2 * T::SIZE, false)?;
        let signed = |value: T| value.sign_extend() as i64;
        let lower = signed(M::load(cpu, at)?);
        let upper = signed(M::load(cpu, at.add(T::SIZE))?);
        if (lower..=upper).contains(&signed(cpu.regs.get(op.dst))) {
            Ok(())
        } else {
            Err(Exception::plain(vector::BR).into())
        }
    }
}

fn lower_bound<T: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.dst = gpr_slot(insn.op0_register());
    op.set_memory(site, insn);
    op.handler = slow::<Bound<T>>;
}

/// `arpl dst, src`: raises the RPL of selector `dst` to that of `src`.
struct RaiseRpl<D>(PhantomData<D>);

impl<D: Dst<u16>> Instr for RaiseRpl<D> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        cpu.control.protected()?;
        let wanted: u16 = cpu.regs.get(op.src);
        let old = D::get::<M>(cpu, op)?;
        let raises = rpl(old) < rpl(wanted);
        if raises {
            D::set::<M>(cpu, op, old & !3 | wanted & 3)?;
        }
        cpu.regs.flags = cpu.regs.flags.with(bit::ZF, raises);
        Ok(())
    }
}

fn lower_arpl(site: &Site, insn: &Instruction, op: &mut Op) {
    op.src = gpr_slot(insn.op1_register());
    op.handler = if insn.op0_kind() == OpKind::Register {
        op.dst = gpr_slot(insn.op0_register());
        slow::<RaiseRpl<DstReg>>
    } else {
        op.set_memory(site, insn);
        slow::<RaiseRpl<Mem<General>>>
    };
}

pub const FORMS: &[Form] = forms! {
    next [lower_decimal::<CorrectPacked<false>>]: Daa;
    next [lower_decimal::<CorrectPacked<true>>]: Das;
    next [lower_decimal::<CorrectDigit<false>>]: Aaa;
    next [lower_decimal::<CorrectDigit<true>>]: Aas;
    next [lower_decimal::<SplitDigits>]: Aam_imm8;
    next [lower_decimal::<JoinDigits>]: Aad_imm8;
    next [lower_bound::<u16>]: Bound_r16_m1616;
    next [lower_bound::<u32>]: Bound_r32_m3232;
    next [lower_arpl]: Arpl_rm16_r16 Arpl_r32m16_r32;
};
