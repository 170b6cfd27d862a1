//! Shifts and rotates: `shl shr sar rol ror rcl rcr shld shrd`.

use std::marker::PhantomData;

use iced_x86::{Instruction, OpKind};

use crate::emu::arithmetic::flags::Flags;
use crate::emu::arithmetic::value::Int;
use crate::emu::cpu::access::Access;
use crate::emu::cpu::{Cpu, Handler, Op};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::lower::{Binary, lower_binary};
use crate::emu::engine::operand::{Dst, DstReg, General, Mem, Src, gpr_slot, immediate};
use crate::emu::engine::{Instr, OnMemory, fast, sure};
use crate::emu::state::exception::Stop;
use crate::emu::state::registers::Slot;

/// A shift or rotate. Counts are not masked yet.
trait ShiftOp: 'static {
    fn full<T: Int>(a: T, count: u8, flags: Flags) -> (T, Flags);
    fn plain<T: Int>(a: T, count: u8, flags: Flags) -> T;
}

/// The count as the processor masks it.
#[inline(always)]
fn masked<T: Int>(count: u8) -> u32 {
    u32::from(count) & if T::BITS == 64 { 63 } else { 31 }
}

macro_rules! shifts {
    ($($name:ident, $host:ident, |$a:ident, $count:ident, $flags:ident| $plain:expr;)*) => {$(
        struct $name;
        impl ShiftOp for $name {
            #[inline(always)]
            fn full<T: Int>(a: T, count: u8, flags: Flags) -> (T, Flags) {
                T::$host(a, count, flags)
            }
            #[inline(always)]
            fn plain<T: Int>($a: T, $count: u8, $flags: Flags) -> T {
                $plain
            }
        }
    )*};
}

shifts! {
    Shl, shl, |a, count, _f| T::truncate(a.zero_extend() << masked::<T>(count));
    Shr, shr, |a, count, _f| T::truncate(a.zero_extend() >> masked::<T>(count));
    Sar, sar, |a, count, _f|
        T::truncate((a.sign_extend() as i64 >> masked::<T>(count)) as u64);
    Rol, rol, |a, count, _f| a.rotate_left(masked::<T>(count));
    Ror, ror, |a, count, _f| a.rotate_right(masked::<T>(count));
    Rcl, rcl, |a, count, f| T::rcl(a, count, f).0;
    Rcr, rcr, |a, count, f| T::rcr(a, count, f).0;
}

/// `op dst, count`: the count is an immediate or cl.
struct Shift<O, T, const F: bool, D, S>(PhantomData<(O, T, D, S)>);

impl<O: ShiftOp, T: Int, const F: bool, D: Dst<T>, S: Src<T>> OnMemory for Shift<O, T, F, D, S> {
    type Slow = Shift<O, T, true, D::SlowDst, S::Slow>;
}

impl<O: ShiftOp, T: Int, const F: bool, D: Dst<T>, S: Src<T>> Instr for Shift<O, T, F, D, S> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let count = S::get::<M>(cpu, op)?.zero_extend() as u8;
        let old = cpu.regs.flags;
        if F {
            cpu.regs.flags = D::update::<M, _>(cpu, op, |a| O::full(a, count, old))?;
        } else {
            D::update::<M, _>(cpu, op, |a| (O::plain(a, count, old), ()))?;
        }
        Ok(())
    }
}

struct ShiftFamily<O>(PhantomData<O>);

impl<O: ShiftOp> Binary for ShiftFamily<O> {
    const ON_MEMORY: bool = false;
    type Form<T: Int, const F: bool, D: Dst<T>, S: Src<T>> = Shift<O, T, F, D, S>;
    fn handler<T: Int, const F: bool, I: Instr>(_: &Site) -> Handler {
        sure::<I>
    }
}

/// The direction of a double shift.
trait DoubleOp: 'static {
    fn full<T: Int>(a: T, b: T, count: u8, flags: Flags) -> (T, Flags);
}

struct Shld;
impl DoubleOp for Shld {
    #[inline(always)]
    fn full<T: Int>(a: T, b: T, count: u8, flags: Flags) -> (T, Flags) {
        T::shld(a, b, count, flags)
    }
}

struct Shrd;
impl DoubleOp for Shrd {
    #[inline(always)]
    fn full<T: Int>(a: T, b: T, count: u8, flags: Flags) -> (T, Flags) {
        T::shrd(a, b, count, flags)
    }
}

/// `shld` and `shrd`: the count is an immediate or, if `CL`, in cl.
struct Double<O, T, D, const CL: bool>(PhantomData<(O, T, D)>);

impl<O: DoubleOp, T: Int, D: Dst<T>, const CL: bool> Instr for Double<O, T, D, CL> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let count = if CL {
            cpu.regs.gprs.read(Slot::RCX)
        } else {
            op.imm.get() as u8
        };
        let (b, old) = (cpu.regs.get::<T>(op.src), cpu.regs.flags);
        cpu.regs.flags = D::update::<M, _>(cpu, op, |a| O::full(a, b, count, old))?;
        Ok(())
    }
}

fn lower_double<O: DoubleOp, T: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.handler = if insn.op2_kind() == OpKind::Register {
        double::<O, T, true>(site, insn, op)
    } else {
        op.imm.set(immediate(insn, 2));
        double::<O, T, false>(site, insn, op)
    };
}

fn double<O: DoubleOp, T: Int, const CL: bool>(
    site: &Site,
    insn: &Instruction,
    op: &mut Op,
) -> Handler {
    op.src = gpr_slot(insn.op1_register());
    if insn.op0_kind() == OpKind::Register {
        op.dst = gpr_slot(insn.op0_register());
        fast::<Double<O, T, DstReg, CL>>
    } else {
        op.set_memory(site, insn);
        fast::<Double<O, T, Mem<General>, CL>>
    }
}

pub const FORMS: &[Form] = forms! {
    quiet [lower_binary::<ShiftFamily<Shl>>]:
        Shl_rm8_imm8 Sal_rm8_imm8 Shl_rm16_imm8 Shl_rm32_imm8 Shl_rm64_imm8 Sal_rm16_imm8
        Sal_rm32_imm8 Sal_rm64_imm8 Shl_rm8_1 Sal_rm8_1 Shl_rm16_1 Shl_rm32_1 Shl_rm64_1
        Sal_rm16_1 Sal_rm32_1 Sal_rm64_1 Shl_rm8_CL Sal_rm8_CL Shl_rm16_CL Shl_rm32_CL
        Shl_rm64_CL Sal_rm16_CL Sal_rm32_CL Sal_rm64_CL;
    quiet [lower_binary::<ShiftFamily<Shr>>]:
        Shr_rm8_imm8 Shr_rm16_imm8 Shr_rm32_imm8 Shr_rm64_imm8 Shr_rm8_1 Shr_rm16_1
        Shr_rm32_1 Shr_rm64_1 Shr_rm8_CL Shr_rm16_CL Shr_rm32_CL Shr_rm64_CL;
    quiet [lower_binary::<ShiftFamily<Sar>>]:
        Sar_rm8_imm8 Sar_rm16_imm8 Sar_rm32_imm8 Sar_rm64_imm8 Sar_rm8_1 Sar_rm16_1
        Sar_rm32_1 Sar_rm64_1 Sar_rm8_CL Sar_rm16_CL Sar_rm32_CL Sar_rm64_CL;
    quiet [lower_binary::<ShiftFamily<Rol>>]:
        Rol_rm8_imm8 Rol_rm16_imm8 Rol_rm32_imm8 Rol_rm64_imm8 Rol_rm8_1 Rol_rm16_1
        Rol_rm32_1 Rol_rm64_1 Rol_rm8_CL Rol_rm16_CL Rol_rm32_CL Rol_rm64_CL;
    quiet [lower_binary::<ShiftFamily<Ror>>]:
        Ror_rm8_imm8 Ror_rm16_imm8 Ror_rm32_imm8 Ror_rm64_imm8 Ror_rm8_1 Ror_rm16_1
        Ror_rm32_1 Ror_rm64_1 Ror_rm8_CL Ror_rm16_CL Ror_rm32_CL Ror_rm64_CL;
    quiet [lower_binary::<ShiftFamily<Rcl>>]:
        Rcl_rm8_imm8 Rcl_rm16_imm8 Rcl_rm32_imm8 Rcl_rm64_imm8 Rcl_rm8_1 Rcl_rm16_1
        Rcl_rm32_1 Rcl_rm64_1 Rcl_rm8_CL Rcl_rm16_CL Rcl_rm32_CL Rcl_rm64_CL;
    quiet [lower_binary::<ShiftFamily<Rcr>>]:
        Rcr_rm8_imm8 Rcr_rm16_imm8 Rcr_rm32_imm8 Rcr_rm64_imm8 Rcr_rm8_1 Rcr_rm16_1
        Rcr_rm32_1 Rcr_rm64_1 Rcr_rm8_CL Rcr_rm16_CL Rcr_rm32_CL Rcr_rm64_CL;
    quiet [lower_double::<Shld, u16>]: Shld_rm16_r16_imm8 Shld_rm16_r16_CL;
    quiet [lower_double::<Shld, u32>]: Shld_rm32_r32_imm8 Shld_rm32_r32_CL;
    quiet [lower_double::<Shld, u64>]: Shld_rm64_r64_imm8 Shld_rm64_r64_CL;
    quiet [lower_double::<Shrd, u16>]: Shrd_rm16_r16_imm8 Shrd_rm16_r16_CL;
    quiet [lower_double::<Shrd, u32>]: Shrd_rm32_r32_imm8 Shrd_rm32_r32_CL;
    quiet [lower_double::<Shrd, u64>]: Shrd_rm64_r64_imm8 Shrd_rm64_r64_CL;
};
