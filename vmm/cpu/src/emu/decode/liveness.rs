//! Liveness of flags: a backward pass over a block.
//!
//! An instruction whose flags are overwritten before a reader, a fault or the end of the
//! block is lowered to a handler that does not compute them.

use iced_x86::{Instruction, Mnemonic, OpKind, Register};

use crate::emu::arithmetic::flags::Flags;
use crate::emu::code::op::BLOCK_LIMIT;
use crate::emu::decode::refusal::refusal;
use crate::emu::decode::table::form;
use crate::emu::engine::form::Outcome;
use crate::emu::state::mxcsr::FpMode;

/// Marks the instructions whose flags are live.
pub fn follow_flags(instructions: &[Instruction], live: &mut [bool; BLOCK_LIMIT], fp: FpMode) {
    let mut wanted = Flags::BITS;
    for (insn, live) in instructions.iter().zip(live.iter_mut()).rev() {
        let written = insn.rflags_modified() & Flags::BITS;
        *live = written & wanted != 0;
        if !quiet(insn, fp) {
            wanted = Flags::BITS;
        } else if by_variable_count(insn) {
            wanted |= insn.rflags_read();
        } else {
            wanted = wanted & !written | insn.rflags_read();
        }
    }
}

/// Whether the instruction can neither fault nor leave the engine.
fn quiet(insn: &Instruction, fp: FpMode) -> bool {
    let on_registers = (0..insn.op_count()).all(|i| insn.op_kind(i) != OpKind::Memory);
    on_registers
        && match form(insn.code()).outcome {
            Outcome::Quiet => true,
            Outcome::QuietVector => fp.quiet() && refusal(fp, insn).is_none(),
            Outcome::Next | Outcome::End => false,
        }
}

/// Whether the instruction writes no flags if a register is zero.
fn by_variable_count(insn: &Instruction) -> bool {
    insn.op_count() > 1
        && insn.op_kind(insn.op_count() - 1) == OpKind::Register
        && insn.op_register(insn.op_count() - 1) == Register::CL
        && is_shift(insn)
}

/// Whether the instruction shifts or rotates.
fn is_shift(insn: &Instruction) -> bool {
    use Mnemonic as M;
    matches!(
        insn.mnemonic(),
        M::Shl | M::Sal | M::Shr | M::Sar | M::Rol | M::Ror | M::Rcl | M::Rcr | M::Shld | M::Shrd
    )
}
