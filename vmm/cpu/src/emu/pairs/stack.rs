//! Pairs of pushes and of pops.

use std::marker::PhantomData;

use iced_x86::{Code, Instruction, Register};

use crate::emu::cpu::access::{Access, Fast};
use crate::emu::cpu::stack::{Long, StackMode, peek, push};
use crate::emu::cpu::{Cpu, Handler, Op};
use crate::emu::engine::{Instr, Next, fast, go};
use crate::emu::state::exception::Stop;
use crate::emu::state::registers::Slot;
use crate::emu::state::segment::Linear;

/// A pair of instructions, by the [`Fast`] way.
trait StackPair: 'static {
    /// Executes `first` and `second`.
    ///
    /// # Errors
    /// It commits nothing then, so that they can run one after the other.
    fn execute(cpu: &mut Cpu, first: &Op, second: &Op) -> Result<(), Stop>;

    /// Executes the first one alone.
    ///
    /// # Errors
    /// As for [`Instr`].
    fn first<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop>;
}

/// The first instruction of a pair.
struct First<P>(PhantomData<P>);

impl<P: StackPair> Instr for First<P> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        P::first::<M>(cpu, op)
    }
}

/// Handler of a pair.
///
/// # Safety
/// As for [`Handler`]; the op after this one is the pair's second.
unsafe fn execute<P: StackPair>(cpu: *mut Cpu, op: Next) -> Next {
    // SAFETY: as in `fast`.
    unsafe {
        match P::execute(&mut *cpu, &*op, &*op.add(1)) {
            Ok(()) => go(cpu, op.add(2)),
            // Each may be in a page of its own.
            Err(_) => fast::<First<P>>(cpu, op),
        }
    }
}

/// `push a; push b` of 64 bits, neither of them the stack pointer.
struct Pushes;

impl StackPair for Pushes {
    #[inline(always)]
    fn execute(cpu: &mut Cpu, first: &Op, second: &Op) -> Result<(), Stop> {
        let values = [
            cpu.regs.gprs.read::<u64>(second.src),
            cpu.regs.gprs.read::<u64>(first.src),
        ];
        let pointer = cpu.regs.gprs.read::<u64>(Slot::RSP).wrapping_sub(16);
        Fast::store(cpu, Linear::stack(pointer), values)?;
        cpu.regs.gprs.write(Slot::RSP, pointer);
        Ok(())
    }

    fn first<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let value: u64 = cpu.regs.get(op.src);
        push::<M, u64, Long>(cpu, value)
    }
}

/// `pop a; pop b` of 64 bits, neither of them the stack pointer.
struct Pops;

impl StackPair for Pops {
    #[inline(always)]
    fn execute(cpu: &mut Cpu, first: &Op, second: &Op) -> Result<(), Stop> {
        let pointer = cpu.regs.gprs.read::<u64>(Slot::RSP);
        let [a, b]: [u64; 2] = Fast::load(cpu, Linear::stack(pointer))?;
        cpu.regs.gprs.write(Slot::RSP, pointer.wrapping_add(16));
        cpu.regs.gprs.write(first.dst, a);
        cpu.regs.gprs.write(second.dst, b);
        Ok(())
    }

    fn first<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let value: u64 = peek::<M, u64, Long>(cpu)?;
        Long::drop(cpu, 8);
        cpu.regs.set(op.dst, value);
        Ok(())
    }
}

/// The handler of two pushes or pops of registers in 64-bit code.
pub fn pair(first: &Instruction, second: &Instruction) -> Option<Handler> {
    let of_registers =
        |insn: &Instruction| insn.op0_register().is_gpr64() && insn.op0_register() != Register::RSP;
    if !of_registers(first) || !of_registers(second) {
        return None;
    }
    match (first.code(), second.code()) {
        (Code::Push_r64, Code::Push_r64) => Some(execute::<Pushes>),
        (Code::Pop_r64, Code::Pop_r64) => Some(execute::<Pops>),
        _ => None,
    }
}
