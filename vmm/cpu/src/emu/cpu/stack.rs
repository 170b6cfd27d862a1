//! The stack, as instructions use it.

use crate::emu::arithmetic::value::Int;
use crate::emu::cpu::Cpu;
use crate::emu::cpu::access::Access;
use crate::emu::state::exception::Stop;
use crate::emu::state::registers::Slot;
use crate::emu::state::segment::{Linear, SS};

/// How the stack is addressed.
pub trait StackMode: 'static {
    /// The linear address of `size` bytes at stack pointer `pointer`.
    fn linear(cpu: &Cpu, pointer: u64, size: u64, write: bool) -> Result<Linear, Stop>;
    /// The stack pointer's new value if it is to be `pointer`.
    fn pointer(cpu: &Cpu, pointer: u64) -> u64;
    /// Moves the stack pointer up.
    #[inline(always)]
    fn drop(cpu: &mut Cpu, bytes: u64) {
        let pointer = cpu.regs.gprs.read::<u64>(Slot::RSP).wrapping_add(bytes);
        let pointer = Self::pointer(cpu, pointer);
        cpu.regs.gprs.write(Slot::RSP, pointer);
    }
}

/// 64-bit code.
pub struct Long;

/// Legacy modes: segmented, and of 16 bits unless SS.B is set.
pub struct Legacy;

impl StackMode for Long {
    #[inline(always)]
    fn linear(_: &Cpu, pointer: u64, _: u64, _: bool) -> Result<Linear, Stop> {
        Ok(Linear::stack(pointer))
    }
    #[inline(always)]
    fn pointer(_: &Cpu, pointer: u64) -> u64 {
        pointer
    }
}

impl StackMode for Legacy {
    fn linear(cpu: &Cpu, pointer: u64, size: u64, write: bool) -> Result<Linear, Stop> {
        cpu.control
            .linear(SS as u8, pointer & cpu.control.stack_mask(), size, write)
    }
    fn pointer(cpu: &Cpu, pointer: u64) -> u64 {
        let mask = cpu.control.stack_mask();
        if mask == 0xffff {
            cpu.regs.gprs.read::<u64>(Slot::RSP) & !mask | pointer & mask
        } else {
            pointer & mask
        }
    }
}

/// Pushes `value`; commits all or nothing.
#[inline(always)]
pub fn push<M: Access, T: Int, S: StackMode>(cpu: &mut Cpu, value: T) -> Result<(), Stop> {
    let pointer = cpu.regs.gprs.read::<u64>(Slot::RSP).wrapping_sub(T::SIZE);
    let at = S::linear(cpu, pointer, T::SIZE, true)?;
    M::store(cpu, at, value)?;
    let pointer = S::pointer(cpu, pointer);
    cpu.regs.gprs.write(Slot::RSP, pointer);
    Ok(())
}

/// What is on top of the stack, which stays there until [`StackMode::drop`].
#[inline(always)]
pub fn peek<M: Access, T: Int, S: StackMode>(cpu: &mut Cpu) -> Result<T, Stop> {
    let at = S::linear(cpu, cpu.regs.gprs.read(Slot::RSP), T::SIZE, false)?;
    M::load(cpu, at)
}
