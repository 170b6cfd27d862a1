//! How translated blocks go on: by a jump within the region, or by the links that the
//! interpreter has made.

use std::mem::offset_of;

use iced_x86::{Code, ConditionCode, Instruction, Mnemonic, Register};

use crate::emu::code::jump_table::JumpTable;
use crate::emu::code::op::Block;
use crate::emu::cpu::Op;
use crate::emu::translate::assembler::{Label, at};
use crate::emu::translate::emit::{Emitter, Plan, Refused, Tail};
use crate::emu::translate::pages::Access;
use crate::emu::translate::places::{ADDRESS, FREE, Place, STACK, in_frame, in_frame_at, low};
use crate::emu::translate::region::{End, Member};
use crate::emu::translate::stack::WORD;
use crate::emu::translate::supported::has_memory;

impl Emitter {
    /// Goes on after the last instruction that is none of the end; `next` is the block that
    /// is translated after this one.
    pub fn end(
        &mut self,
        plans: &[Plan],
        member: &Member,
        next: Option<Label>,
    ) -> Result<(), Refused> {
        let [fall, jump] = member
            .successors
            .map(|place| place.map(|place| &plans[place]));
        match member.end {
            End::FallThrough => self.go(fall, false, next),
            End::Jump => self.go(jump, true, next),
            End::Branch(condition) => self.branch(condition, fall, jump, next),
            End::Call => self.call(member, jump, next),
            End::Indirect => self.indirect(member),
            End::Other => Err(Refused),
        }
    }

    /// To a block of the region, or by the link.
    fn go(&mut self, to: Option<&Plan>, taken: bool, next: Option<Label>) -> Result<(), Refused> {
        match to {
            Some(plan) => {
                self.hand_flags(plan)?;
                if next != Some(plan.inside) {
                    self.asm.jump(plan.inside);
                }
                Ok(())
            }
            None => {
                self.save_flags()?;
                self.follow_link(taken)
            }
        }
    }

    /// Saves the flags if they are seen in the block to come.
    fn hand_flags(&mut self, plan: &Plan) -> Result<(), Refused> {
        match plan.sees_flags() {
            true => self.save_flags(),
            false => Ok(()),
        }
    }

    fn branch(
        &mut self,
        condition: ConditionCode,
        fall: Option<&Plan>,
        jump: Option<&Plan>,
        next: Option<Label>,
    ) -> Result<(), Refused> {
        if [fall, jump].into_iter().flatten().any(Plan::sees_flags) {
            self.save_flags()?;
        }
        self.load_flags()?;
        let target = match jump {
            Some(plan) => plan.inside,
            None => self.tail(),
        };
        self.asm.jump_if(condition, target);
        self.go(fall, false, next)
    }

    /// A way by the taken link of the op at hand.
    fn tail(&mut self) -> Label {
        let label = self.asm.label();
        self.tails.push(Tail {
            label,
            op: self.op,
            spent: self.spent,
            flags: self.flags,
        });
        label
    }

    pub fn tails(&mut self) -> Result<(), Refused> {
        for tail in std::mem::take(&mut self.tails) {
            self.asm.bind(tail.label);
            (self.op, self.spent, self.flags) = (tail.op, tail.spent, tail.flags);
            self.save_flags()?;
            self.follow_link(true)?;
        }
        Ok(())
    }

    /// The block to which the op at hand is linked, to r15. Leaves if it is not valid. Changes
    /// rax.
    fn check_link(&mut self, taken: bool) -> Result<(), Refused> {
        self.load_link(ADDRESS, taken)?;
        self.asm
            .load(FREE, at(ADDRESS, offset_of!(Block, ctx) as i64))?;
        self.asm
            .with_memory(Code::Cmp_r64_rm64, FREE, in_frame!(ctx))?;
        self.spoil_flags();
        let exit = self.exit();
        self.asm.jump_if(ConditionCode::ne, exit);
        Ok(())
    }

    fn load_link(&mut self, to: Register, taken: bool) -> Result<(), Refused> {
        let field = match taken {
            true => offset_of!(Op, disp),
            false => offset_of!(Op, imm),
        };
        self.asm.set(FREE, self.op.expose_provenance() as u64)?;
        Ok(self.asm.load(to, at(FREE, field as i64))?)
    }

    /// Jumps to the translation of the block in rax.
    fn enter_block(&mut self) -> Result<(), Refused> {
        let code = at(FREE, offset_of!(Block, code) as i64);
        Ok(self.asm.add(&Instruction::with1(Code::Jmp_rm64, code)?)?)
    }

    fn follow_link(&mut self, taken: bool) -> Result<(), Refused> {
        self.check_link(taken)?;
        self.asm.copy(FREE, ADDRESS)?;
        self.enter_block()
    }

    fn call(
        &mut self,
        member: &Member,
        to: Option<&Plan>,
        next: Option<Label>,
    ) -> Result<(), Refused> {
        let last = member.instructions.last().ok_or(Refused)?;
        if to.is_none() {
            self.check_link(true)?;
        }
        self.stack_top()?;
        self.push_return(last.next_ip())?;
        match to {
            Some(plan) => {
                if next != Some(plan.inside) {
                    self.asm.jump(plan.inside);
                }
                Ok(())
            }
            None => {
                self.load_link(FREE, true)?;
                self.enter_block()
            }
        }
    }

    /// Writes a return address where r15 says.
    fn push_return(&mut self, to: u64) -> Result<(), Refused> {
        self.asm.set(FREE, to)?;
        self.asm.store(at(ADDRESS, 0), FREE)?;
        Ok(self.asm.advance(STACK, -(WORD as i64))?)
    }

    /// `ret`, and jumps and calls by registers or memory: the block is found by the table.
    fn indirect(&mut self, member: &Member) -> Result<(), Refused> {
        let insn = member.instructions.last().ok_or(Refused)?;
        let is_return = insn.mnemonic() == Mnemonic::Ret;
        if is_return {
            self.asm.copy(ADDRESS, STACK)?;
            self.look_up(Register::RSP, Access::Read, WORD)?;
            self.asm.load(ADDRESS, at(ADDRESS, 0))?;
        } else if has_memory(insn) {
            self.effective_address(ADDRESS, insn)?;
            self.look_up(insn.memory_base(), Access::Read, WORD)?;
            self.asm.load(ADDRESS, at(ADDRESS, 0))?;
        } else {
            match Place::of(insn.op0_register()) {
                Place::Host(from) => self.asm.copy(ADDRESS, from)?,
                Place::Frame(from) => self.asm.load(ADDRESS, in_frame_at(from))?,
            }
        }
        self.find_block()?;
        if is_return {
            let dropped = match insn.op_count() {
                0 => 0,
                _ => insn.immediate(0) as i64,
            };
            self.asm.advance(STACK, WORD as i64 + dropped)?;
        } else if insn.mnemonic() == Mnemonic::Call {
            self.asm.store(in_frame!(aside), FREE)?;
            self.stack_top()?;
            self.push_return(insn.next_ip())?;
            self.asm.load(FREE, in_frame!(aside))?;
        }
        self.enter_block()
    }

    /// The block that begins at r15, to rax. Leaves if the jump table has none, or none that
    /// is valid.
    fn find_block(&mut self) -> Result<(), Refused> {
        self.spoil_flags();
        let asm = &mut self.asm;
        let (place, half) = (low(FREE, 4), low(ADDRESS, 4));
        let (factor, shift) = (JumpTable::FACTOR as i32, JumpTable::SHIFT as i32);
        let multiply = Code::Imul_r32_rm32_imm32;
        asm.add(&Instruction::with3(multiply, place, half, factor)?)?;
        asm.with_value(Code::Shr_rm32_imm8, place, shift)?;
        asm.with_memory(Code::And_r32_rm32, place, in_frame!(jump_mask))?;
        asm.with_memory(Code::Add_r64_rm64, FREE, in_frame!(jump_entries))?;
        asm.load(FREE, at(FREE, 0))?;
        asm.with_memory(
            Code::Cmp_r64_rm64,
            ADDRESS,
            at(FREE, offset_of!(Block, rip) as i64),
        )?;
        let exit = self.exit();
        self.asm.jump_if(ConditionCode::ne, exit);
        self.asm
            .load(ADDRESS, at(FREE, offset_of!(Block, ctx) as i64))?;
        self.asm
            .with_memory(Code::Cmp_r64_rm64, ADDRESS, in_frame!(ctx))?;
        self.asm.jump_if(ConditionCode::ne, exit);
        Ok(())
    }
}
