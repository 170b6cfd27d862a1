//! Stubs: an instruction of the guest as code of the host.
//!
//! ```text
//! registers that it reads    from the guest's registers (at rdi), to the host's
//! the instruction            its operand in memory, if it has one, at rsi
//! registers that it writes   back
//! flags                      the same, if it reads or writes any
//! ret
//! ```
//!
//! Vector registers keep their numbers; general ones are renamed, as not all are free. What
//! is read and written, iced's tables say. After a VEX instruction the whole of a vector
//! register is stored: the host has already cleared what the guest's processor would.

use std::mem::offset_of;

use iced_x86::{
    Code, Encoder, EncodingKind, IcedError, Instruction, InstructionInfoFactory, MemoryOperand,
    OpAccess, OpKind, Register,
};

use crate::emu::arithmetic::flags::Flags;
use crate::emu::state::registers::Registers;

/// The host's registers with the addresses of the guest's registers, and of the operand.
const GUEST: Register = Register::RDI;
const OPERAND: Register = Register::RSI;
/// The host's register for the first general register among the operands; three follow. No
/// instruction uses these by itself.
const GENERAL: Register = Register::R8;

/// The instruction with its operand in memory where the stub has it: equal for all that have
/// the same stub.
pub fn with_operand_at_hand(insn: &Instruction) -> Instruction {
    let mut insn = *insn;
    if memory_operand(&insn).is_some() {
        insn.set_segment_prefix(Register::None);
        insn.set_memory_base(OPERAND);
        insn.set_memory_index(Register::None);
        insn.set_memory_index_scale(1);
        insn.set_memory_displacement64(0);
        insn.set_memory_displ_size(0);
    }
    insn
}

/// The number of the operand in memory.
pub fn memory_operand(insn: &Instruction) -> Option<u32> {
    (0..insn.op_count()).find(|&i| insn.op_kind(i) == OpKind::Memory)
}

/// The stub of an instruction from [`with_operand_at_hand`].
///
/// # Errors
/// It has no form in 64-bit code.
pub fn assemble(insn: &Instruction) -> Result<Vec<u8>, IcedError> {
    let is_vex = insn.encoding() == EncodingKind::VEX;
    let is_wide = (0..insn.op_count()).any(|i| insn.op_register(i).is_ymm());
    let mut stub = Stub {
        encoder: Encoder::new(64),
        is_vex,
        is_wide,
    };
    let mut insn = *insn;
    let operand = stub.take_out_of_memory(&mut insn)?;
    let guests = rename(&mut insn);
    let mut info = InstructionInfoFactory::new();
    let used: Vec<_> = info
        .info(&insn)
        .used_registers()
        .iter()
        .filter(|used| ![OPERAND, operand].contains(&used.register()))
        .map(|used| (used.register(), used.access()))
        .collect();
    for &(register, _) in used.iter().filter(|(_, access)| *access != OpAccess::Write) {
        stub.load(register, &guests)?;
    }
    let flags = insn.rflags_modified() & Flags::BITS;
    if insn.rflags_read() != 0 || flags != 0 && flags != Flags::BITS {
        stub.load_flags()?;
    }
    stub.add(insn)?;
    for &(register, _) in used.iter().filter(|(_, access)| *access != OpAccess::Read) {
        stub.store(register, &guests)?;
    }
    if flags != 0 {
        stub.store_flags()?;
    }
    if used
        .iter()
        .any(|(register, _)| is_vex && register.is_vector_register())
    {
        stub.add(Instruction::with(Code::VEX_Vzeroupper))?;
    }
    stub.add(Instruction::with(Code::Retnq))?;
    Ok(stub.encoder.take_buffer())
}

/// Renames the general registers among the operands. Returns the guest's, in the order of the
/// host's from [`GENERAL`] on.
fn rename(insn: &mut Instruction) -> Vec<Register> {
    let mut guests = Vec::new();
    for i in 0..insn.op_count() {
        let register = insn.op_register(i);
        if insn.op_kind(i) != OpKind::Register || !register.is_gpr() {
            continue;
        }
        let guest = register.full_register();
        let known = guests.iter().position(|&other| other == guest);
        let place = known.unwrap_or_else(|| {
            guests.push(guest);
            guests.len() - 1
        });
        let first = match register.size() {
            4 => Register::R8D,
            _ => GENERAL,
        };
        insn.set_op_register(i, first + place as u32);
    }
    guests
}

/// A stub under construction.
struct Stub {
    encoder: Encoder,
    is_vex: bool,
    /// Whether any operand has 256 bits.
    is_wide: bool,
}

/// Where in [`Registers`] a field is.
macro_rules! place {
    ($field:ident, $number:expr, $size:literal) => {
        MemoryOperand::with_base_displ(
            GUEST,
            (offset_of!(Registers, $field) + $size * $number) as i64,
        )
    };
}

impl Stub {
    fn add(&mut self, insn: Instruction) -> Result<(), IcedError> {
        self.encoder.encode(&insn, 0).map(drop)
    }

    /// Moves an operand that must be aligned from memory to a register that the instruction
    /// does not name, and returns that.
    fn take_out_of_memory(&mut self, insn: &mut Instruction) -> Result<Register, IcedError> {
        let wants_alignment = !self.is_vex && insn.memory_size().size() == 16;
        let Some(operand) = memory_operand(insn).filter(|_| wants_alignment) else {
            return Ok(Register::None);
        };
        let named = |register| (0..insn.op_count()).any(|i| insn.op_register(i) == register);
        let free = [Register::XMM15, Register::XMM14, Register::XMM13];
        let free = free.into_iter().find(|&register| !named(register));
        let free = free.unwrap_or(Register::XMM12);
        self.add(Instruction::with2(
            Code::Movups_xmm_xmmm128,
            free,
            MemoryOperand::with_base(OPERAND),
        )?)?;
        insn.set_op_kind(operand, OpKind::Register);
        insn.set_op_register(operand, free);
        Ok(free)
    }

    fn load(&mut self, register: Register, guests: &[Register]) -> Result<(), IcedError> {
        let number = register.number();
        if !register.is_vector_register() {
            let (host, guest) = host_and_guest(register, guests);
            let from = place!(gprs, guest.number(), 8);
            return self.add(Instruction::with2(Code::Mov_r64_rm64, host, from)?);
        }
        let (xmm, ymm) = halves(number);
        let low = place!(xmms, number, 16);
        if !self.is_vex {
            return self.add(Instruction::with2(Code::Movups_xmm_xmmm128, xmm, low)?);
        }
        self.add(Instruction::with2(Code::VEX_Vmovups_xmm_xmmm128, xmm, low)?)?;
        if self.is_wide {
            self.add(Instruction::with4(
                Code::VEX_Vinsertf128_ymm_ymm_xmmm128_imm8,
                ymm,
                ymm,
                place!(ymm_high, number, 16),
                1,
            )?)?;
        }
        Ok(())
    }

    fn store(&mut self, register: Register, guests: &[Register]) -> Result<(), IcedError> {
        let number = register.number();
        if !register.is_vector_register() {
            let (host, guest) = host_and_guest(register, guests);
            let to = place!(gprs, guest.number(), 8);
            return self.add(Instruction::with2(Code::Mov_rm64_r64, to, host)?);
        }
        let (xmm, ymm) = halves(number);
        let low = place!(xmms, number, 16);
        if !self.is_vex {
            return self.add(Instruction::with2(Code::Movups_xmmm128_xmm, low, xmm)?);
        }
        self.add(Instruction::with2(Code::VEX_Vmovups_xmmm128_xmm, low, xmm)?)?;
        let high = place!(ymm_high, number, 16);
        self.add(Instruction::with3(
            Code::VEX_Vextractf128_xmmm128_ymm_imm8,
            high,
            ymm,
            1,
        )?)
    }

    /// The guest's flags, as in [`Flags`]: first OF, then the others.
    fn load_flags(&mut self) -> Result<(), IcedError> {
        self.add(Instruction::with2(
            Code::Movzx_r32_rm16,
            Register::EAX,
            place!(flags, 0, 0),
        )?)?;
        self.add(Instruction::with2(Code::Add_AL_imm8, Register::AL, 0x7f)?)?;
        self.add(Instruction::with(Code::Sahf))
    }

    fn store_flags(&mut self) -> Result<(), IcedError> {
        const { assert!(size_of::<Flags>() == 2) }
        self.add(Instruction::with(Code::Lahf))?;
        self.add(Instruction::with1(Code::Seto_rm8, Register::AL)?)?;
        self.add(Instruction::with2(
            Code::Mov_rm16_r16,
            place!(flags, 0, 0),
            Register::AX,
        )?)
    }
}

/// A vector register by its number.
fn halves(number: usize) -> (Register, Register) {
    let number = number as u32;
    (Register::XMM0 + number, Register::YMM0 + number)
}

/// A general register of the host that the instruction uses, and the guest's.
fn host_and_guest(register: Register, guests: &[Register]) -> (Register, Register) {
    let host = register.full_register();
    let place = host.number().checked_sub(GENERAL.number());
    let guest = place.and_then(|place| guests.get(place));
    (host, guest.copied().unwrap_or(host))
}
