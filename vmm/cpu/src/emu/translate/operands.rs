//! Instructions by themselves: registers renamed, the operand in memory looked up.

use iced_x86::{Instruction, OpKind, Register, RflagsBits};

use crate::emu::translate::emit::{Emitter, FlagsAt, Refused};
use crate::emu::translate::flags::Effect;
use crate::emu::translate::forms;
use crate::emu::translate::places::{ADDRESS, FREE, Place, in_frame_at, low};
use crate::emu::translate::renaming::{Lent, rename};
use crate::emu::translate::shares::Share;
use crate::emu::translate::supported::{has_memory, is_high_byte};

impl Emitter {
    /// An instruction by itself, after which the flags in `after` are seen.
    pub fn itself(
        &mut self,
        insn: &Instruction,
        effect: Effect,
        after: u32,
        share: Option<Share>,
    ) -> Result<(), Refused> {
        let insn = &forms::general(insn)?;
        let mut host = *insn;
        host.set_has_lock_prefix(false);
        let mut free = vec![FREE];
        if has_memory(insn) {
            self.operand(insn, &mut host, share)?;
        } else {
            free.insert(0, ADDRESS);
        }
        if effect.needs(after) {
            self.load_flags()?;
        }
        let lent = rename(insn, &mut host, free)?;
        for lent in lent.iter().filter(|lent| lent.is_read) {
            match Place::of(lent.guest) {
                Place::Host(from) => self.asm.copy(lent.host, from)?,
                Place::Frame(from) => self.asm.load(lent.host, in_frame_at(from))?,
            }
        }
        match forms::by_cl(&host).filter(|_| after & RflagsBits::OF != 0) {
            Some(by_cl) => self.rotation(by_cl, host.immediate8(), &lent)?,
            None => self.asm.add(&host)?,
        }
        for lent in lent.iter().filter(|lent| lent.is_written) {
            match Place::of(lent.guest) {
                Place::Host(to) => self.asm.copy(to, lent.host)?,
                Place::Frame(to) => self.asm.store(in_frame_at(to), lent.host)?,
            }
        }
        if effect.writes != 0 {
            self.flags = FlagsAt::Host;
        }
        Ok(())
    }

    /// A rotation whose OF is seen, by CL as the interpreter has it, in place of an immediate:
    /// with that, Intel's processors leave another OF, which the manuals do not define.
    fn rotation(
        &mut self,
        mut by_cl: Instruction,
        count: u8,
        lent: &[Lent],
    ) -> Result<(), Refused> {
        if lent.iter().any(|lent| lent.host == FREE) {
            return Err(Refused);
        }
        let operand = by_cl.op0_register();
        if by_cl.op0_kind() == OpKind::Register && operand.full_register() == Register::RCX {
            let part = match is_high_byte(operand) {
                true => Register::AH,
                false => low(FREE, operand.size()),
            };
            by_cl.set_op0_register(part);
        }
        self.asm.copy(FREE, Register::RCX)?;
        self.asm.set(Register::RCX, count.into())?;
        self.asm.add(&by_cl)?;
        Ok(self.asm.copy(Register::RCX, FREE)?)
    }
}
