//! Pushes and pops. Those that follow each other have one look at their page.

use iced_x86::{Instruction, OpKind, Register};

use crate::emu::translate::assembler::at;
use crate::emu::translate::emit::{Emitter, Refused};
use crate::emu::translate::pages::Access;
use crate::emu::translate::places::{ADDRESS, FREE, Place, STACK, in_frame, in_frame_at};
use crate::emu::translate::supported::{Kind, has_memory};

/// Bytes of what is pushed and popped.
pub const WORD: usize = 8;
/// Most that have one look.
const MOST: usize = 8;

/// How many of these instructions, from the first on, are pushes, or pops, of registers other
/// than the stack pointer.
pub fn run(kinds: &[Kind], instructions: &[Instruction]) -> usize {
    let wanted = match kinds.first() {
        Some(&kind @ (Kind::Push | Kind::Pop)) => kind,
        _ => return 0,
    };
    let fits = |&(&kind, insn): &(&Kind, &Instruction)| {
        kind == wanted
            && insn.op0_kind() == OpKind::Register
            && insn.op0_register() != Register::RSP
    };
    let all = kinds.iter().zip(instructions);
    all.take(MOST).take_while(fits).count()
}

impl Emitter {
    /// Those that [`run`] has found. If they are refused, nothing was changed.
    pub fn stack_run(&mut self, kind: Kind, run: &[Instruction]) -> Result<(), Refused> {
        let size = WORD * run.len();
        let registers = run.iter().map(Instruction::op0_register);
        let words = (0..).step_by(WORD);
        if kind == Kind::Push {
            self.asm.address(ADDRESS, at(STACK, -(size as i64)))?;
            self.look_up(Register::RSP, Access::Write, size)?;
            for (register, word) in registers.rev().zip(words) {
                self.store_register(register, word)?;
            }
            return Ok(self.asm.advance(STACK, -(size as i64))?);
        }
        self.asm.copy(ADDRESS, STACK)?;
        self.look_up(Register::RSP, Access::Read, size)?;
        for (register, word) in registers.zip(words) {
            self.load_register(register, word)?;
        }
        Ok(self.asm.advance(STACK, size as i64)?)
    }

    /// The host address of the word that a push writes, to r15.
    pub fn stack_top(&mut self) -> Result<(), Refused> {
        self.asm.address(ADDRESS, at(STACK, -(WORD as i64)))?;
        self.look_up(Register::RSP, Access::Write, WORD)
    }

    pub fn push(&mut self, insn: &Instruction) -> Result<(), Refused> {
        if has_memory(insn) {
            self.effective_address(ADDRESS, insn)?;
            self.look_up(insn.memory_base(), Access::Read, WORD)?;
            self.asm.load(FREE, at(ADDRESS, 0))?;
            self.asm.store(in_frame!(aside), FREE)?;
            self.stack_top()?;
            self.asm.load(FREE, in_frame!(aside))?;
            self.asm.store(at(ADDRESS, 0), FREE)?;
        } else if insn.op0_kind() == OpKind::Register {
            self.stack_top()?;
            self.store_register(insn.op0_register(), 0)?;
        } else {
            self.stack_top()?;
            self.asm.set(FREE, insn.immediate(0))?;
            self.asm.store(at(ADDRESS, 0), FREE)?;
        }
        Ok(self.asm.advance(STACK, -(WORD as i64))?)
    }

    pub fn pop(&mut self, insn: &Instruction) -> Result<(), Refused> {
        self.asm.copy(ADDRESS, STACK)?;
        self.look_up(Register::RSP, Access::Read, WORD)?;
        self.load_register(insn.op0_register(), 0)?;
        // If that is the stack pointer, what is popped counts, not where it was.
        if insn.op0_register() != Register::RSP {
            self.asm.advance(STACK, WORD as i64)?;
        }
        Ok(())
    }

    pub fn leave_frame(&mut self) -> Result<(), Refused> {
        self.asm.copy(ADDRESS, Register::RBP)?;
        self.look_up(Register::RSP, Access::Read, WORD)?;
        self.asm.address(STACK, at(Register::RBP, WORD as i64))?;
        Ok(self.asm.load(Register::RBP, at(ADDRESS, 0))?)
    }

    /// Stores a register of the guest `offset` bytes from r15.
    fn store_register(&mut self, register: Register, offset: i64) -> Result<(), Refused> {
        let value = match Place::of(register) {
            Place::Host(host) => host,
            Place::Frame(from) => {
                self.asm.load(FREE, in_frame_at(from))?;
                FREE
            }
        };
        Ok(self.asm.store(at(ADDRESS, offset), value)?)
    }

    /// Loads one from there.
    fn load_register(&mut self, register: Register, offset: i64) -> Result<(), Refused> {
        match Place::of(register) {
            Place::Host(to) => self.asm.load(to, at(ADDRESS, offset))?,
            Place::Frame(to) => {
                self.asm.load(FREE, at(ADDRESS, offset))?;
                self.asm.store(in_frame_at(to), FREE)?;
            }
        }
        Ok(())
    }
}
