//! The stack: `push pop leave enter pusha popa`.

use std::marker::PhantomData;

use iced_x86::{Instruction, OpKind};

use crate::emu::arithmetic::value::Int;
use crate::emu::cpu::access::Access;
use crate::emu::cpu::stack::{Legacy, Long, StackMode, peek, push};
use crate::emu::cpu::{Cpu, Handler, Op};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::operand::{
    Dst, General, Imm, Mem, Src, SrcReg, by_ea, gpr_slot, immediate,
};
use crate::emu::engine::{Instr, fast, slow};
use crate::emu::state::control::CodeSize;
use crate::emu::state::exception::Stop;
use crate::emu::state::registers::Slot;

/// `push src`.
struct Push<T, V, S>(PhantomData<(T, V, S)>);

impl<T: Int, V: Src<T>, S: StackMode> Instr for Push<T, V, S> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let value = V::get::<M>(cpu, op)?;
        push::<M, T, S>(cpu, value)
    }
}

/// `pop dst` into a register.
struct PopReg<T, S>(PhantomData<(T, S)>);

impl<T: Int, S: StackMode> Instr for PopReg<T, S> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let value: T = peek::<M, T, S>(cpu)?;
        S::drop(cpu, T::SIZE);
        // Last: it may be the stack pointer itself.
        cpu.regs.set(op.dst, value);
        Ok(())
    }
}

/// `pop dst` into memory. An address based on the stack pointer means its value after
/// the pop.
struct PopMem<T, D, S>(PhantomData<(T, D, S)>);

impl<T: Int, D: Dst<T>, S: StackMode> Instr for PopMem<T, D, S> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let value: T = peek::<M, T, S>(cpu)?;
        let before: u64 = cpu.regs.gprs.read(Slot::RSP);
        S::drop(cpu, T::SIZE);
        let result = D::set::<M>(cpu, op, value);
        if result.is_err() {
            cpu.regs.gprs.write(Slot::RSP, before);
        }
        result
    }
}

/// `leave`: the frame pointer becomes the stack pointer, and is popped.
struct Leave<T, S>(PhantomData<(T, S)>);

impl<T: Int, S: StackMode> Instr for Leave<T, S> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, _: &Op) -> Result<(), Stop> {
        let frame: u64 = cpu.regs.gprs.read(Slot::RBP);
        let at = S::linear(cpu, frame, T::SIZE, false)?;
        let value: T = M::load(cpu, at)?;
        let pointer = S::pointer(cpu, frame.wrapping_add(T::SIZE));
        cpu.regs.gprs.write(Slot::RSP, pointer);
        cpu.regs.set(Slot::RBP, value);
        Ok(())
    }
}

/// `enter size, level`: the immediate has the size, and above bit 16 the level.
struct Enter<T, S>(PhantomData<(T, S)>);

impl<T: Int, S: StackMode> Instr for Enter<T, S> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let (size, level) = (op.imm.get() & 0xffff, op.imm.get() >> 16 & 31);
        let frame: u64 = cpu.regs.gprs.read(Slot::RBP);
        probe_enter::<T, S>(cpu, size, level)?;
        let mut pointer = cpu.regs.gprs.read::<u64>(Slot::RSP).wrapping_sub(T::SIZE);
        let store = |cpu: &mut Cpu, pointer: u64, value: T| {
            let at = S::linear(cpu, pointer, T::SIZE, true)?;
            M::store(cpu, at, value)
        };
        store(cpu, pointer, T::truncate(frame))?;
        let new_frame = pointer;
        for i in 1..=level {
            pointer = pointer.wrapping_sub(T::SIZE);
            let value = if i == level {
                T::truncate(new_frame)
            } else {
                let from = frame.wrapping_sub(i * T::SIZE);
                let at = S::linear(cpu, from, T::SIZE, false)?;
                M::load(cpu, at)?
            };
            store(cpu, pointer, value)?;
        }
        let pointer = S::pointer(cpu, pointer.wrapping_sub(size));
        cpu.regs.gprs.write(Slot::RSP, pointer);
        cpu.regs.set(Slot::RBP, T::truncate(new_frame));
        Ok(())
    }
}

/// Checks that all that `enter` reads is readable, and all that it writes, and the new top
/// of the stack, writable.
fn probe_enter<T: Int, S: StackMode>(cpu: &mut Cpu, size: u64, level: u64) -> Result<(), Stop> {
    let frame: u64 = cpu.regs.gprs.read(Slot::RBP);
    let stack: u64 = cpu.regs.gprs.read(Slot::RSP);
    let writable = |cpu: &mut Cpu, pointer: u64| {
        let at = S::linear(cpu, pointer, T::SIZE, true)?;
        cpu.probe_write(at, T::SIZE)
    };
    writable(cpu, stack.wrapping_sub(T::SIZE))?;
    for i in 1..=level {
        if i != level {
            let at = S::linear(cpu, frame.wrapping_sub(i * T::SIZE), T::SIZE, false)?;
            cpu.probe_read(at, T::SIZE)?;
        }
        writable(cpu, stack.wrapping_sub((i + 1) * T::SIZE))?;
    }
    writable(cpu, stack.wrapping_sub((level + 1) * T::SIZE + size))
}

/// `pusha`: all eight general registers, with the stack pointer as it was.
struct PushAll<T>(PhantomData<T>);

impl<T: Int> Instr for PushAll<T> {
    fn exec<M: Access>(cpu: &mut Cpu, _: &Op) -> Result<(), Stop> {
        let mut pointer: u64 = cpu.regs.gprs.read(Slot::RSP);
        for number in 0..8 {
            pointer = pointer.wrapping_sub(T::SIZE);
            let at = Legacy::linear(cpu, pointer, T::SIZE, true)?;
            let value = cpu.regs.get::<T>(Slot::gpr(number));
            M::store(cpu, at, value)?;
        }
        let pointer = Legacy::pointer(cpu, pointer);
        cpu.regs.gprs.write(Slot::RSP, pointer);
        Ok(())
    }
}

/// `popa`: the same without the stack pointer.
struct PopAll<T>(PhantomData<T>);

impl<T: Int> Instr for PopAll<T> {
    fn exec<M: Access>(cpu: &mut Cpu, _: &Op) -> Result<(), Stop> {
        let pointer: u64 = cpu.regs.gprs.read(Slot::RSP);
        let mut values = [T::ZERO; 8];
        for (n, value) in (0..).zip(values.iter_mut().rev()) {
            let from = pointer.wrapping_add(n * T::SIZE);
            let at = Legacy::linear(cpu, from, T::SIZE, false)?;
            *value = M::load(cpu, at)?;
        }
        for (number, value) in values.into_iter().enumerate() {
            if Slot::gpr(number) != Slot::RSP {
                cpu.regs.set(Slot::gpr(number), value);
            }
        }
        Legacy::drop(cpu, 8 * T::SIZE);
        Ok(())
    }
}

fn lower_all<I: Instr>(_: &Site, _: &Instruction, op: &mut Op) {
    op.handler = slow::<I>;
}

fn lower_push<T: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.handler = if site.size == CodeSize::Bits64 {
        push_form::<T, Long>(site, insn, op)
    } else {
        push_form::<T, Legacy>(site, insn, op)
    };
}

fn push_form<T: Int, S: StackMode>(site: &Site, insn: &Instruction, op: &mut Op) -> Handler {
    match insn.op0_kind() {
        OpKind::Register => {
            op.src = gpr_slot(insn.op0_register());
            fast::<Push<T, SrcReg, S>>
        }
        OpKind::Memory => {
            by_ea!(op.set_memory(site, insn), E => fast::<Push<T, Mem<E>, S>>)
        }
        _ => {
            op.imm.set(immediate(insn, 0));
            fast::<Push<T, Imm, S>>
        }
    }
}

fn lower_pop<T: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.handler = if site.size == CodeSize::Bits64 {
        pop_form::<T, Long>(site, insn, op)
    } else {
        pop_form::<T, Legacy>(site, insn, op)
    };
}

fn pop_form<T: Int, S: StackMode>(site: &Site, insn: &Instruction, op: &mut Op) -> Handler {
    if insn.op0_kind() == OpKind::Register {
        op.dst = gpr_slot(insn.op0_register());
        fast::<PopReg<T, S>>
    } else {
        op.set_memory(site, insn);
        fast::<PopMem<T, Mem<General>, S>>
    }
}

fn lower_leave<T: Int>(site: &Site, _: &Instruction, op: &mut Op) {
    op.handler = if site.size == CodeSize::Bits64 {
        fast::<Leave<T, Long>>
    } else {
        fast::<Leave<T, Legacy>>
    };
}

fn lower_enter<T: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.imm
        .set(immediate(insn, 0) & 0xffff | immediate(insn, 1) << 16);
    op.handler = if site.size == CodeSize::Bits64 {
        slow::<Enter<T, Long>>
    } else {
        slow::<Enter<T, Legacy>>
    };
}

pub const FORMS: &[Form] = forms! {
    next [lower_push::<u16>]: Push_r16 Push_rm16 Push_imm16 Pushw_imm8;
    next [lower_push::<u32>]: Push_r32 Push_rm32 Pushd_imm32 Pushd_imm8;
    next [lower_push::<u64>]: Push_r64 Push_rm64 Pushq_imm32 Pushq_imm8;
    next [lower_pop::<u16>]: Pop_r16 Pop_rm16;
    next [lower_pop::<u32>]: Pop_r32 Pop_rm32;
    next [lower_pop::<u64>]: Pop_r64 Pop_rm64;
    next [lower_leave::<u16>]: Leavew;
    next [lower_leave::<u32>]: Leaved;
    next [lower_leave::<u64>]: Leaveq;
    next [lower_enter::<u16>]: Enterw_imm16_imm8;
    next [lower_enter::<u32>]: Enterd_imm16_imm8;
    next [lower_enter::<u64>]: Enterq_imm16_imm8;
    next [lower_all::<PushAll<u16>>]: Pushaw;
    next [lower_all::<PushAll<u32>>]: Pushad;
    next [lower_all::<PopAll<u16>>]: Popaw;
    next [lower_all::<PopAll<u32>>]: Popad;
};
