//! The guest's general registers in instructions of the host.

use iced_x86::{Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register};

use crate::emu::translate::emit::Refused;
use crate::emu::translate::places::{FREE, Place, low, second_byte};
use crate::emu::translate::supported::is_high_byte;

/// A guest's register that an instruction uses in a free one of the host.
pub struct Lent {
    pub guest: Register,
    pub host: Register,
    /// Whether anything of what it was is used or stays.
    pub is_read: bool,
    pub is_written: bool,
}

/// Renames the general registers among the operands of `host`, which is `insn` but for its
/// operand in memory. Those that are not in registers of the host, or have to be in rax, get
/// some of the `free` ones.
pub fn rename(
    insn: &Instruction,
    host: &mut Instruction,
    mut free: Vec<Register>,
) -> Result<Vec<Lent>, Refused> {
    let mut info = InstructionInfoFactory::new();
    let info = info.info(insn);
    let mut lent: Vec<Lent> = Vec::new();
    let operands: Vec<_> = (0..insn.op_count())
        .filter(|&i| insn.op_kind(i) == OpKind::Register && insn.op_register(i).is_gpr())
        .collect();
    let any = |is: fn(Register) -> bool| operands.iter().any(|&i| is(insn.op_register(i)));
    // A second byte has no name beside r8 to r15.
    let in_rax = any(is_high_byte) && any(|register| register.full_register() == Register::RAX);
    if implies_rax(insn) || in_rax {
        lend(
            &mut lent,
            &mut free,
            Register::RAX,
            OpAccess::ReadWrite,
            true,
        )?;
    }
    let implicit = info.used_registers().iter().filter(|used| {
        let register = used.register();
        let named = |&i: &u32| insn.op_register(i).full_register() == register.full_register();
        let in_address = [insn.memory_base(), insn.memory_index()].contains(&register);
        register.is_gpr() && !operands.iter().any(named) && !in_address
    });
    for used in implicit {
        let (register, access) = (used.register(), used.access());
        match Place::of(register) {
            Place::Host(host) if host == register.full_register() => {}
            _ if register.full_register() == Register::RAX => {
                lend(&mut lent, &mut free, register, access, true)?;
            }
            _ => return Err(Refused),
        }
    }
    for i in operands {
        let register = insn.op_register(i);
        let is_lent = lent
            .iter()
            .any(|lent| lent.guest == register.full_register());
        let place = match Place::of(register) {
            Place::Host(host) if !is_lent => host,
            _ => lend(&mut lent, &mut free, register, info.op_access(i), false)?,
        };
        let part = match is_high_byte(register) {
            true => second_byte(place).ok_or(Refused)?,
            false => low(place, register.size()),
        };
        host.set_op_register(i, part);
    }
    Ok(lent)
}

/// A free register of the host for `guest`.
fn lend(
    lent: &mut Vec<Lent>,
    free: &mut Vec<Register>,
    guest: Register,
    access: OpAccess,
    in_rax: bool,
) -> Result<Register, Refused> {
    // What is written to 32 bits changes all.
    let is_read = access != OpAccess::Write || guest.size() < 4;
    let guest = guest.full_register();
    let is_written = !matches!(access, OpAccess::Read | OpAccess::CondRead);
    if let Some(known) = lent.iter_mut().find(|lent| lent.guest == guest) {
        known.is_read |= is_read;
        known.is_written |= is_written;
        return Ok(known.host);
    }
    let place = match in_rax {
        true => free.iter().position(|&host| host == FREE),
        false => free.len().checked_sub(1).map(|_| 0),
    };
    let host = free.remove(place.ok_or(Refused)?);
    lent.push(Lent {
        guest,
        host,
        is_read,
        is_written,
    });
    Ok(host)
}

/// Whether the instruction works on rax whatever its operands are, which may name it too.
fn implies_rax(insn: &Instruction) -> bool {
    match insn.mnemonic() {
        Mnemonic::Cmpxchg | Mnemonic::Mul => true,
        Mnemonic::Imul => insn.op_count() == 1,
        _ => false,
    }
}
