//! Handlers that call stubs.
//!
//! A memory operand that hits the TLB is used where it is. Any other is brought over: read
//! into a buffer before, or written from it after the stub. Under an MXCSR that is not the
//! default all take the slow handler, which raises #XM.

use std::marker::PhantomData;

use iced_x86::{EncodingKind, Instruction, Mnemonic};

use crate::emu::arithmetic::native;
use crate::emu::code::stub::memory_operand;
use crate::emu::cpu::access::Access;
use crate::emu::cpu::{Cpu, Op};
use crate::emu::engine::form::Site;
use crate::emu::engine::invalid;
use crate::emu::engine::operand::{Ea, EaKind, General, Indexed};
use crate::emu::engine::{Instr, OnMemory, on_memory, slow, sure};
use crate::emu::state::exception::{Exception, Stop};
use crate::emu::state::mxcsr;
use crate::emu::state::registers::Slot;

/// What the op's immediate has beside the stub's address, which is in its low bits.
mod detail {
    pub const ADDRESS: u64 = (1 << 48) - 1;
    /// The operand in memory is read, or written.
    pub const READ: u64 = 1 << 48;
    pub const WRITE: u64 = 1 << 49;
    /// Only elements whose highest bit is set in a mask register.
    pub const MASKED: u64 = 1 << 50;
    /// Of 8 bytes each, not 4.
    pub const QUADS: u64 = 1 << 51;
    /// Where the number of the mask register begins.
    pub const MASK_SHIFT: u32 = 52;
    /// MXCSR may waive the alignment.
    pub const WAIVABLE: u64 = 1 << 56;
}

/// The largest operand in memory.
#[repr(C, align(32))]
struct Buffer([u8; 32]);

impl Op {
    /// Bytes of the operand in memory.
    fn size(&self) -> u64 {
        self.src.0.into()
    }

    /// The bits of its address that must be zero.
    fn alignment(&self) -> u64 {
        self.dst.0.into()
    }
}

/// Calls the op's stub; `operand` is null if it has none in memory.
#[inline(always)]
fn call(cpu: &mut Cpu, op: &Op, operand: *mut u8) {
    let address = op.imm.get() & detail::ADDRESS;
    let registers = (&raw mut cpu.regs).cast();
    // SAFETY: lowering put the address of a stub there, and refused what the host does not
    // have; the operand is as large as the op says.
    unsafe { native::call(address, registers, operand) };
}

/// An instruction on registers.
struct OnRegisters;

impl Instr for OnRegisters {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        call(cpu, op, std::ptr::null_mut());
        Ok(())
    }
}

/// One that reads or, if `WRITES`, writes an operand that hits the TLB.
struct OnOperand<E, const WRITES: bool>(PhantomData<E>);

impl<E: Ea, const WRITES: bool> OnMemory for OnOperand<E, WRITES> {
    type Slow = Anywhere<false>;
}

impl<E: Ea, const WRITES: bool> Instr for OnOperand<E, WRITES> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let at = E::linear(cpu, op, op.size(), WRITES)?;
        let host = if at.address & op.alignment() != 0 {
            None
        } else if WRITES {
            cpu.mmu.write(at.address, op.size())
        } else {
            cpu.mmu
                .read(at.address, op.size())
                .map(<*const u8>::cast_mut)
        };
        call(cpu, op, host.ok_or(Stop::Miss)?);
        Ok(())
    }
}

/// One whose operand may be anywhere, under the guest's MXCSR if `CAREFUL`.
struct Anywhere<const CAREFUL: bool>;

impl<const CAREFUL: bool> Instr for Anywhere<CAREFUL> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let is = |bit: u64| op.imm.get() & bit != 0;
        let mut buffer = Buffer([0; 32]);
        let operand = buffer.0.as_mut_ptr();
        if !is(detail::READ | detail::WRITE) {
            return run::<CAREFUL>(cpu, op, operand);
        }
        let at = General::linear(cpu, op, op.size(), is(detail::WRITE))?;
        let waived = is(detail::WAIVABLE) && cpu.regs.mxcsr & mxcsr::MISALIGNED != 0;
        if at.address & op.alignment() != 0 && !waived {
            return Err(Exception::GP.into());
        }
        let (pieces, size) = pieces(cpu, op);
        let pieces = || {
            pieces
                .into_iter()
                .flatten()
                .map(|start| (start, start + size))
        };
        let place = |start: usize| at.add(start as u64);
        if is(detail::READ) {
            for (start, end) in pieces() {
                cpu.read_bytes(place(start), &mut buffer.0[start..end])?;
            }
            return run::<CAREFUL>(cpu, op, operand);
        }
        // What it raises comes before what the store does, as on processors.
        run::<CAREFUL>(cpu, op, operand)?;
        for (start, _) in pieces() {
            cpu.probe_write(place(start), size as u64)?;
        }
        for (start, end) in pieces() {
            cpu.write_bytes(place(start), &buffer.0[start..end])?;
        }
        Ok(())
    }
}

/// Where the parts of the operand begin that are reached one by one, and how many bytes each
/// has: the elements that the mask names, or all.
fn pieces(cpu: &Cpu, op: &Op) -> ([Option<usize>; 8], usize) {
    let imm = op.imm.get();
    if imm & detail::MASKED == 0 {
        let mut all = [None; 8];
        all[0] = Some(0);
        return (all, op.size() as usize);
    }
    let size = if imm & detail::QUADS != 0 { 8 } else { 4 };
    let mask = cpu.regs.vector((imm >> detail::MASK_SHIFT & 15) as usize);
    let pieces = std::array::from_fn(|i| {
        let start = i * size;
        let within = start < op.size() as usize;
        (within && mask[start + size - 1] & 0x80 != 0).then_some(start)
    });
    (pieces, size)
}

/// Calls the stub.
///
/// # Errors
/// With `CAREFUL`, the exception that is not masked; then nothing is committed.
fn run<const CAREFUL: bool>(cpu: &mut Cpu, op: &Op, operand: *mut u8) -> Result<(), Stop> {
    if !CAREFUL {
        call(cpu, op, operand);
        return Ok(());
    }
    let address = op.imm.get() & detail::ADDRESS;
    let control = cpu.regs.mxcsr & !mxcsr::FLAGS;
    let registers = (&raw mut cpu.regs).cast();
    // SAFETY: as in `call`.
    let raised = unsafe { native::call_under(address, registers, operand, control) };
    cpu.note_float_exceptions(raised)
}

/// Lowers an instruction to a call of its stub.
pub fn lower(site: &Site, insn: &Instruction, op: &mut Op) {
    let Some(stub) = site.stub else {
        return invalid::lower(site, insn, op);
    };
    op.imm.set(stub);
    let careful = site.fp.careful();
    let Some(operand) = memory_operand(insn) else {
        op.handler = if careful {
            slow::<Anywhere<true>>
        } else {
            sure::<OnRegisters>
        };
        return;
    };
    let writes = operand == 0;
    op.imm.set(stub | details(insn, writes));
    let simple = op.set_memory(site, insn) != EaKind::General;
    op.src = Slot(insn.memory_size().size() as u8);
    op.dst = Slot(alignment(insn));
    op.handler = match (careful, simple, writes) {
        (true, _, _) => slow::<Anywhere<true>>,
        (_, false, _) => slow::<Anywhere<false>>,
        (_, _, true) => on_memory::<OnOperand<Indexed, true>>,
        (_, _, false) => on_memory::<OnOperand<Indexed, false>>,
    };
}

/// The [`detail`]s of an instruction with an operand in memory.
fn details(insn: &Instruction, writes: bool) -> u64 {
    use Mnemonic as M;
    let place = if writes { detail::WRITE } else { detail::READ };
    let legacy = match insn.encoding() {
        EncodingKind::Legacy => detail::WAIVABLE,
        _ => 0,
    };
    let masked = match insn.mnemonic() {
        M::Vmaskmovps | M::Vpmaskmovd => detail::MASKED,
        M::Vmaskmovpd | M::Vpmaskmovq => detail::MASKED | detail::QUADS,
        _ => return place | legacy,
    };
    place | masked | (insn.op1_register().number() as u64) << detail::MASK_SHIFT
}

/// The bits of the operand's address that must be zero: for all operands of 16 bytes of
/// legacy instructions, and for some moves.
fn alignment(insn: &Instruction) -> u8 {
    use Mnemonic as M;
    let size = insn.memory_size().size() as u8;
    let aligned = match insn.mnemonic() {
        M::Vmovaps | M::Vmovapd | M::Vmovdqa => true,
        M::Vmovntps | M::Vmovntpd | M::Vmovntdq | M::Vmovntdqa => true,
        _ => insn.encoding() == EncodingKind::Legacy && size == 16,
    };
    if aligned { size - 1 } else { 0 }
}
