//! Elements and bits of XMM registers: `pinsr pextr extractps insertps movmsk pmovmskb
//! ptest pblendvb blendvps blendvpd maskmovdqu`.

use std::arch::asm;
use std::arch::x86_64::__m128i;
use std::marker::PhantomData;

use iced_x86::{Instruction, OpKind};

use crate::emu::arithmetic::flags::Flags;
use crate::emu::arithmetic::value::Int;
use crate::emu::code::op::Aux;
use crate::emu::cpu::access::Access;
use crate::emu::cpu::{Cpu, Op};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::operand::{
    Dst, DstReg, Ea, General, Mem, Src, SrcReg, gpr_slot, immediate, memory_segment, xmm_slot,
};
use crate::emu::engine::{Instr, OnMemory, fast, slow};
use crate::emu::ops::simd::sse::{Family, Source, source_form};
use crate::emu::ops::simd::sse_forms::xmm_forms;
use crate::emu::state::exception::Stop;
use crate::emu::state::registers::Slot;

/// Bits before the element of type `T` that the immediate names.
fn element_shift<T: Int>(imm: u64) -> u32 {
    let elements = 128 / T::BITS;
    imm as u32 % elements * T::BITS
}

/// `pinsrb pinsrw pinsrd pinsrq`: a register or memory replaces an element.
struct Insert<T, S>(PhantomData<(T, S)>);

impl<T: Int, S: Src<T>> Instr for Insert<T, S> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let value = u128::from(S::get::<M>(cpu, op)?.zero_extend());
        let shift = element_shift::<T>(op.imm.get());
        let mask = u128::MAX >> (128 - T::BITS) << shift;
        let old: u128 = cpu.regs.xmms.read(op.dst);
        cpu.regs.xmms.write(op.dst, old & !mask | value << shift);
        Ok(())
    }
}

fn lower_insert<T: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.dst = xmm_slot(insn.op0_register());
    op.imm.set(immediate(insn, 2));
    op.handler = if insn.op1_kind() == OpKind::Register {
        op.src = gpr_slot(insn.op1_register());
        fast::<Insert<T, SrcReg>>
    } else {
        op.set_memory(site, insn);
        fast::<Insert<T, Mem<General>>>
    };
}

/// `pextrb pextrw pextrd pextrq extractps`: an element of type `T` is the result, which
/// in registers fills `W`.
struct Extract<T, W, D>(PhantomData<(T, W, D)>);

impl<T: Int, W: Int, D: Dst<W>> Instr for Extract<T, W, D> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let value: u128 = cpu.regs.xmms.read(op.src);
        let element = T::truncate((value >> element_shift::<T>(op.imm.get())) as u64);
        D::set::<M>(cpu, op, W::truncate(element.zero_extend()))
    }
}

fn lower_extract<T: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.src = xmm_slot(insn.op1_register());
    op.imm.set(immediate(insn, 2));
    op.handler = if insn.op0_kind() == OpKind::Register {
        op.dst = gpr_slot(insn.op0_register());
        fast::<Extract<T, u64, DstReg>>
    } else {
        op.set_memory(site, insn);
        fast::<Extract<T, T, Mem<General>>>
    };
}

/// `insertps`: from memory there is only one element to choose.
fn lower_insertps(site: &Site, insn: &Instruction, op: &mut Op) {
    let mut insn = *insn;
    if insn.op1_kind() != OpKind::Register {
        insn.set_immediate8(insn.immediate8() & 0x3f);
    }
    xmm_forms!(@imm Low32 None "insertps")(site, &insn, op);
}

/// A general register gets a bit of each element.
struct Signs<O>(PhantomData<O>);

/// Which bits.
trait SignMask: 'static {
    fn mask(value: __m128i) -> u64;
}

macro_rules! sign_masks {
    ($($name:ident $text:literal)*) => {$(
        struct $name;
        impl SignMask for $name {
            #[inline(always)]
            fn mask(value: __m128i) -> u64 {
                let mask;
                // SAFETY: computes on registers only.
                unsafe {
                    asm!(
                        concat!($text, " {mask:e}, {value}"),
                        mask = lateout(reg) mask,
                        value = in(xmm_reg) value,
                        options(pure, nomem, nostack, preserves_flags),
                    );
                }
                mask
            }
        }
    )*};
}

sign_masks! {
    Movmskps "movmskps"
    Movmskpd "movmskpd"
    Pmovmskb "pmovmskb"
}

impl<O: SignMask> Instr for Signs<O> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let mask = O::mask(cpu.regs.xmms.read(op.src));
        cpu.regs.gprs.write(op.dst, mask);
        Ok(())
    }
}

fn lower_signs<O: SignMask>(_: &Site, insn: &Instruction, op: &mut Op) {
    op.dst = gpr_slot(insn.op0_register());
    op.src = xmm_slot(insn.op1_register());
    op.handler = fast::<Signs<O>>;
}

/// `ptest`.
struct Ptest<S>(PhantomData<S>);

impl<S: Src<__m128i>> OnMemory for Ptest<S> {
    type Slow = Ptest<S::Slow>;
}

impl<S: Src<__m128i>> Instr for Ptest<S> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let b = S::get::<M>(cpu, op)?;
        let a: __m128i = cpu.regs.xmms.read(op.dst);
        let flags: u64;
        // SAFETY: computes on registers only; lowering refuses what the host lacks.
        unsafe {
            asm!(
                "ptest {a}, {b}",
                "lahf",
                "seto al",
                a = in(xmm_reg) a,
                b = in(xmm_reg) b,
                lateout("rax") flags,
                options(pure, nomem, nostack),
            );
        }
        cpu.regs.flags = Flags(flags as u16);
        Ok(())
    }
}

struct PtestFamily;
impl Family for PtestFamily {
    type Form<S: Src<__m128i>> = Ptest<S>;
}

/// `pblendvb blendvps blendvpd`: xmm0 says which elements come from the source.
struct Blend<O, S>(PhantomData<(O, S)>);

trait BlendOp: 'static {
    fn apply(a: __m128i, b: __m128i, mask: __m128i) -> __m128i;
}

macro_rules! blends {
    ($($name:ident $text:literal)*) => {$(
        struct $name;
        impl BlendOp for $name {
            #[inline(always)]
            fn apply(mut a: __m128i, b: __m128i, mask: __m128i) -> __m128i {
                // SAFETY: computes on registers only; lowering refuses what the host
                // lacks.
                unsafe {
                    asm!(
                        concat!($text, " {a}, {b}, xmm0"),
                        a = inout(xmm_reg) a,
                        b = in(xmm_reg) b,
                        in("xmm0") mask,
                        options(pure, nomem, nostack, preserves_flags),
                    );
                }
                a
            }
        }
    )*};
}

blends! {
    Pblendvb "pblendvb"
    Blendvps "blendvps"
    Blendvpd "blendvpd"
}

impl<O: BlendOp, S: Src<__m128i>> OnMemory for Blend<O, S> {
    type Slow = Blend<O, S::Slow>;
}

impl<O: BlendOp, S: Src<__m128i>> Instr for Blend<O, S> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let b = S::get::<M>(cpu, op)?;
        let (a, mask) = (cpu.regs.xmms.read(op.dst), cpu.regs.xmms.read(Slot::xmm(0)));
        cpu.regs.xmms.write(op.dst, O::apply(a, b, mask));
        Ok(())
    }
}

struct BlendFamily<O>(PhantomData<O>);
impl<O: BlendOp> Family for BlendFamily<O> {
    type Form<S: Src<__m128i>> = Blend<O, S>;
}

fn lower_family<F: Family>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.dst = xmm_slot(insn.op0_register());
    op.handler = source_form::<F>(site, insn, op, Source::Full);
}

/// Bytes of `dst` whose byte in `src` has its highest bit set go to seg:rdi.
struct MaskMove;

impl Instr for MaskMove {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let value = cpu.regs.xmms.read::<u128>(op.dst).to_le_bytes();
        let mask = cpu.regs.xmms.read::<u128>(op.src).to_le_bytes();
        masked_store::<M>(cpu, op, &value, &mask)
    }
}

/// Stores the bytes of `value` that `mask` names, all or none. As on AMD's processors the
/// others must be writable too.
pub fn masked_store<M: Access>(
    cpu: &mut Cpu,
    op: &Op,
    value: &[u8],
    mask: &[u8],
) -> Result<(), Stop> {
    if !M::SLOW {
        return Err(Stop::Miss);
    }
    let at = General::linear(cpu, op, value.len() as u64, true)?;
    for half in (0..value.len()).step_by(8) {
        cpu.probe_write(at.add(half as u64), 8)?;
    }
    for i in (0..value.len()).filter(|&i| mask[i] & 0x80 != 0) {
        M::store(cpu, at.add(i as u64), value[i])?;
    }
    Ok(())
}

/// Describes the memory operand seg:rdi.
pub fn set_rdi_memory(site: &Site, insn: &Instruction, op: &mut Op) {
    let size = match insn.op0_kind() {
        OpKind::MemorySegDI => 0,
        OpKind::MemorySegEDI => 1,
        _ => 2,
    };
    op.base = Slot::RDI;
    op.index = Slot::ZERO;
    op.disp.set(0);
    op.aux = Aux::new(0, memory_segment(site, insn), size);
}

fn lower_mask_move(site: &Site, insn: &Instruction, op: &mut Op) {
    op.dst = xmm_slot(insn.op1_register());
    op.src = xmm_slot(insn.op2_register());
    set_rdi_memory(site, insn, op);
    op.handler = slow::<MaskMove>;
}

pub const FORMS: &[Form] = forms! {
    quiet_vector [lower_insert::<u8>]: Pinsrb_xmm_r32m8_imm8 Pinsrb_xmm_r64m8_imm8;
    quiet_vector [lower_insert::<u16>]: Pinsrw_xmm_r32m16_imm8 Pinsrw_xmm_r64m16_imm8;
    quiet_vector [lower_insert::<u32>]: Pinsrd_xmm_rm32_imm8;
    quiet_vector [lower_insert::<u64>]: Pinsrq_xmm_rm64_imm8;
    quiet_vector [lower_extract::<u8>]: Pextrb_r32m8_xmm_imm8 Pextrb_r64m8_xmm_imm8;
    quiet_vector [lower_extract::<u16>]:
        Pextrw_r32_xmm_imm8 Pextrw_r64_xmm_imm8 Pextrw_r32m16_xmm_imm8
        Pextrw_r64m16_xmm_imm8;
    quiet_vector [lower_extract::<u32>]:
        Pextrd_rm32_xmm_imm8 Extractps_rm32_xmm_imm8 Extractps_r64m32_xmm_imm8;
    quiet_vector [lower_extract::<u64>]: Pextrq_rm64_xmm_imm8;
    quiet_vector [lower_insertps]: Insertps_xmm_xmmm32_imm8;
    quiet_vector [lower_signs::<Movmskps>]: Movmskps_r32_xmm Movmskps_r64_xmm;
    quiet_vector [lower_signs::<Movmskpd>]: Movmskpd_r32_xmm Movmskpd_r64_xmm;
    quiet_vector [lower_signs::<Pmovmskb>]: Pmovmskb_r32_xmm Pmovmskb_r64_xmm;
    quiet_vector [lower_family::<PtestFamily>]: Ptest_xmm_xmmm128;
    quiet_vector [lower_family::<BlendFamily<Pblendvb>>]: Pblendvb_xmm_xmmm128;
    quiet_vector [lower_family::<BlendFamily<Blendvps>>]: Blendvps_xmm_xmmm128;
    quiet_vector [lower_family::<BlendFamily<Blendvpd>>]: Blendvpd_xmm_xmmm128;
    next [lower_mask_move]: Maskmovdqu_rDI_xmm_xmm VEX_Vmaskmovdqu_rDI_xmm_xmm;
};
