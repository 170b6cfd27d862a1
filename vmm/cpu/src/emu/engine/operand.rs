//! Operands: where an instruction's inputs are and its output goes.
//!
//! Semantics are generic over these, so that each combination of operand forms gets a
//! handler of its own that does not test the form.

use std::arch::x86_64::__m128i;
use std::marker::PhantomData;

use iced_x86::{Instruction, Register};

use crate::emu::arithmetic::value::{Int, Plain};
use crate::emu::code::op::Aux;
use crate::emu::cpu::access::Access;
use crate::emu::cpu::{Cpu, Op};
use crate::emu::engine::form::Site;
use crate::emu::state::control::CodeSize;
use crate::emu::state::exception::Stop;
use crate::emu::state::mxcsr;
use crate::emu::state::registers::Slot;
use crate::emu::state::segment::{DS, FS, Linear, SS};

/// How the address of the memory operand is computed.
pub trait Ea: 'static {
    /// The linear address of the operand, of `size` bytes.
    ///
    /// # Errors
    /// #GP or #SS from segmentation, in legacy modes.
    fn linear(cpu: &Cpu, op: &Op, size: u64, write: bool) -> Result<Linear, Stop>;
}

/// 64-bit code: a base register (or none) and a displacement.
pub struct Based;
/// 64-bit code: base, scaled index and displacement.
pub struct Indexed;
/// Anything: other segments, address sizes and modes.
pub struct General;

impl Ea for Based {
    #[inline(always)]
    fn linear(cpu: &Cpu, op: &Op, _: u64, _: bool) -> Result<Linear, Stop> {
        let base: u64 = cpu.regs.gprs.read(op.base);
        Ok(Linear {
            address: base.wrapping_add(op.disp.get()),
            segment: op.aux.segment(),
        })
    }
}

impl Ea for Indexed {
    #[inline(always)]
    fn linear(cpu: &Cpu, op: &Op, _: u64, _: bool) -> Result<Linear, Stop> {
        Ok(Linear {
            address: offset(cpu, op),
            segment: op.aux.segment(),
        })
    }
}

impl Ea for General {
    #[inline(never)]
    fn linear(cpu: &Cpu, op: &Op, size: u64, write: bool) -> Result<Linear, Stop> {
        let offset = offset(cpu, op) & op.aux.address_mask();
        cpu.control.linear(op.aux.segment(), offset, size, write)
    }
}

/// Base plus scaled index plus displacement.
#[inline(always)]
pub fn offset(cpu: &Cpu, op: &Op) -> u64 {
    let base: u64 = cpu.regs.gprs.read(op.base);
    let index: u64 = cpu.regs.gprs.read(op.index);
    base.wrapping_add(index << op.aux.scale())
        .wrapping_add(op.disp.get())
}

/// An input of type `T`.
pub trait Src<T>: 'static {
    /// The same at any address: see [`OnMemory`](crate::emu::engine::OnMemory).
    type Slow: Src<T>;
    fn get<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<T, Stop>;
}

/// An output of type `T`, which may be an input as well.
pub trait Dst<T>: Src<T> {
    /// As in [`Src`].
    type SlowDst: Dst<T>;
    /// Whether it is in guest memory.
    const IN_MEMORY: bool = false;
    fn set<M: Access>(cpu: &mut Cpu, op: &Op, value: T) -> Result<(), Stop>;
    /// Replaces the value by `change` of it.
    fn update<M: Access, R>(
        cpu: &mut Cpu,
        op: &Op,
        change: impl FnOnce(T) -> (T, R),
    ) -> Result<R, Stop>;
}

/// The general register in `dst`.
pub struct DstReg;
/// The general register in `src`.
pub struct SrcReg;
/// The immediate.
pub struct Imm;
/// The memory operand.
pub struct Mem<E>(PhantomData<E>);
/// The XMM register in `src`.
pub struct SrcXmm;

impl<T: Int> Src<T> for DstReg {
    type Slow = Self;
    #[inline(always)]
    fn get<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<T, Stop> {
        Ok(cpu.regs.get::<T>(op.dst))
    }
}

impl<T: Int> Dst<T> for DstReg {
    type SlowDst = Self;
    #[inline(always)]
    fn set<M: Access>(cpu: &mut Cpu, op: &Op, value: T) -> Result<(), Stop> {
        cpu.regs.set(op.dst, value);
        Ok(())
    }
    #[inline(always)]
    fn update<M: Access, R>(
        cpu: &mut Cpu,
        op: &Op,
        change: impl FnOnce(T) -> (T, R),
    ) -> Result<R, Stop> {
        let (value, result) = change(cpu.regs.get::<T>(op.dst));
        cpu.regs.set(op.dst, value);
        Ok(result)
    }
}

impl<T: Int> Src<T> for SrcReg {
    type Slow = Self;
    #[inline(always)]
    fn get<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<T, Stop> {
        Ok(cpu.regs.get::<T>(op.src))
    }
}

impl<T: Int> Src<T> for Imm {
    type Slow = Self;
    #[inline(always)]
    fn get<M: Access>(_: &mut Cpu, op: &Op) -> Result<T, Stop> {
        Ok(T::truncate(op.imm.get()))
    }
}

impl<T: Plain, E: Ea> Src<T> for Mem<E> {
    type Slow = Mem<General>;
    #[inline(always)]
    fn get<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<T, Stop> {
        let at = E::linear(cpu, op, T::SIZE, false)?;
        M::load(cpu, at)
    }
}

impl<T: Plain, E: Ea> Dst<T> for Mem<E> {
    type SlowDst = Mem<General>;
    const IN_MEMORY: bool = true;
    #[inline(always)]
    fn set<M: Access>(cpu: &mut Cpu, op: &Op, value: T) -> Result<(), Stop> {
        let at = E::linear(cpu, op, T::SIZE, true)?;
        M::store(cpu, at, value)
    }
    #[inline(always)]
    fn update<M: Access, R>(
        cpu: &mut Cpu,
        op: &Op,
        change: impl FnOnce(T) -> (T, R),
    ) -> Result<R, Stop> {
        let at = E::linear(cpu, op, T::SIZE, true)?;
        M::update(cpu, at, change)
    }
}

impl<T: Plain> Src<T> for SrcXmm {
    type Slow = Self;
    #[inline(always)]
    fn get<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<T, Stop> {
        Ok(cpu.regs.xmms.read(op.src))
    }
}

/// `M` as in the 128-bit SSE instructions that want their memory operand aligned.
pub struct Aligned<E>(PhantomData<E>);

/// #GP(0) if `at` is not aligned to 16 bytes, and MXCSR does not waive it.
#[inline(always)]
fn check_aligned(cpu: &Cpu, at: Linear) -> Result<(), Stop> {
    if at.address & 15 != 0 && cpu.regs.mxcsr & mxcsr::MISALIGNED == 0 {
        return Err(crate::emu::state::exception::Exception::GP.into());
    }
    Ok(())
}

impl<E: Ea> Src<__m128i> for Aligned<E> {
    type Slow = Aligned<General>;
    #[inline(always)]
    fn get<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<__m128i, Stop> {
        let at = E::linear(cpu, op, 16, false)?;
        check_aligned(cpu, at)?;
        M::load(cpu, at)
    }
}

impl<E: Ea> Dst<__m128i> for Aligned<E> {
    type SlowDst = Aligned<General>;
    const IN_MEMORY: bool = true;
    #[inline(always)]
    fn set<M: Access>(cpu: &mut Cpu, op: &Op, value: __m128i) -> Result<(), Stop> {
        let at = E::linear(cpu, op, 16, true)?;
        check_aligned(cpu, at)?;
        M::store(cpu, at, value)
    }
    fn update<M: Access, R>(
        cpu: &mut Cpu,
        op: &Op,
        change: impl FnOnce(__m128i) -> (__m128i, R),
    ) -> Result<R, Stop> {
        let (value, result) = change(<Self as Src<__m128i>>::get::<M>(cpu, op)?);
        <Self as Dst<__m128i>>::set::<M>(cpu, op, value)?;
        Ok(result)
    }
}

/// Which of the [`Ea`]s the memory operand needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EaKind {
    Based,
    Indexed,
    General,
}

/// The slot of a general register.
pub fn gpr_slot(register: Register) -> Slot {
    let Slot(offset) = Slot::gpr(register.full_register().number());
    let high = matches!(
        register,
        Register::AH | Register::CH | Register::DH | Register::BH
    );
    Slot(offset + u8::from(high))
}

/// The slot of an XMM register.
pub fn xmm_slot(register: Register) -> Slot {
    Slot::xmm(register.number())
}

/// Number of a segment register in `Control::segments`.
pub fn segment_number(register: Register) -> u8 {
    (register as u32).wrapping_sub(Register::ES as u32).min(5) as u8
}

/// Number of the segment that the memory operand is in. 64-bit code ignores prefixes for
/// the first four, which then tell only of #SS or #GP: the base register decides.
pub fn memory_segment(site: &Site, insn: &Instruction) -> u8 {
    let named = segment_number(insn.memory_segment());
    if site.size != CodeSize::Bits64 || usize::from(named) >= FS {
        return named;
    }
    match insn.memory_base() {
        Register::RSP | Register::RBP | Register::ESP | Register::EBP => SS as u8,
        _ => DS as u8,
    }
}

impl Op {
    /// Describes the instruction's memory operand.
    pub fn set_memory(&mut self, site: &Site, insn: &Instruction) -> EaKind {
        let (base, index) = (insn.memory_base(), insn.memory_index());
        let relative = matches!(base, Register::RIP | Register::EIP);
        let size = if base != Register::None {
            base.size()
        } else if index != Register::None {
            index.size()
        } else {
            insn.memory_displ_size() as usize
        };
        let size = match size {
            2 => 0,
            4 => 1,
            8 => 2,
            _ => site.size as u8,
        };
        let slot = |register: Register| {
            if register == Register::None {
                Slot::ZERO
            } else {
                gpr_slot(register)
            }
        };
        self.base = if relative { Slot::ZERO } else { slot(base) };
        self.index = slot(index);
        self.disp.set(insn.memory_displacement64());
        let scale = insn.memory_index_scale().trailing_zeros() as u8;
        let segment = memory_segment(site, insn);
        self.aux = Aux::new(scale, segment, size);
        if site.size != CodeSize::Bits64 || size != 2 || segment >= 4 {
            EaKind::General
        } else if index == Register::None {
            EaKind::Based
        } else {
            EaKind::Indexed
        }
    }
}

/// Chooses by [`EaKind`]: `by_ea!(kind, E => expression of the type E)`.
macro_rules! by_ea {
    ($kind:expr, $e:ident => $value:expr) => {
        match $kind {
            $crate::emu::engine::operand::EaKind::Based => {
                type $e = $crate::emu::engine::operand::Based;
                $value
            }
            $crate::emu::engine::operand::EaKind::Indexed => {
                type $e = $crate::emu::engine::operand::Indexed;
                $value
            }
            $crate::emu::engine::operand::EaKind::General => {
                type $e = $crate::emu::engine::operand::General;
                $value
            }
        }
    };
}
pub(crate) use by_ea;

/// The immediate operand number `operand`, sign-extended as the instruction says; 0 if
/// it is none.
pub fn immediate(insn: &Instruction, operand: u32) -> u64 {
    insn.try_immediate(operand).unwrap_or(0)
}
