//! Exchanges: `cmpxchg xadd cmpxchg8b cmpxchg16b`.
//!
//! A `lock` prefix changes nothing: all vCPUs run on one thread, and no device writes guest
//! memory while it executes an instruction. Where the remedy of software-backed KVM executes
//! one, vCPUs have threads: no two execute one by the remedy at a time, but what the processor
//! or KVM does for another vCPU between the reading and the writing of an exchange is lost.

use std::marker::PhantomData;

use iced_x86::Instruction;

use crate::emu::arithmetic::flags::{Flags, bit};
use crate::emu::arithmetic::value::Int;
use crate::emu::cpu::access::Access;
use crate::emu::cpu::{Cpu, Op};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::lower::{Binary, lower_binary};
use crate::emu::engine::operand::{Dst, Ea, General, Src};
use crate::emu::engine::{Instr, OnMemory, fast};
use crate::emu::state::exception::{Exception, Stop};
use crate::emu::state::registers::Slot;

/// `cmpxchg dst, src`: memory is written in any case, a register (its upper half, with
/// 32 bits) only if equal.
struct CmpXchg<T, D>(PhantomData<(T, D)>);

impl<T: Int, D: Dst<T>> OnMemory for CmpXchg<T, D> {
    type Slow = CmpXchg<T, D::SlowDst>;
}

impl<T: Int, D: Dst<T>> Instr for CmpXchg<T, D> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let (expected, new) = (cpu.regs.get::<T>(Slot::RAX), cpu.regs.get::<T>(op.src));
        let none = cpu.regs.flags;
        let (old, flags): (T, Flags) = if D::IN_MEMORY {
            D::update::<M, _>(cpu, op, |old| {
                let flags = T::sub(expected, old, none).1;
                let value = if old == expected { new } else { old };
                (value, (old, flags))
            })?
        } else {
            let old = D::get::<M>(cpu, op)?;
            if old == expected {
                D::set::<M>(cpu, op, new)?;
            }
            (old, T::sub(expected, old, none).1)
        };
        cpu.regs.flags = flags;
        if old != expected {
            cpu.regs.set(Slot::RAX, old);
        }
        Ok(())
    }
}

struct CmpXchgFamily;

impl Binary for CmpXchgFamily {
    const ON_MEMORY: bool = false;
    type Form<T: Int, const F: bool, D: Dst<T>, S: Src<T>> = CmpXchg<T, D>;
}

/// `xadd dst, src`.
struct Xadd<T, D>(PhantomData<(T, D)>);

impl<T: Int, D: Dst<T>> OnMemory for Xadd<T, D> {
    type Slow = Xadd<T, D::SlowDst>;
}

impl<T: Int, D: Dst<T>> Instr for Xadd<T, D> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let addend = cpu.regs.get::<T>(op.src);
        let none = cpu.regs.flags;
        let (old, sum, flags) = D::update::<M, _>(cpu, op, |old| {
            let (sum, flags) = T::add(old, addend, none);
            (sum, (old, sum, flags))
        })?;
        cpu.regs.flags = flags;
        cpu.regs.set(op.src, old);
        if op.dst == op.src {
            // A register added to itself keeps the sum.
            D::set::<M>(cpu, op, sum)?;
        }
        Ok(())
    }
}

struct XaddFamily;

impl Binary for XaddFamily {
    const ON_MEMORY: bool = false;
    type Form<T: Int, const F: bool, D: Dst<T>, S: Src<T>> = Xadd<T, D>;
}

/// `cmpxchg8b` and `cmpxchg16b`: two values of type `T` at once.
struct CmpXchgPair<T, E>(PhantomData<(T, E)>);

impl<T: Int, E: Ea> Instr for CmpXchgPair<T, E> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let at = E::linear(cpu, op, 2 * T::SIZE, true)?;
        if T::SIZE == 8 && at.address & 15 != 0 {
            return Err(Exception::GP.into());
        }
        let get = |slot| cpu.regs.get::<T>(slot).zero_extend();
        let expected = [get(Slot::RAX), get(Slot::RDX)];
        let new = [get(Slot::RBX), get(Slot::RCX)];
        let old = if T::SIZE == 8 {
            M::update(cpu, at, |old: [u64; 2]| {
                (if old == expected { new } else { old }, old)
            })?
        } else {
            M::update(cpu, at, |old: u64| {
                let old_pair = [old & 0xffff_ffff, old >> 32];
                let value = if old_pair == expected {
                    new[0] | new[1] << 32
                } else {
                    old
                };
                (value, old_pair)
            })?
        };
        let equal = old == expected;
        cpu.regs.flags = cpu.regs.flags.with(bit::ZF, equal);
        if !equal {
            cpu.regs.set(Slot::RAX, T::truncate(old[0]));
            cpu.regs.set(Slot::RDX, T::truncate(old[1]));
        }
        Ok(())
    }
}

fn lower_pair<T: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.set_memory(site, insn);
    op.handler = fast::<CmpXchgPair<T, General>>;
}

pub const FORMS: &[Form] = forms! {
    next [lower_binary::<CmpXchgFamily>]:
        Cmpxchg_rm8_r8 Cmpxchg_rm16_r16 Cmpxchg_rm32_r32 Cmpxchg_rm64_r64;
    next [lower_binary::<XaddFamily>]:
        Xadd_rm8_r8 Xadd_rm16_r16 Xadd_rm32_r32 Xadd_rm64_r64;
    next [lower_pair::<u32>]: Cmpxchg8b_m64;
    next [lower_pair::<u64>]: Cmpxchg16b_m128;
};
