//! Pairs of instructions that one handler executes: a dispatch less, and where the second
//! uses the result of the first, no store and load of the value.
//!
//! Each instruction keeps its own op, with its operands; the first one's handler is
//! replaced by the pair's, which continues after the second. Blocks are entered at their
//! first op only, so a pair is executed whole or not at all; counts, addresses and faults
//! do not change. There are three kinds:
//!
//! - two [`steps`]: simple operations on whole registers, of 32 or 64 bits, whose flags are
//!   dead, which is most of most programs. Any two that follow each other make a pair,
//!   which cannot fault.
//! - two pushes or two pops ([`stack`]), with one TLB look-up: if that misses, they are
//!   executed one by one.
//! - an instruction that sets flags and the conditional [`branch`] after it, which is chosen
//!   when the first is lowered.
//!
//! Which of the first two kinds pair best is found from the block's end backwards.
//!
//! Rejected: pairs with a memory operand (each form multiplies the handlers, and the access
//! outweighs a dispatch); a comparison, its branch and what comes before them (250 more
//! handlers; the sieve took 334 ms, not 336, and independent arithmetic 71, not 74).

mod branch;
mod stack;
mod steps;

use iced_x86::Instruction;

pub use branch::with_branch;

use crate::emu::code::op::BLOCK_LIMIT;
use crate::emu::cpu::Op;

/// What it costs to execute one instruction, a pair on one destination and any other pair,
/// relative to each other: a dispatch is most of it.
const ALONE: u32 = 4;
const ON_ONE: u32 = 5;
const ON_TWO: u32 = 6;

/// Replaces the handlers of a block's `ops` by those of pairs, where that costs least.
pub fn choose(instructions: &[Instruction], flags_live: &[bool; BLOCK_LIMIT], ops: &mut [Op]) {
    let mut found: [steps::Found; BLOCK_LIMIT] = [None; BLOCK_LIMIT];
    for (((place, insn), &live), op) in found
        .iter_mut()
        .zip(instructions)
        .zip(flags_live)
        .zip(ops.iter())
    {
        *place = steps::step(insn, live, op);
    }
    let best_at = |n: usize| match (found.get(n).copied()?, found.get(n + 1).copied()?) {
        (Some((a, wide)), Some((b, same))) if wide == same => {
            Some(steps::pair((a, ops.get(n)?), (b, ops.get(n + 1)?), wide))
        }
        (None, None) => {
            let handler = stack::pair(instructions.get(n)?, instructions.get(n + 1)?);
            handler.map(|handler| (handler, ON_TWO))
        }
        _ => None,
    };
    // The cost of the rest of the block from the next op on, and from the one after.
    let (mut next, mut after) = (0, 0);
    let mut chosen = [None; BLOCK_LIMIT];
    for n in (0..ops.len().min(BLOCK_LIMIT)).rev() {
        let alone = next + ALONE;
        let best = best_at(n).filter(|&(_, cost)| after + cost < alone);
        chosen[n] = best.map(|(handler, _)| handler);
        (next, after) = (best.map_or(alone, |(_, cost)| after + cost), next);
    }
    let mut n = 0;
    while n < ops.len().min(BLOCK_LIMIT) {
        match chosen[n] {
            Some(handler) => {
                ops[n].handler = handler;
                n += 2;
            }
            None => n += 1,
        }
    }
}
