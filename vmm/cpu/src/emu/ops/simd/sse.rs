//! What the families of XMM instructions share: operands, and how the host executes.
//!
//! Most instructions are `op xmm, xmm/memory` with perhaps an immediate. The host has each
//! of them as a few bytes of code of its own, a *stub* (`op xmm0, xmm1; ret`, 256 of them
//! where there is an immediate), whose address the op holds: so all share a few handlers,
//! one for each place of the source. The frequent ones (`direct`) have handlers with the
//! instruction inside. Rejected: a handler for every instruction and place (some 3000
//! functions, most never used), and software semantics (slower, and hard to verify).
//!
//! A register is always written whole, scalar or not, since a wide load just after a
//! narrow store to the same place stalls the host.

use std::arch::asm;
use std::arch::x86_64::{__m128i, _mm_cvtsi64_si128};
use std::marker::PhantomData;

use iced_x86::{Instruction, OpKind};

use crate::emu::arithmetic::native;
use crate::emu::arithmetic::value::Int;
use crate::emu::cpu::access::Access;
use crate::emu::cpu::{Cpu, Handler, Op};
use crate::emu::engine::form::Site;
use crate::emu::engine::operand::{
    Aligned, Based, Ea, EaKind, General, Indexed, Mem, Src, SrcXmm, immediate, xmm_slot,
};
use crate::emu::engine::{Instr, OnMemory, fast, on_memory, slow, sure};
use crate::emu::state::exception::Stop;
use crate::emu::state::mxcsr;

/// Where the source of an instruction is if it is in memory.
pub trait Place: 'static {
    type Mem<E: Ea>: Src<__m128i>;
}

/// 16 bytes, aligned.
pub struct Full;
/// 16 bytes.
pub struct Loose;
/// A `T`, zero-extended.
pub struct Low<T>(PhantomData<T>);

impl Place for Full {
    type Mem<E: Ea> = Aligned<E>;
}
impl Place for Loose {
    type Mem<E: Ea> = Mem<E>;
}
impl<T: Int> Place for Low<T> {
    type Mem<E: Ea> = LowMem<T, E>;
}

/// A `T` in memory, zero-extended.
pub struct LowMem<T, E>(PhantomData<(T, E)>);

impl<T: Int, E: Ea> Src<__m128i> for LowMem<T, E> {
    type Slow = LowMem<T, General>;
    #[inline(always)]
    fn get<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<__m128i, Stop> {
        let at = E::linear(cpu, op, T::SIZE, false)?;
        Ok(low(M::load::<T>(cpu, at)?.zero_extend()))
    }
}

/// `value` in the low half of a vector.
#[inline(always)]
pub fn low(value: u64) -> __m128i {
    // SAFETY: SSE2 is part of x86-64.
    unsafe { _mm_cvtsi64_si128(value as i64) }
}

/// Where an instruction with [`Family`] has its source.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Full,
    Loose,
    Low64,
    Low32,
    Low16,
}

/// An instruction whose source can be in any place.
pub trait Family: 'static {
    type Form<S: Src<__m128i>>: OnMemory;
}

/// Describes the source, operand 1, and picks the handler: one that is fast for the
/// usual kinds of address.
pub fn source_form<F: Family>(
    site: &Site,
    insn: &Instruction,
    op: &mut Op,
    source: Source,
) -> Handler {
    if insn.op1_kind() == OpKind::Register {
        op.src = xmm_slot(insn.op1_register());
        return fast::<F::Form<SrcXmm>>;
    }
    let general = op.set_memory(site, insn) == EaKind::General;
    match source {
        Source::Full => memory_form::<F, Full>(general),
        Source::Loose => memory_form::<F, Loose>(general),
        Source::Low64 => memory_form::<F, Low<u64>>(general),
        Source::Low32 => memory_form::<F, Low<u32>>(general),
        Source::Low16 => memory_form::<F, Low<u16>>(general),
    }
}

fn memory_form<F: Family, P: Place>(general: bool) -> Handler {
    if general {
        slow::<F::Form<P::Mem<General>>>
    } else {
        // An address without an index is one with an index of zero.
        on_memory::<F::Form<P::Mem<Indexed>>>
    }
}

/// What an instruction does with MXCSR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Math {
    /// It does not use it.
    None,
    /// It is rounded as that says, and may raise exceptions.
    Used,
}

/// A vector as an integer.
pub struct Bits128(u128);

impl From<__m128i> for Bits128 {
    #[inline(always)]
    fn from(value: __m128i) -> Self {
        // SAFETY: both are 128 bits of any value.
        Self(unsafe { std::mem::transmute::<__m128i, u128>(value) })
    }
}

impl Bits128 {
    pub fn doubles(&self) -> [u64; 2] {
        [self.0 as u64, (self.0 >> 64) as u64]
    }
}

/// Executes the stub at `address` on `a` and `b`.
///
/// # Safety
/// A stub is there, of an instruction that the host has.
#[inline(always)]
pub unsafe fn call_stub(address: u64, a: __m128i, b: __m128i) -> __m128i {
    let mut result = a;
    // SAFETY: a stub changes xmm0 and xmm1 at most, and returns.
    unsafe {
        asm!(
            "call {}",
            in(reg) address,
            inout("xmm0") result,
            inout("xmm1") b => _,
            options(nomem),
        );
    }
    result
}

/// As [`call_stub`], under the MXCSR `control`, whose exception flags are clear. Returns also
/// those that are set then; if one of them is not masked, there is no result.
///
/// # Safety
/// As for [`call_stub`].
pub unsafe fn call_stub_under(
    address: u64,
    a: __m128i,
    b: __m128i,
    control: u32,
) -> (__m128i, u32) {
    let mut result = a;
    let mut registers = [control, 0];
    // SAFETY: as in `call_stub`; the host's own MXCSR is saved and restored.
    native::stopping_at_exceptions(control, || unsafe {
        asm!(
            "stmxcsr [{m} + 4]",
            "ldmxcsr [{m}]",
            "call {f}",
            "stmxcsr [{m}]",
            "ldmxcsr [{m} + 4]",
            f = in(reg) address,
            m = in(reg) registers.as_mut_ptr(),
            inout("xmm0") result,
            inout("xmm1") b => _,
        );
    });
    (result, registers[0] & mxcsr::FLAGS)
}

/// `dst = stub(dst, src)`.
struct Stub<S>(PhantomData<S>);

impl<S: Src<__m128i>> OnMemory for Stub<S> {
    type Slow = Stub<S::Slow>;
}

impl<S: Src<__m128i>> Instr for Stub<S> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let b = S::get::<M>(cpu, op)?;
        let a = cpu.regs.xmms.read(op.dst);
        // SAFETY: lowering put the address of a stub there, and refused what the host
        // does not have.
        let result = unsafe { call_stub(op.imm.get(), a, b) };
        cpu.regs.xmms.write(op.dst, result);
        Ok(())
    }
}

struct StubFamily;
impl Family for StubFamily {
    type Form<S: Src<__m128i>> = Stub<S>;
}

/// Leaves an instruction that executes under an MXCSR of its own to its slow handler: that takes
/// room on the stack.
///
/// # Errors
/// In the fast one.
#[inline(always)]
pub fn leave_to_slow<M: Access>() -> Result<(), Stop> {
    match M::SLOW {
        true => Ok(()),
        false => Err(Stop::Miss),
    }
}

/// `dst = stub(dst, src)` under the guest's MXCSR, which is not the default.
struct CarefulStub<S>(PhantomData<S>);

impl<S: Src<__m128i>> OnMemory for CarefulStub<S> {
    type Slow = CarefulStub<S::Slow>;
}

impl<S: Src<__m128i>> Instr for CarefulStub<S> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        leave_to_slow::<M>()?;
        let b = S::get::<M>(cpu, op)?;
        let a = cpu.regs.xmms.read(op.dst);
        let control = cpu.regs.mxcsr & !mxcsr::FLAGS;
        // SAFETY: as in `Stub`.
        let (result, raised) = unsafe { call_stub_under(op.imm.get(), a, b, control) };
        cpu.note_float_exceptions(raised)?;
        cpu.regs.xmms.write(op.dst, result);
        Ok(())
    }
}

struct CarefulFamily;
impl Family for CarefulFamily {
    type Form<S: Src<__m128i>> = CarefulStub<S>;
}

/// Lowers `op xmm, xmm/memory`, executed by a stub.
pub fn lower_stub(
    site: &Site,
    insn: &Instruction,
    op: &mut Op,
    source: Source,
    math: Math,
    stub: Stubs,
) {
    op.dst = xmm_slot(insn.op0_register());
    op.imm.set(stub.address(insn));
    op.handler = if math != Math::None && site.fp.careful() {
        source_form::<CarefulFamily>(site, insn, op, source)
    } else {
        source_form::<StubFamily>(site, insn, op, source)
    };
}

/// Lowers `op xmm, imm8`, executed by a stub.
pub fn lower_shift(_: &Site, insn: &Instruction, op: &mut Op, stub: Stubs) {
    op.dst = xmm_slot(insn.op0_register());
    op.src = op.dst;
    op.imm.set(stub.address(insn));
    op.handler = sure::<Stub<SrcXmm>>;
}

/// Stubs of one instruction.
#[derive(Clone, Copy)]
pub struct Stubs {
    /// The first.
    pub first: unsafe extern "C" fn(),
    /// The number of the operand that is the immediate, if there is one.
    pub imm: Option<u32>,
}

/// Bytes from a stub to that for the next immediate.
pub const STUB_SIZE: u64 = 8;

impl Stubs {
    /// Address of the stub for `insn`.
    pub fn address(self, insn: &Instruction) -> u64 {
        let imm = self.imm.map_or(0, |operand| immediate(insn, operand));
        self.first as *const () as u64 + STUB_SIZE * (imm & 0xff)
    }
}

/// An instruction that the host executes inside the handler.
pub trait Direct: 'static {
    fn apply(a: __m128i, b: __m128i) -> __m128i;
}

/// `dst = O(dst, src)`.
pub struct DirectOp<O, S>(PhantomData<(O, S)>);

impl<O: Direct, S: Src<__m128i>> OnMemory for DirectOp<O, S> {
    type Slow = DirectOp<O, S::Slow>;
}

impl<O: Direct, S: Src<__m128i>> Instr for DirectOp<O, S> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let b = S::get::<M>(cpu, op)?;
        let a = cpu.regs.xmms.read(op.dst);
        cpu.regs.xmms.write(op.dst, O::apply(a, b));
        Ok(())
    }
}

/// Lowers `op xmm, xmm/memory`, executed inside the handler.
pub fn lower_direct<O: Direct, P: Place>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.dst = xmm_slot(insn.op0_register());
    op.handler = if insn.op1_kind() == OpKind::Register {
        op.src = xmm_slot(insn.op1_register());
        sure::<DirectOp<O, SrcXmm>>
    } else {
        match op.set_memory(site, insn) {
            EaKind::Based => on_memory::<DirectOp<O, P::Mem<Based>>>,
            EaKind::Indexed => on_memory::<DirectOp<O, P::Mem<Indexed>>>,
            EaKind::General => slow::<DirectOp<O, P::Mem<General>>>,
        }
    };
}
