//! Which flags instructions read and leave, and where they are observed.

use iced_x86::{Instruction, Mnemonic, OpKind, Register};

use crate::emu::arithmetic::flags::Flags;

/// What one instruction has to do with flags, as iced's bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Those that its result or its course depends on.
    pub reads: u32,
    /// Those that it may change.
    pub writes: u32,
    /// Those of which nothing is left afterwards.
    pub kills: u32,
    /// It may leave translated code, so all flags are seen before it.
    pub observes: bool,
}

impl Effect {
    /// Of an instruction that stays in translated code unless it `observes`.
    pub fn of(insn: &Instruction, observes: bool) -> Self {
        let writes = insn.rflags_modified() & Flags::BITS;
        let undefined = insn.rflags_undefined() & Flags::BITS;
        let kills = if depends_on_count(insn) {
            0
        } else if overwrites_undefined(insn.mnemonic()) {
            writes
        } else {
            writes & !undefined
        };
        Self {
            reads: insn.rflags_read() & Flags::BITS,
            writes,
            kills,
            observes,
        }
    }

    /// Those that are seen before it, if those in `after` are after it.
    pub fn live_before(self, after: u32) -> u32 {
        if self.observes {
            return Flags::BITS;
        }
        after & !self.kills | self.reads
    }

    /// Whether all flags are its own, and none of those before it.
    pub fn is_definition(self) -> bool {
        self.kills == Flags::BITS && self.reads == 0
    }

    /// Whether it must find the flags in the host's, if those in `after` are seen later.
    pub fn needs(self, after: u32) -> bool {
        self.reads != 0 || self.writes != 0 && after & !self.kills != 0
    }
}

/// Whether no flag changes if a register is zero.
fn depends_on_count(insn: &Instruction) -> bool {
    use Mnemonic as M;
    let last = insn.op_count().wrapping_sub(1);
    let shifts = matches!(
        insn.mnemonic(),
        M::Shl | M::Sal | M::Shr | M::Sar | M::Rol | M::Ror | M::Rcl | M::Rcr | M::Shld | M::Shrd
    );
    shifts && insn.op_kind(last) == OpKind::Register && insn.op_register(last) == Register::CL
}

/// Whether the flags that the manuals leave undefined do not depend on what they were: so it
/// is on the processors of both makers. Of others (`imul`, `bt`, `tzcnt`) AMD's keep some.
fn overwrites_undefined(mnemonic: Mnemonic) -> bool {
    use Mnemonic as M;
    matches!(
        mnemonic,
        M::And
            | M::Or
            | M::Xor
            | M::Test
            | M::Shl
            | M::Sal
            | M::Shr
            | M::Sar
            | M::Andn
            | M::Blsi
            | M::Blsr
            | M::Blsmsk
            | M::Bzhi
            | M::Bextr
    )
}
