//! The stack, as instructions use it, and where near jumps may go.

use crate::emu::arithmetic::value::Int;
use crate::emu::cpu::Cpu;
use crate::emu::cpu::access::Access;
use crate::emu::state::control::canonical;
use crate::emu::state::exception::{Exception, Stop};
use crate::emu::state::registers::Slot;
use crate::emu::state::segment::{CS, Linear, SS};

/// How the stack and the next instruction are addressed.
pub trait StackMode: 'static {
    /// The linear address of `size` bytes at stack pointer `pointer`.
    fn linear(cpu: &Cpu, pointer: u64, size: u64, write: bool) -> Result<Linear, Stop>;
    /// The stack pointer's new value if it is to be `pointer`.
    fn pointer(cpu: &Cpu, pointer: u64) -> u64;
    /// Whether code may be at `target`, an instruction pointer of type `T`.
    fn admits<T: Int>(cpu: &Cpu, target: T) -> bool;
    /// The instruction pointer `target`.
    ///
    /// # Errors
    /// #GP(0) where no code may be.
    #[inline(always)]
    fn checked<T: Int>(cpu: &Cpu, target: T) -> Result<u64, Stop> {
        if Self::admits(cpu, target) {
            Ok(target.zero_extend())
        } else {
            Err(Exception::GP.into())
        }
    }
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
    #[inline(always)]
    fn admits<T: Int>(_: &Cpu, target: T) -> bool {
        T::BITS != 64 || canonical(target.zero_extend())
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
    fn admits<T: Int>(cpu: &Cpu, target: T) -> bool {
        target.zero_extend() <= u64::from(cpu.control.segments[CS].limit)
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
