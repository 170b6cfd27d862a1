//! Near control transfers: `jmp jcc call ret loop jrcxz`.

use std::marker::PhantomData;

use iced_x86::{Instruction, OpKind};

use crate::emu::arithmetic::flags;
use crate::emu::arithmetic::flags::{Condition, bit};
use crate::emu::arithmetic::value::Int;
use crate::emu::cpu::access::Access;
use crate::emu::cpu::stack::{Legacy, Long, StackMode, peek, push};
use crate::emu::cpu::{Cpu, Handler, Op};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::operand::{Mem, Src, SrcReg, by_ea, gpr_slot, immediate};
use crate::emu::engine::{Branch, Jump, branch, jump, jump_slow};
use crate::emu::state::control::CodeSize;
use crate::emu::state::exception::{Exception, Stop};
use crate::emu::state::registers::Slot;

/// Always taken.
struct Always;

impl Condition for Always {
    #[inline(always)]
    fn holds(_: flags::Flags) -> bool {
        true
    }
}

/// Direct `jcc` and `jmp`.
struct Jcc<C>(PhantomData<C>);

impl<C: Condition> Branch for Jcc<C> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, _: &Op) -> Result<bool, Stop> {
        Ok(C::holds(cpu.regs.flags))
    }
}

/// The same where the target is too far for [`Op::set_distance`]: in 64-bit code, with
/// the operand-size prefix, branches go to the low 64 KiB.
struct FarOff<C>(PhantomData<C>);

impl<C: Condition> Jump for FarOff<C> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<u64, Stop> {
        Ok(if C::holds(cpu.regs.flags) {
            op.imm.get()
        } else {
            op.disp.get()
        })
    }
}

fn lower_jcc<C: Condition>(site: &Site, insn: &Instruction, op: &mut Op) {
    if !lower_near::<Jcc<C>>(site, insn, op) {
        op.imm.set(insn.near_branch_target());
        op.disp.set(site.next_rip);
        op.handler = jump::<FarOff<C>>;
    }
}

/// A branch that leaves the code segment if it is taken: #GP(0), with RCX as before. The
/// next instruction is the immediate.
struct Beyond<B>(PhantomData<B>);

impl<B: Branch> Jump for Beyond<B> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<u64, Stop> {
        let count: u64 = cpu.regs.gprs.read(Slot::RCX);
        if B::exec::<M>(cpu, op)? {
            cpu.regs.gprs.write(Slot::RCX, count);
            return Err(Exception::GP.into());
        }
        Ok(op.imm.get())
    }
}

/// Lowers a direct branch that changes nothing but RCX; whether its target is near enough.
fn lower_near<B: Branch>(site: &Site, insn: &Instruction, op: &mut Op) -> bool {
    if insn.near_branch_target() > site.limit {
        op.imm.set(site.next_rip);
        op.handler = jump_slow::<Beyond<B>>;
        return true;
    }
    let near = set_target(site, insn, op);
    if near {
        op.handler = branch::<B>;
    }
    near
}

/// Makes `op` a direct branch if its target is near enough.
fn set_target(site: &Site, insn: &Instruction, op: &mut Op) -> bool {
    let distance = insn.near_branch_target().wrapping_sub(site.next_rip) as i64;
    let near = if site.size == CodeSize::Bits64 {
        i32::try_from(distance)
    } else {
        Ok(distance as i32)
    };
    near.map(|distance| op.set_distance(distance)).is_ok()
}

/// `loop`, `loope`, `loopne` (`E` and `NE` ask for ZF), counting in a register of the
/// address size.
struct Loop<T, const E: bool, const NE: bool>(PhantomData<T>);

impl<T: Int, const E: bool, const NE: bool> Branch for Loop<T, E, NE> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, _: &Op) -> Result<bool, Stop> {
        let count = T::truncate(cpu.regs.get::<T>(Slot::RCX).zero_extend().wrapping_sub(1));
        cpu.regs.set(Slot::RCX, count);
        let zero = cpu.regs.flags.has(bit::ZF);
        let wanted = (zero || !E) && (!zero || !NE);
        Ok(count != T::ZERO && wanted)
    }
}

/// `jcxz jecxz jrcxz`.
struct IfNoCount<T>(PhantomData<T>);

impl<T: Int> Branch for IfNoCount<T> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, _: &Op) -> Result<bool, Stop> {
        Ok(cpu.regs.get::<T>(Slot::RCX) == T::ZERO)
    }
}

fn lower_counted<B: Branch>(site: &Site, insn: &Instruction, op: &mut Op) {
    lower_near::<B>(site, insn, op);
}

/// Direct `call`; the return address is in the field of the link that a call does not need.
struct Call<T, S>(PhantomData<(T, S)>);

impl<T: Int, S: StackMode> Branch for Call<T, S> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<bool, Stop> {
        push::<M, T, S>(cpu, T::truncate(op.imm.get()))?;
        Ok(true)
    }
}

/// Direct `call` that leaves the code segment.
struct CallBeyond<T>(PhantomData<T>);

impl<T: Int> Jump for CallBeyond<T> {
    fn exec<M: Access>(cpu: &mut Cpu, _: &Op) -> Result<u64, Stop> {
        probe_push::<T, Legacy>(cpu)?;
        Err(Exception::GP.into())
    }
}

fn lower_call<T: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    if insn.near_branch_target() > site.limit {
        op.handler = jump_slow::<CallBeyond<T>>;
    } else if set_target(site, insn, op) {
        op.imm.set(site.next_rip);
        op.handler = if site.size == CodeSize::Bits64 {
            branch::<Call<T, Long>>
        } else {
            branch::<Call<T, Legacy>>
        };
    }
}

/// Indirect `jmp`.
struct JumpTo<T, S, K>(PhantomData<(T, S, K)>);

impl<T: Int, S: Src<T>, K: StackMode> Jump for JumpTo<T, S, K> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<u64, Stop> {
        let target = S::get::<M>(cpu, op)?;
        K::checked(cpu, target)
    }
}

/// Checks that a push of type `T` can be done: a call's comes before its jump.
fn probe_push<T: Int, K: StackMode>(cpu: &mut Cpu) -> Result<(), Stop> {
    let pointer = cpu.regs.gprs.read::<u64>(Slot::RSP).wrapping_sub(T::SIZE);
    let at = K::linear(cpu, pointer, T::SIZE, true)?;
    cpu.probe_write(at, T::SIZE)
}

/// Indirect `call`; the return address is the immediate.
struct CallTo<T, S, K>(PhantomData<(T, S, K)>);

impl<T: Int, S: Src<T>, K: StackMode> Jump for CallTo<T, S, K> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<u64, Stop> {
        let target = S::get::<M>(cpu, op)?;
        if !K::admits(cpu, target) {
            probe_push::<T, K>(cpu)?;
        }
        let target = K::checked(cpu, target)?;
        push::<M, T, K>(cpu, T::truncate(op.imm.get()))?;
        Ok(target)
    }
}

fn lower_jump_to<T: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.handler = if site.size == CodeSize::Bits64 {
        jump_to::<T, Long>(site, insn, op)
    } else {
        jump_to::<T, Legacy>(site, insn, op)
    };
}

fn jump_to<T: Int, K: StackMode>(site: &Site, insn: &Instruction, op: &mut Op) -> Handler {
    if insn.op0_kind() == OpKind::Register {
        op.src = gpr_slot(insn.op0_register());
        jump::<JumpTo<T, SrcReg, K>>
    } else {
        by_ea!(op.set_memory(site, insn), E => jump::<JumpTo<T, Mem<E>, K>>)
    }
}

fn lower_call_to<T: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.handler = if site.size == CodeSize::Bits64 {
        call_to::<T, Long>(site, insn, op)
    } else {
        call_to::<T, Legacy>(site, insn, op)
    };
    op.imm.set(site.next_rip);
}

fn call_to<T: Int, K: StackMode>(site: &Site, insn: &Instruction, op: &mut Op) -> Handler {
    if insn.op0_kind() == OpKind::Register {
        op.src = gpr_slot(insn.op0_register());
        jump::<CallTo<T, SrcReg, K>>
    } else {
        by_ea!(op.set_memory(site, insn), E => jump::<CallTo<T, Mem<E>, K>>)
    }
}

/// `ret`, dropping as many more bytes of stack as the immediate says.
struct Ret<T, S>(PhantomData<(T, S)>);

impl<T: Int, S: StackMode> Jump for Ret<T, S> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<u64, Stop> {
        let target = peek::<M, T, S>(cpu)?;
        let target = S::checked(cpu, target)?;
        S::drop(cpu, T::SIZE.wrapping_add(op.imm.get()));
        Ok(target)
    }
}

fn lower_ret<T: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.imm.set(immediate(insn, 0));
    op.handler = if site.size == CodeSize::Bits64 {
        jump::<Ret<T, Long>>
    } else {
        jump::<Ret<T, Legacy>>
    };
}

pub const FORMS: &[Form] = forms! {
    end [lower_jcc::<Always>]:
        Jmp_rel8_16 Jmp_rel8_32 Jmp_rel8_64 Jmp_rel16 Jmp_rel32_32 Jmp_rel32_64;
    end [lower_jcc::<flags::O>]:
        Jo_rel8_16 Jo_rel8_32 Jo_rel8_64 Jo_rel16 Jo_rel32_32 Jo_rel32_64;
    end [lower_jcc::<flags::No>]:
        Jno_rel8_16 Jno_rel8_32 Jno_rel8_64 Jno_rel16 Jno_rel32_32 Jno_rel32_64;
    end [lower_jcc::<flags::B>]:
        Jb_rel8_16 Jb_rel8_32 Jb_rel8_64 Jb_rel16 Jb_rel32_32 Jb_rel32_64;
    end [lower_jcc::<flags::Ae>]:
        Jae_rel8_16 Jae_rel8_32 Jae_rel8_64 Jae_rel16 Jae_rel32_32 Jae_rel32_64;
    end [lower_jcc::<flags::E>]:
        Je_rel8_16 Je_rel8_32 Je_rel8_64 Je_rel16 Je_rel32_32 Je_rel32_64;
    end [lower_jcc::<flags::Ne>]:
        Jne_rel8_16 Jne_rel8_32 Jne_rel8_64 Jne_rel16 Jne_rel32_32 Jne_rel32_64;
    end [lower_jcc::<flags::Be>]:
        Jbe_rel8_16 Jbe_rel8_32 Jbe_rel8_64 Jbe_rel16 Jbe_rel32_32 Jbe_rel32_64;
    end [lower_jcc::<flags::A>]:
        Ja_rel8_16 Ja_rel8_32 Ja_rel8_64 Ja_rel16 Ja_rel32_32 Ja_rel32_64;
    end [lower_jcc::<flags::S>]:
        Js_rel8_16 Js_rel8_32 Js_rel8_64 Js_rel16 Js_rel32_32 Js_rel32_64;
    end [lower_jcc::<flags::Ns>]:
        Jns_rel8_16 Jns_rel8_32 Jns_rel8_64 Jns_rel16 Jns_rel32_32 Jns_rel32_64;
    end [lower_jcc::<flags::P>]:
        Jp_rel8_16 Jp_rel8_32 Jp_rel8_64 Jp_rel16 Jp_rel32_32 Jp_rel32_64;
    end [lower_jcc::<flags::Np>]:
        Jnp_rel8_16 Jnp_rel8_32 Jnp_rel8_64 Jnp_rel16 Jnp_rel32_32 Jnp_rel32_64;
    end [lower_jcc::<flags::L>]:
        Jl_rel8_16 Jl_rel8_32 Jl_rel8_64 Jl_rel16 Jl_rel32_32 Jl_rel32_64;
    end [lower_jcc::<flags::Ge>]:
        Jge_rel8_16 Jge_rel8_32 Jge_rel8_64 Jge_rel16 Jge_rel32_32 Jge_rel32_64;
    end [lower_jcc::<flags::Le>]:
        Jle_rel8_16 Jle_rel8_32 Jle_rel8_64 Jle_rel16 Jle_rel32_32 Jle_rel32_64;
    end [lower_jcc::<flags::G>]:
        Jg_rel8_16 Jg_rel8_32 Jg_rel8_64 Jg_rel16 Jg_rel32_32 Jg_rel32_64;
    end [lower_counted::<Loop<u16, false, false>>]:
        Loop_rel8_16_CX Loop_rel8_32_CX;
    end [lower_counted::<Loop<u32, false, false>>]:
        Loop_rel8_16_ECX Loop_rel8_32_ECX Loop_rel8_64_ECX;
    end [lower_counted::<Loop<u64, false, false>>]:
        Loop_rel8_16_RCX Loop_rel8_64_RCX;
    end [lower_counted::<Loop<u16, true, false>>]:
        Loope_rel8_16_CX Loope_rel8_32_CX;
    end [lower_counted::<Loop<u32, true, false>>]:
        Loope_rel8_16_ECX Loope_rel8_32_ECX Loope_rel8_64_ECX;
    end [lower_counted::<Loop<u64, true, false>>]:
        Loope_rel8_16_RCX Loope_rel8_64_RCX;
    end [lower_counted::<Loop<u16, false, true>>]:
        Loopne_rel8_16_CX Loopne_rel8_32_CX;
    end [lower_counted::<Loop<u32, false, true>>]:
        Loopne_rel8_16_ECX Loopne_rel8_32_ECX Loopne_rel8_64_ECX;
    end [lower_counted::<Loop<u64, false, true>>]:
        Loopne_rel8_16_RCX Loopne_rel8_64_RCX;
    end [lower_counted::<IfNoCount<u16>>]:
        Jcxz_rel8_16 Jcxz_rel8_32;
    end [lower_counted::<IfNoCount<u32>>]:
        Jecxz_rel8_16 Jecxz_rel8_32 Jecxz_rel8_64;
    end [lower_counted::<IfNoCount<u64>>]:
        Jrcxz_rel8_16 Jrcxz_rel8_64;
    end [lower_call::<u16>]: Call_rel16;
    end [lower_call::<u32>]: Call_rel32_32;
    end [lower_call::<u64>]: Call_rel32_64;
    end [lower_call_to::<u16>]: Call_rm16;
    end [lower_call_to::<u32>]: Call_rm32;
    end [lower_call_to::<u64>]: Call_rm64;
    end [lower_jump_to::<u16>]: Jmp_rm16;
    end [lower_jump_to::<u32>]: Jmp_rm32;
    end [lower_jump_to::<u64>]: Jmp_rm64;
    end [lower_ret::<u16>]: Retnw Retnw_imm16;
    end [lower_ret::<u32>]: Retnd Retnd_imm16;
    end [lower_ret::<u64>]: Retnq Retnq_imm16;
};
