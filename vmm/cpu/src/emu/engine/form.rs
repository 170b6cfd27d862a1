//! How families declare what they execute: a [`Form`] for each of iced's codes.

use iced_x86::{Code, Instruction};

use crate::emu::code::op::LONGEST;
use crate::emu::cpu::Op;
use crate::emu::state::control::CodeSize;
use crate::emu::state::mxcsr::FpMode;

/// What a family must know beside the instruction itself.
pub struct Site {
    /// Code size.
    pub size: CodeSize,
    /// How floating point is executed.
    pub fp: FpMode,
    /// Where the next instruction begins.
    pub next_rip: u64,
    /// The highest offset in CS that code may have.
    pub limit: u64,
    /// Whether the flags that the instruction writes are live.
    pub flags_live: bool,
    /// The instruction's bytes, and whatever follows.
    pub bytes: [u8; LONGEST],
    /// The address of the stub, if the form wants one.
    pub stub: Option<u64>,
    /// The instruction that follows in the block, if one does.
    pub following: Code,
}

/// Fills in `handler` and operands of an op.
pub type Lower = fn(&Site, &Instruction, &mut Op);

/// Where control may go after an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// To the next instruction, or a fault.
    Next,
    /// With registers and immediates always to the next instruction: it can neither fault
    /// nor leave the engine.
    Quiet,
    /// The same, while [`FpMode::quiet`].
    QuietVector,
    /// It ends a block: its handler is made by [`branch`](crate::emu::engine::branch),
    /// [`jump`](crate::emu::engine::jump) or [`last`](crate::emu::engine::last).
    End,
}

/// How one `Code` is executed.
#[derive(Clone, Copy)]
pub struct Form {
    pub code: Code,
    pub lower: Lower,
    pub outcome: Outcome,
    /// Whether a [`stub`](crate::emu::code::stub) executes it.
    pub stub: bool,
}

/// Lists the forms of a family: `next [lower]: Code1 Code2;` with the [`Outcome`] in place
/// of `next`: `next`, `quiet`, `quiet_vector` or `end`.
macro_rules! forms {
    ($($outcome:ident $lower:tt: $($code:ident)*;)*) => {
        &[$($($crate::emu::engine::form::Form {
            code: iced_x86::Code::$code,
            lower: forms!(@lower $lower),
            outcome: forms!(@outcome $outcome),
            stub: false,
        },)*)*]
    };
    (@lower [$lower:expr]) => { $lower };
    (@outcome next) => { $crate::emu::engine::form::Outcome::Next };
    (@outcome quiet) => { $crate::emu::engine::form::Outcome::Quiet };
    (@outcome quiet_vector) => { $crate::emu::engine::form::Outcome::QuietVector };
    (@outcome end) => { $crate::emu::engine::form::Outcome::End };
}
pub(crate) use forms;
