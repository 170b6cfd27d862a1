//! Instructions that are translated otherwise than by themselves.

use iced_x86::{Code, ConditionCode, Instruction, Mnemonic, OpKind, Register};

use crate::emu::translate::assembler::at;
use crate::emu::translate::emit::{Emitter, FlagsAt, Refused};
use crate::emu::translate::flags::Effect;
use crate::emu::translate::places::{ADDRESS, FREE, Place, in_frame_at, low};
use crate::emu::translate::shares::Share;
use crate::emu::translate::supported::{Kind, divisor_size, has_memory};

impl Emitter {
    /// One instruction that does not end its block. If it is refused, nothing was changed.
    pub fn instruction(
        &mut self,
        insn: &Instruction,
        kind: Kind,
        effect: Effect,
        after: u32,
        share: Option<Share>,
    ) -> Result<(), Refused> {
        if share.is_none() && kind != Kind::Nothing {
            self.held = None;
        }
        match kind {
            Kind::Nothing => Ok(()),
            Kind::Itself if self.is_move(insn)? => Ok(()),
            Kind::Itself | Kind::Vector(_) => self.itself(insn, effect, after, share),
            Kind::Lea => self.lea(insn),
            Kind::Push => self.push(insn),
            Kind::Pop => self.pop(insn),
            Kind::Leave => self.leave_frame(),
            Kind::Divide => self.divide(insn, effect, after),
            Kind::End | Kind::Other => Err(Refused),
        }
    }

    /// Moves between a register in the frame and another one; whether `insn` is such a move.
    fn is_move(&mut self, insn: &Instruction) -> Result<bool, Refused> {
        let wide = matches!(insn.code(), Code::Mov_r64_rm64 | Code::Mov_rm64_r64);
        let registers = [0, 1].map(|i| insn.op_kind(i) == OpKind::Register);
        if !wide || registers != [true; 2] {
            return Ok(false);
        }
        match [insn.op0_register(), insn.op1_register()].map(Place::of) {
            [Place::Host(to), Place::Host(from)] => self.asm.copy(to, from)?,
            [Place::Host(to), Place::Frame(from)] => self.asm.load(to, in_frame_at(from))?,
            [Place::Frame(to), Place::Host(from)] => self.asm.store(in_frame_at(to), from)?,
            [Place::Frame(to), Place::Frame(from)] => {
                self.asm.load(FREE, in_frame_at(from))?;
                self.asm.store(in_frame_at(to), FREE)?;
            }
        }
        Ok(true)
    }

    fn lea(&mut self, insn: &Instruction) -> Result<(), Refused> {
        let mut plain = *insn;
        plain.set_segment_prefix(Register::None);
        let narrow = insn.op0_register().size() == 4;
        let place = Place::of(insn.op0_register());
        if let (Place::Host(to), false) = (place, narrow) {
            return self.effective_address(to, &plain);
        }
        self.effective_address(ADDRESS, &plain)?;
        if narrow {
            let half = low(ADDRESS, 4);
            self.asm.with_register(Code::Mov_r32_rm32, half, half)?;
        }
        match place {
            Place::Host(to) => self.asm.copy(to, ADDRESS)?,
            Place::Frame(to) => self.asm.store(in_frame_at(to), ADDRESS)?,
        }
        Ok(())
    }

    /// `div` and `idiv` where they cannot fault for sure; leaves otherwise.
    fn divide(&mut self, insn: &Instruction, effect: Effect, after: u32) -> Result<(), Refused> {
        let Place::Host(dividend) = Place::of(Register::RAX) else {
            return Err(Refused);
        };
        let mut host = *insn;
        let size = divisor_size(insn);
        let divisor = if has_memory(insn) {
            self.operand(insn, &mut host, None)?;
            let load = sized(size, Code::Mov_r32_rm32, Code::Mov_r64_rm64);
            let part = low(ADDRESS, size);
            let offset = host.memory_displacement64() as i64;
            self.asm.with_memory(load, part, at(ADDRESS, offset))?;
            host.set_op0_kind(OpKind::Register);
            ADDRESS
        } else {
            match Place::of(insn.op0_register()) {
                Place::Host(host) => host,
                Place::Frame(from) => {
                    self.asm.load(ADDRESS, in_frame_at(from))?;
                    ADDRESS
                }
            }
        };
        self.spoil_flags();
        let divisor_part = low(divisor, size);
        if insn.mnemonic() == Mnemonic::Div {
            self.leave_if_quotient_is_long(divisor_part, size)?;
        } else {
            self.asm.address(FREE, at(divisor, 1))?;
            self.leave_if_zero_or_one(size)?;
            self.asm.copy(FREE, dividend)?;
            self.leave_unless_sign(size)?;
        }
        if effect.needs(after) {
            self.load_flags()?;
        }
        host.set_op0_register(divisor_part);
        self.asm.copy(FREE, dividend)?;
        self.asm.add(&host)?;
        self.asm.copy(dividend, FREE)?;
        self.flags = FlagsAt::Host;
        Ok(())
    }

    /// Leaves unless the upper half of the dividend is less than the divisor.
    fn leave_if_quotient_is_long(&mut self, divisor: Register, size: usize) -> Result<(), Refused> {
        let compare = sized(size, Code::Cmp_r32_rm32, Code::Cmp_r64_rm64);
        let upper = low(Register::RDX, size);
        self.asm.with_register(compare, upper, divisor)?;
        let exit = self.exit();
        self.asm.jump_if(ConditionCode::ae, exit);
        Ok(())
    }

    /// Leaves if rax is 0 or 1: one more than a divisor of -1, which faults with one dividend,
    /// or of 0.
    fn leave_if_zero_or_one(&mut self, size: usize) -> Result<(), Refused> {
        let compare = sized(size, Code::Cmp_rm32_imm32, Code::Cmp_rm64_imm32);
        self.asm.with_value(compare, low(FREE, size), 1)?;
        let exit = self.exit();
        self.asm.jump_if(ConditionCode::be, exit);
        Ok(())
    }

    /// Leaves unless rdx is the sign of rax, which it overwrites.
    fn leave_unless_sign(&mut self, size: usize) -> Result<(), Refused> {
        let shift = sized(size, Code::Sar_rm32_imm8, Code::Sar_rm64_imm8);
        let compare = sized(size, Code::Cmp_r32_rm32, Code::Cmp_r64_rm64);
        let [value, upper] = [FREE, Register::RDX].map(|full| low(full, size));
        self.asm.with_value(shift, value, 8 * size as i32 - 1)?;
        self.asm.with_register(compare, value, upper)?;
        let exit = self.exit();
        self.asm.jump_if(ConditionCode::ne, exit);
        Ok(())
    }
}

/// The code for operands of so many bytes.
fn sized(size: usize, of_four: Code, of_eight: Code) -> Code {
    match size {
        4 => of_four,
        _ => of_eight,
    }
}
