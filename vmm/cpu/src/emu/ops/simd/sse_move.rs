//! Moves from, to and between XMM registers.

use std::arch::asm;
use std::arch::x86_64::__m128i;
use std::marker::PhantomData;

use iced_x86::{Instruction, OpKind};

use crate::emu::arithmetic::value::Int;
use crate::emu::cpu::access::Access;
use crate::emu::cpu::{Cpu, Op};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::operand::{
    Aligned, Dst, DstReg, Mem, Src, SrcReg, SrcXmm, by_ea, gpr_slot, xmm_slot,
};
use crate::emu::engine::{Instr, fast};
use crate::emu::ops::simd::sse::{Direct, DirectOp, Full, Loose, Low, LowMem, Place, low};
use crate::emu::state::exception::Stop;

/// `dst = src`, all of it.
struct Load<S>(PhantomData<S>);

impl<S: Src<__m128i>> Instr for Load<S> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let value = S::get::<M>(cpu, op)?;
        cpu.regs.xmms.write(op.dst, value);
        Ok(())
    }
}

/// Which part of a register is stored.
trait Part: 'static {
    type Value: crate::emu::arithmetic::value::Plain;
    fn of(value: __m128i) -> Self::Value;
}
struct All;
struct LowPart<T>(PhantomData<T>);
struct High;

impl Part for All {
    type Value = __m128i;
    #[inline(always)]
    fn of(value: __m128i) -> __m128i {
        value
    }
}
impl<T: Int> Part for LowPart<T> {
    type Value = T;
    #[inline(always)]
    fn of(value: __m128i) -> T {
        T::truncate(low_half(value))
    }
}
impl Part for High {
    type Value = u64;
    #[inline(always)]
    fn of(value: __m128i) -> u64 {
        // SAFETY: SSE2 is part of x86-64.
        low_half(unsafe { std::arch::x86_64::_mm_unpackhi_epi64(value, value) })
    }
}

#[inline(always)]
fn low_half(value: __m128i) -> u64 {
    // SAFETY: SSE2 is part of x86-64.
    (unsafe { std::arch::x86_64::_mm_cvtsi128_si64(value) }) as u64
}

/// `memory = part of src`.
struct Store<P, D>(PhantomData<(P, D)>);

impl<P: Part, D: Dst<P::Value>> Instr for Store<P, D> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let value = P::of(cpu.regs.xmms.read(op.src));
        D::set::<M>(cpu, op, value)
    }
}

/// The low part of an XMM register, zero-extended.
pub struct LowXmm<T>(PhantomData<T>);

impl<T: Int> Src<__m128i> for LowXmm<T> {
    type Slow = Self;
    #[inline(always)]
    fn get<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<__m128i, Stop> {
        Ok(low(cpu.regs.xmms.read::<T>(op.src).zero_extend()))
    }
}

/// A general register, or memory, zero-extended.
struct Extended<T, S>(PhantomData<(T, S)>);

impl<T: Int, S: Src<T>> Src<__m128i> for Extended<T, S> {
    type Slow = Extended<T, S::Slow>;
    #[inline(always)]
    fn get<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<__m128i, Stop> {
        Ok(low(S::get::<M>(cpu, op)?.zero_extend()))
    }
}

macro_rules! merges {
    ($($name:ident $text:literal)*) => {$(
        struct $name;
        impl Direct for $name {
            #[inline(always)]
            fn apply(mut a: __m128i, b: __m128i) -> __m128i {
                // SAFETY: computes on registers only.
                unsafe {
                    asm!(
                        concat!($text, " {a}, {b}"),
                        a = inout(xmm_reg) a,
                        b = in(xmm_reg) b,
                        options(pure, nomem, nostack, preserves_flags),
                    );
                }
                a
            }
        }
    )*};
}

merges! {
    LowSingle "movss"
    LowDouble "movsd"
    LowToHigh "movlhps"
    HighToLow "movhlps"
}

/// Describes two XMM registers, destination first.
fn set_registers(insn: &Instruction, op: &mut Op) {
    op.dst = xmm_slot(insn.op0_register());
    op.src = xmm_slot(insn.op1_register());
}

/// Loads and moves of whole registers.
fn lower_load<P: Place>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.dst = xmm_slot(insn.op0_register());
    op.handler = if insn.op1_kind() == OpKind::Register {
        set_registers(insn, op);
        fast::<Load<SrcXmm>>
    } else {
        by_ea!(op.set_memory(site, insn), E => fast::<Load<P::Mem<E>>>)
    };
}

/// Stores of whole registers.
fn lower_store<P: WholePlace>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.handler = if insn.op0_kind() == OpKind::Register {
        set_registers(insn, op);
        fast::<Load<SrcXmm>>
    } else {
        op.src = xmm_slot(insn.op1_register());
        by_ea!(op.set_memory(site, insn), E => fast::<Store<All, P::Out<E>>>)
    };
}

/// Where a whole register is stored.
trait WholePlace: 'static {
    type Out<E: crate::emu::engine::operand::Ea>: Dst<__m128i>;
}
impl WholePlace for Full {
    type Out<E: crate::emu::engine::operand::Ea> = Aligned<E>;
}
impl WholePlace for Loose {
    type Out<E: crate::emu::engine::operand::Ea> = Mem<E>;
}

/// `movss` and `movsd`: loads clear the rest of the register, moves leave it.
fn lower_scalar<T: Int, O: Direct>(site: &Site, insn: &Instruction, op: &mut Op) {
    match (insn.op0_kind(), insn.op1_kind()) {
        (OpKind::Register, OpKind::Register) => {
            set_registers(insn, op);
            op.handler = fast::<DirectOp<O, SrcXmm>>;
        }
        (OpKind::Register, _) => lower_load::<Low<T>>(site, insn, op),
        _ => lower_store_part::<LowPart<T>>(site, insn, op),
    }
}

fn lower_store_part<P: Part>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.src = xmm_slot(insn.op1_register());
    op.handler = by_ea!(op.set_memory(site, insn), E => fast::<Store<P, Mem<E>>>);
}

/// `movq` between XMM registers, or to and from memory.
fn lower_movq(site: &Site, insn: &Instruction, op: &mut Op) {
    match (insn.op0_kind(), insn.op1_kind()) {
        (OpKind::Register, OpKind::Register) => {
            set_registers(insn, op);
            op.handler = fast::<Load<LowXmm<u64>>>;
        }
        (OpKind::Register, _) => lower_load::<Low<u64>>(site, insn, op),
        _ => lower_store_part::<LowPart<u64>>(site, insn, op),
    }
}

/// Loads and moves of one half of a register.
fn lower_half<O: Direct>(site: &Site, insn: &Instruction, op: &mut Op) {
    if insn.op1_kind() == OpKind::Register {
        set_registers(insn, op);
        op.handler = fast::<DirectOp<O, SrcXmm>>;
    } else {
        op.dst = xmm_slot(insn.op0_register());
        op.handler = by_ea!(op.set_memory(site, insn), E => fast::<DirectOp<O, LowMem<u64, E>>>);
    }
}

/// `movd` and `movq` from a general register or memory.
fn lower_from_general<T: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.dst = xmm_slot(insn.op0_register());
    op.handler = if insn.op1_kind() == OpKind::Register {
        op.src = gpr_slot(insn.op1_register());
        fast::<Load<Extended<T, SrcReg>>>
    } else {
        by_ea!(op.set_memory(site, insn), E => fast::<Load<LowMem<T, E>>>)
    };
}

/// `movd` and `movq` to a general register or memory.
fn lower_to_general<T: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.src = xmm_slot(insn.op1_register());
    op.handler = if insn.op0_kind() == OpKind::Register {
        op.dst = gpr_slot(insn.op0_register());
        fast::<Store<LowPart<T>, DstReg>>
    } else {
        by_ea!(op.set_memory(site, insn), E => fast::<Store<LowPart<T>, Mem<E>>>)
    };
}

/// `movnti`.
struct StoreGeneral<T, D>(PhantomData<(T, D)>);

impl<T: Int, D: Dst<T>> Instr for StoreGeneral<T, D> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let value = cpu.regs.get::<T>(op.src);
        D::set::<M>(cpu, op, value)
    }
}

fn lower_movnti<T: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.src = gpr_slot(insn.op1_register());
    op.handler = by_ea!(op.set_memory(site, insn), E => fast::<StoreGeneral<T, Mem<E>>>);
}

pub const FORMS: &[Form] = forms! {
    quiet_vector [lower_load::<Full>]:
        Movaps_xmm_xmmm128 Movapd_xmm_xmmm128 Movdqa_xmm_xmmm128 Movntdqa_xmm_m128;
    quiet_vector [lower_load::<Loose>]:
        Movups_xmm_xmmm128 Movupd_xmm_xmmm128 Movdqu_xmm_xmmm128 Lddqu_xmm_m128;
    quiet_vector [lower_store::<Full>]:
        Movaps_xmmm128_xmm Movapd_xmmm128_xmm Movdqa_xmmm128_xmm Movntps_m128_xmm
        Movntpd_m128_xmm Movntdq_m128_xmm;
    quiet_vector [lower_store::<Loose>]: Movups_xmmm128_xmm Movupd_xmmm128_xmm Movdqu_xmmm128_xmm;
    quiet_vector [lower_scalar::<u32, LowSingle>]: Movss_xmm_xmmm32 Movss_xmmm32_xmm;
    quiet_vector [lower_scalar::<u64, LowDouble>]: Movsd_xmm_xmmm64 Movsd_xmmm64_xmm;
    quiet_vector [lower_movq]: Movq_xmm_xmmm64 Movq_xmmm64_xmm;
    quiet_vector [lower_half::<LowDouble>]: Movlps_xmm_m64 Movlpd_xmm_m64;
    quiet_vector [lower_half::<LowToHigh>]: Movhps_xmm_m64 Movhpd_xmm_m64 Movlhps_xmm_xmm;
    quiet_vector [lower_half::<HighToLow>]: Movhlps_xmm_xmm;
    quiet_vector [lower_store_part::<LowPart<u64>>]: Movlps_m64_xmm Movlpd_m64_xmm;
    quiet_vector [lower_store_part::<High>]: Movhps_m64_xmm Movhpd_m64_xmm;
    quiet_vector [lower_from_general::<u32>]: Movd_xmm_rm32;
    quiet_vector [lower_from_general::<u64>]: Movq_xmm_rm64;
    quiet_vector [lower_to_general::<u32>]: Movd_rm32_xmm;
    quiet_vector [lower_to_general::<u64>]: Movq_rm64_xmm;
    next [lower_movnti::<u32>]: Movnti_m32_r32;
    next [lower_movnti::<u64>]: Movnti_m64_r64;
};
