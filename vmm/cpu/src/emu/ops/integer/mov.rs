//! Data movement: `mov movzx movsx movsxd lea xchg cmovcc setcc bswap nop`, and `cbw` and
//! `cwd` with their wider forms.

use std::marker::PhantomData;

use iced_x86::{Instruction, OpKind};

use crate::emu::arithmetic::flags;
use crate::emu::arithmetic::flags::Condition;
use crate::emu::arithmetic::value::Int;
use crate::emu::cpu::access::Access;
use crate::emu::cpu::{Cpu, Handler, Op};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::lower::{Binary, lower_binary, lower_into_register};
use crate::emu::engine::operand::{
    Dst, DstReg, Ea, General, Mem, Src, SrcReg, by_ea, gpr_slot, offset,
};
use crate::emu::engine::{Instr, OnMemory, fast, invalid, slow, sure};
use crate::emu::state::exception::Stop;
use crate::emu::state::registers::Slot;

/// `mov dst, src`.
struct Mov<T, D, S>(PhantomData<(T, D, S)>);

impl<T: Int, D: Dst<T>, S: Src<T>> OnMemory for Mov<T, D, S> {
    type Slow = Mov<T, D::SlowDst, S::Slow>;
}

impl<T: Int, D: Dst<T>, S: Src<T>> Instr for Mov<T, D, S> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let value = S::get::<M>(cpu, op)?;
        D::set::<M>(cpu, op, value)
    }
}

struct MovFamily;

impl Binary for MovFamily {
    const ON_MEMORY: bool = true;
    type Form<T: Int, const F: bool, D: Dst<T>, S: Src<T>> = Mov<T, D, S>;
    fn handler<T: Int, const F: bool, I: Instr>(_: &Site) -> Handler {
        sure::<I>
    }
}

/// `xchg dst, src`: the second operand is always a register.
struct Xchg<T, D>(PhantomData<(T, D)>);

impl<T: Int, D: Dst<T>> OnMemory for Xchg<T, D> {
    type Slow = Xchg<T, D::SlowDst>;
}

impl<T: Int, D: Dst<T>> Instr for Xchg<T, D> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let new = cpu.regs.get::<T>(op.src);
        let old = D::update::<M, _>(cpu, op, |old| (new, old))?;
        cpu.regs.set(op.src, old);
        Ok(())
    }
}

struct XchgFamily;

impl Binary for XchgFamily {
    const ON_MEMORY: bool = false;
    type Form<T: Int, const F: bool, D: Dst<T>, S: Src<T>> = Xchg<T, D>;
    fn handler<T: Int, const F: bool, I: Instr>(_: &Site) -> Handler {
        sure::<I>
    }
}

/// How a narrow value is extended.
trait Extension: 'static {
    fn extend<T: Int>(value: T) -> u64;
}
struct Zero;
struct Sign;
impl Extension for Zero {
    #[inline(always)]
    fn extend<T: Int>(value: T) -> u64 {
        value.zero_extend()
    }
}
impl Extension for Sign {
    #[inline(always)]
    fn extend<T: Int>(value: T) -> u64 {
        value.sign_extend()
    }
}

/// `movzx` and `movsx` from `N` to `W`.
struct Widen<X, N, W, S>(PhantomData<(X, N, W, S)>);

impl<X: Extension, N: Int, W: Int, S: Src<N>> Instr for Widen<X, N, W, S> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let value = X::extend(S::get::<M>(cpu, op)?);
        cpu.regs.set(op.dst, W::truncate(value));
        Ok(())
    }
}

fn lower_widen<X: Extension, N: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.dst = gpr_slot(insn.op0_register());
    op.handler = match insn.op0_register().size() {
        2 => widen::<X, N, u16>(site, insn, op),
        4 => widen::<X, N, u32>(site, insn, op),
        _ => widen::<X, N, u64>(site, insn, op),
    };
}

fn widen<X: Extension, N: Int, W: Int>(
    site: &Site,
    insn: &Instruction,
    op: &mut Op,
) -> crate::emu::cpu::Handler {
    if insn.op1_kind() == OpKind::Register {
        op.src = gpr_slot(insn.op1_register());
        fast::<Widen<X, N, W, SrcReg>>
    } else {
        by_ea!(op.set_memory(site, insn), E => fast::<Widen<X, N, W, Mem<E>>>)
    }
}

/// `cbw cwde cdqe`: sign-extends the low half of rax.
fn lower_cbw<N: Int, W: Int>(_: &Site, _: &Instruction, op: &mut Op) {
    (op.dst, op.src) = (Slot::RAX, Slot::RAX);
    op.handler = fast::<Widen<Sign, N, W, SrcReg>>;
}

/// `cwd cdq cqo`: fills rdx with the sign of rax.
struct FillSign<T>(PhantomData<T>);

impl<T: Int> Instr for FillSign<T> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, _: &Op) -> Result<(), Stop> {
        let sign = cpu.regs.get::<T>(Slot::RAX).sign_extend() as i64 >> 63;
        cpu.regs.set(Slot::RDX, T::truncate(sign as u64));
        Ok(())
    }
}

fn lower_cwd<T: Int>(_: &Site, _: &Instruction, op: &mut Op) {
    op.handler = fast::<FillSign<T>>;
}

/// `lea dst, address`; with `I` also an index, and only then an address size.
struct Lea<T, const I: bool>(PhantomData<T>);

impl<T: Int, const I: bool> Instr for Lea<T, I> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let address = if I {
            offset(cpu, op) & op.aux.address_mask()
        } else {
            let base: u64 = cpu.regs.gprs.read(op.base);
            base.wrapping_add(op.disp.get())
        };
        cpu.regs.set(op.dst, T::truncate(address));
        Ok(())
    }
}

fn lower_lea<T: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    use crate::emu::engine::operand::EaKind;
    op.dst = gpr_slot(insn.op0_register());
    op.handler = match op.set_memory(site, insn) {
        EaKind::Based => fast::<Lea<T, false>>,
        EaKind::Indexed | EaKind::General => fast::<Lea<T, true>>,
    };
}

/// `cmovcc dst, src`: the source is always read, and a 32-bit destination always
/// cleared above.
struct CondMov<C, T, S>(PhantomData<(C, T, S)>);

impl<C: Condition, T: Int, S: Src<T>> OnMemory for CondMov<C, T, S> {
    type Slow = CondMov<C, T, S::Slow>;
}

impl<C: Condition, T: Int, S: Src<T>> Instr for CondMov<C, T, S> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let new = S::get::<M>(cpu, op)?;
        let old = cpu.regs.get::<T>(op.dst);
        let value = if C::holds(cpu.regs.flags) { new } else { old };
        cpu.regs.set(op.dst, value);
        Ok(())
    }
}

struct CondMovFamily<C>(PhantomData<C>);

impl<C: Condition> Binary for CondMovFamily<C> {
    const ON_MEMORY: bool = false;
    type Form<T: Int, const F: bool, D: Dst<T>, S: Src<T>> = CondMov<C, T, S>;
}

/// `setcc dst`.
struct SetCond<C, D>(PhantomData<(C, D)>);

impl<C: Condition, D: Dst<u8>> Instr for SetCond<C, D> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let value = u8::from(C::holds(cpu.regs.flags));
        D::set::<M>(cpu, op, value)
    }
}

fn lower_setcc<C: Condition>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.handler = if insn.op0_kind() == OpKind::Register {
        op.dst = gpr_slot(insn.op0_register());
        fast::<SetCond<C, DstReg>>
    } else {
        op.set_memory(site, insn);
        fast::<SetCond<C, Mem<General>>>
    };
}

/// `bswap dst`; of 16 bits the processor makes zero.
struct Bswap<T>(PhantomData<T>);

impl<T: Int> Instr for Bswap<T> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let value = cpu.regs.get::<T>(op.dst).zero_extend();
        let swapped = match T::BITS {
            64 => value.swap_bytes(),
            32 => u64::from((value as u32).swap_bytes()),
            _ => 0,
        };
        cpu.regs.set(op.dst, T::truncate(swapped));
        Ok(())
    }
}

fn lower_bswap<T: Int>(_: &Site, insn: &Instruction, op: &mut Op) {
    op.dst = gpr_slot(insn.op0_register());
    op.handler = fast::<Bswap<T>>;
}

/// `nop`, `pause`, prefetches and fences: no visible effect. All of `0f 18` to `0f 1f` are
/// reserved no-ops to the decoder, under whatever names.
struct Nop;

impl Instr for Nop {
    #[inline(always)]
    fn exec<M: Access>(_: &mut Cpu, _: &Op) -> Result<(), Stop> {
        Ok(())
    }
}

/// `clflush clflushopt clwb`: there are no caches, but the byte must be readable.
struct Clflush;

impl Instr for Clflush {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let at = General::linear(cpu, op, 1, false)?;
        cpu.probe_read(at, 1)
    }
}

fn lower_clflush(site: &Site, insn: &Instruction, op: &mut Op) {
    op.set_memory(site, insn);
    op.handler = slow::<Clflush>;
}

/// `pause`: lets the machine's other vCPUs run, if some wait, which this one may wait for.
struct Pause;

impl Instr for Pause {
    fn exec<M: Access>(cpu: &mut Cpu, _: &Op) -> Result<(), Stop> {
        if cpu.events.pause_exits {
            cpu.events.limit = Some(0);
            cpu.meter.want_attention();
        }
        Ok(())
    }
}

fn lower_pause(_: &Site, _: &Instruction, op: &mut Op) {
    op.handler = fast::<Pause>;
}

fn lower_nop(_: &Site, _: &Instruction, op: &mut Op) {
    op.handler = fast::<Nop>;
}

/// Lowers `0f 0d`: prefetches of memory; of a register it is none on AMD's processors.
fn lower_prefetch(site: &Site, insn: &Instruction, op: &mut Op) {
    if insn.op0_kind() == OpKind::Register {
        invalid::lower(site, insn, op);
    } else {
        lower_nop(site, insn, op);
    }
}

fn lower_cond_mov<C: Condition>(site: &Site, insn: &Instruction, op: &mut Op) {
    lower_into_register::<CondMovFamily<C>>(site, insn, op);
}

pub const FORMS: &[Form] = forms! {
    quiet [lower_binary::<MovFamily>]:
        Mov_rm8_r8 Mov_rm16_r16 Mov_rm32_r32 Mov_rm64_r64 Mov_r8_rm8 Mov_r16_rm16
        Mov_r32_rm32 Mov_r64_rm64 Mov_AL_moffs8 Mov_AX_moffs16 Mov_EAX_moffs32
        Mov_RAX_moffs64 Mov_moffs8_AL Mov_moffs16_AX Mov_moffs32_EAX Mov_moffs64_RAX
        Mov_r8_imm8 Mov_r16_imm16 Mov_r32_imm32 Mov_r64_imm64 Mov_rm8_imm8 Mov_rm16_imm16
        Mov_rm32_imm32 Mov_rm64_imm32;
    quiet [lower_binary::<XchgFamily>]:
        Xchg_rm8_r8 Xchg_rm16_r16 Xchg_rm32_r32 Xchg_rm64_r64 Xchg_r16_AX Xchg_r32_EAX
        Xchg_r64_RAX;
    quiet [lower_widen::<Zero, u8>]: Movzx_r16_rm8 Movzx_r32_rm8 Movzx_r64_rm8;
    quiet [lower_widen::<Zero, u16>]: Movzx_r16_rm16 Movzx_r32_rm16 Movzx_r64_rm16;
    quiet [lower_widen::<Sign, u8>]: Movsx_r16_rm8 Movsx_r32_rm8 Movsx_r64_rm8;
    quiet [lower_widen::<Sign, u16>]:
        Movsx_r16_rm16 Movsx_r32_rm16 Movsx_r64_rm16 Movsxd_r16_rm16;
    quiet [lower_widen::<Sign, u32>]: Movsxd_r32_rm32 Movsxd_r64_rm32;
    next [lower_cbw::<u8, u16>]: Cbw;
    next [lower_cbw::<u16, u32>]: Cwde;
    next [lower_cbw::<u32, u64>]: Cdqe;
    next [lower_cwd::<u16>]: Cwd;
    next [lower_cwd::<u32>]: Cdq;
    next [lower_cwd::<u64>]: Cqo;
    quiet [lower_lea::<u16>]: Lea_r16_m;
    quiet [lower_lea::<u32>]: Lea_r32_m;
    quiet [lower_lea::<u64>]: Lea_r64_m;
    quiet [lower_bswap::<u16>]: Bswap_r16;
    quiet [lower_bswap::<u32>]: Bswap_r32;
    quiet [lower_bswap::<u64>]: Bswap_r64;
    next [lower_clflush]: Clflush_m8 Clflushopt_m8 Clwb_m8;
    next [lower_pause]: Pause;
    next [lower_nop]:
        Nopw Nopd Nopq Lfence Mfence Sfence Lfence_E9 Lfence_EA Lfence_EB Lfence_EC
        Lfence_ED Lfence_EE Lfence_EF Mfence_F1 Mfence_F2 Mfence_F3 Mfence_F4 Mfence_F5
        Mfence_F6 Mfence_F7 Sfence_F9 Sfence_FA Sfence_FB Sfence_FC Sfence_FD Sfence_FE
        Sfence_FF
        Reservednop_rm16_r16_0F18 Reservednop_rm32_r32_0F18 Reservednop_rm64_r64_0F18
        Reservednop_rm16_r16_0F19 Reservednop_rm32_r32_0F19 Reservednop_rm64_r64_0F19
        Reservednop_rm16_r16_0F1A Reservednop_rm32_r32_0F1A Reservednop_rm64_r64_0F1A
        Reservednop_rm16_r16_0F1B Reservednop_rm32_r32_0F1B Reservednop_rm64_r64_0F1B
        Reservednop_rm16_r16_0F1C Reservednop_rm32_r32_0F1C Reservednop_rm64_r64_0F1C
        Reservednop_rm16_r16_0F1D Reservednop_rm32_r32_0F1D Reservednop_rm64_r64_0F1D
        Reservednop_rm16_r16_0F1E Reservednop_rm32_r32_0F1E Reservednop_rm64_r64_0F1E
        Reservednop_rm16_r16_0F1F Reservednop_rm32_r32_0F1F Reservednop_rm64_r64_0F1F;
    next [lower_prefetch]:
        Reservednop_rm16_r16_0F0D Reservednop_rm32_r32_0F0D Reservednop_rm64_r64_0F0D;
    next [lower_cond_mov::<flags::O>]: Cmovo_r16_rm16 Cmovo_r32_rm32 Cmovo_r64_rm64;
    next [lower_cond_mov::<flags::No>]: Cmovno_r16_rm16 Cmovno_r32_rm32 Cmovno_r64_rm64;
    next [lower_cond_mov::<flags::B>]: Cmovb_r16_rm16 Cmovb_r32_rm32 Cmovb_r64_rm64;
    next [lower_cond_mov::<flags::Ae>]: Cmovae_r16_rm16 Cmovae_r32_rm32 Cmovae_r64_rm64;
    next [lower_cond_mov::<flags::E>]: Cmove_r16_rm16 Cmove_r32_rm32 Cmove_r64_rm64;
    next [lower_cond_mov::<flags::Ne>]: Cmovne_r16_rm16 Cmovne_r32_rm32 Cmovne_r64_rm64;
    next [lower_cond_mov::<flags::Be>]: Cmovbe_r16_rm16 Cmovbe_r32_rm32 Cmovbe_r64_rm64;
    next [lower_cond_mov::<flags::A>]: Cmova_r16_rm16 Cmova_r32_rm32 Cmova_r64_rm64;
    next [lower_cond_mov::<flags::S>]: Cmovs_r16_rm16 Cmovs_r32_rm32 Cmovs_r64_rm64;
    next [lower_cond_mov::<flags::Ns>]: Cmovns_r16_rm16 Cmovns_r32_rm32 Cmovns_r64_rm64;
    next [lower_cond_mov::<flags::P>]: Cmovp_r16_rm16 Cmovp_r32_rm32 Cmovp_r64_rm64;
    next [lower_cond_mov::<flags::Np>]: Cmovnp_r16_rm16 Cmovnp_r32_rm32 Cmovnp_r64_rm64;
    next [lower_cond_mov::<flags::L>]: Cmovl_r16_rm16 Cmovl_r32_rm32 Cmovl_r64_rm64;
    next [lower_cond_mov::<flags::Ge>]: Cmovge_r16_rm16 Cmovge_r32_rm32 Cmovge_r64_rm64;
    next [lower_cond_mov::<flags::Le>]: Cmovle_r16_rm16 Cmovle_r32_rm32 Cmovle_r64_rm64;
    next [lower_cond_mov::<flags::G>]: Cmovg_r16_rm16 Cmovg_r32_rm32 Cmovg_r64_rm64;
    next [lower_setcc::<flags::O>]: Seto_rm8;
    next [lower_setcc::<flags::No>]: Setno_rm8;
    next [lower_setcc::<flags::B>]: Setb_rm8;
    next [lower_setcc::<flags::Ae>]: Setae_rm8;
    next [lower_setcc::<flags::E>]: Sete_rm8;
    next [lower_setcc::<flags::Ne>]: Setne_rm8;
    next [lower_setcc::<flags::Be>]: Setbe_rm8;
    next [lower_setcc::<flags::A>]: Seta_rm8;
    next [lower_setcc::<flags::S>]: Sets_rm8;
    next [lower_setcc::<flags::Ns>]: Setns_rm8;
    next [lower_setcc::<flags::P>]: Setp_rm8;
    next [lower_setcc::<flags::Np>]: Setnp_rm8;
    next [lower_setcc::<flags::L>]: Setl_rm8;
    next [lower_setcc::<flags::Ge>]: Setge_rm8;
    next [lower_setcc::<flags::Le>]: Setle_rm8;
    next [lower_setcc::<flags::G>]: Setg_rm8;
};
