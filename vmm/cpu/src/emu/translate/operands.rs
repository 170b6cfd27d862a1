//! Instructions by themselves: registers renamed, the operand in memory looked up.

use iced_x86::{
    Code, ConditionCode, Instruction, InstructionInfoFactory, MemoryOperand, Mnemonic, OpAccess,
    OpCodeOperandKind, OpKind, Register,
};

use crate::emu::memory::ram::PAGE;
use crate::emu::memory::tlb::{PLACE_SHIFT, TlbEntry};
use crate::emu::translate::assembler::at;
use crate::emu::translate::emit::{Emitter, FlagsAt, Refused};
use crate::emu::translate::flags::Effect;
use crate::emu::translate::places::{ADDRESS, FREE, Place, in_frame, in_frame_at, low};
use crate::emu::translate::supported::{has_memory, is_high_byte, wants_alignment};

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    /// Or reads and writes.
    Write,
}

/// A guest's register that an instruction uses in a free one of the host.
struct Lent {
    guest: Register,
    host: Register,
    is_written: bool,
}

impl Emitter {
    /// An instruction by itself, after which the flags in `after` are seen.
    pub fn itself(
        &mut self,
        insn: &Instruction,
        effect: Effect,
        after: u32,
    ) -> Result<(), Refused> {
        let mut host = *insn;
        host.set_has_lock_prefix(false);
        let mut free = vec![FREE];
        if has_memory(insn) {
            self.operand(insn)?;
            host.set_segment_prefix(Register::None);
            host.set_memory_base(ADDRESS);
            host.set_memory_index(Register::None);
            host.set_memory_index_scale(1);
            host.set_memory_displacement64(0);
            host.set_memory_displ_size(0);
        } else {
            free.insert(0, ADDRESS);
        }
        if effect.needs(after) {
            self.load_flags()?;
        }
        let lent = rename(insn, &mut host, free)?;
        for lent in &lent {
            match Place::of(lent.guest) {
                Place::Host(from) => self.asm.copy(lent.host, from)?,
                Place::Frame(from) => self.asm.load(lent.host, in_frame_at(from))?,
            }
        }
        self.asm.add(&host)?;
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

    /// The host address of the instruction's operand in memory, to r15.
    fn operand(&mut self, insn: &Instruction) -> Result<(), Refused> {
        let writes = InstructionInfoFactory::new()
            .info(insn)
            .used_memory()
            .iter()
            .any(|used| !matches!(used.access(), OpAccess::Read | OpAccess::CondRead));
        let access = if writes { Access::Write } else { Access::Read };
        let size = insn.memory_size().size();
        if size == 0 || size > 32 {
            return Err(Refused);
        }
        self.effective_address(ADDRESS, insn)?;
        self.look_up(size, access)?;
        if wants_alignment(insn) {
            self.asm
                .with_value(Code::Test_rm64_imm32, ADDRESS, size as i32 - 1)?;
            let exit = self.exit();
            self.asm.jump_if(ConditionCode::ne, exit);
        }
        Ok(())
    }

    /// The linear address of the instruction's operand in memory, to `to`; changes rax.
    pub fn effective_address(&mut self, to: Register, insn: &Instruction) -> Result<(), Refused> {
        let segment = insn.memory_segment();
        if matches!(segment, Register::FS | Register::GS) {
            return Err(Refused);
        }
        let (base, index) = (insn.memory_base(), insn.memory_index());
        let displacement = insn.memory_displacement64();
        if base == Register::RIP || base == Register::None && index == Register::None {
            return Ok(self.asm.set(to, displacement)?);
        }
        let size = match base {
            Register::None => index.size(),
            _ => base.size(),
        };
        if size < 4 || base == Register::EIP {
            return Err(Refused);
        }
        let mut in_host = |register: Register, free: Register| {
            Ok::<_, Refused>(match register {
                Register::None => Register::None,
                register => match Place::of(register) {
                    Place::Host(host) => host,
                    Place::Frame(from) => {
                        self.asm.load(free, in_frame_at(from))?;
                        free
                    }
                },
            })
        };
        let base = in_host(base, ADDRESS)?;
        let index = in_host(index, FREE)?;
        let scale = insn.memory_index_scale();
        let operand = MemoryOperand::new(
            base,
            index,
            scale,
            displacement as i32 as i64,
            u32::from(displacement != 0),
            false,
            Register::None,
        );
        if size == 4 {
            let low = low(to, 4);
            return Ok(self.asm.with_memory(Code::Lea_r32_m, low, operand)?);
        }
        Ok(self.asm.address(to, operand)?)
    }

    /// From a linear address to the host's, both in r15, for `size` bytes; leaves if the TLB
    /// does not admit the access. Changes rax and the host's flags, which are in the frame.
    pub fn look_up(&mut self, size: usize, access: Access) -> Result<(), Refused> {
        let page = match access {
            Access::Read => std::mem::offset_of!(TlbEntry, read),
            Access::Write => std::mem::offset_of!(TlbEntry, write),
        };
        self.spoil_flags();
        let low_half = low(FREE, 4);
        self.asm
            .with_register(Code::Mov_r32_rm32, low_half, low(ADDRESS, 4))?;
        self.asm
            .with_value(Code::Shr_rm32_imm8, low_half, PLACE_SHIFT as i32)?;
        self.asm
            .with_memory(Code::And_r32_rm32, low_half, in_frame!(tlb_mask))?;
        self.asm
            .with_memory(Code::Add_r64_rm64, FREE, in_frame!(tlb_entries))?;
        self.asm
            .with_memory(Code::Sub_r64_rm64, ADDRESS, at(FREE, page as i64))?;
        let most = PAGE as i32 - size as i32;
        self.asm.with_value(Code::Cmp_rm64_imm32, ADDRESS, most)?;
        let exit = self.exit();
        self.asm.jump_if(ConditionCode::a, exit);
        let host = std::mem::offset_of!(TlbEntry, host) as i64;
        self.asm
            .with_memory(Code::Add_r64_rm64, ADDRESS, at(FREE, host))?;
        Ok(())
    }
}

/// Renames the general registers among the operands of `host`, which is `insn` but for its
/// operand in memory. Those that are not in registers of the host, or have to be in rax, get
/// some of the `free` ones.
fn rename(
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
    if implies_rax(insn) {
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
        if is_high_byte(register) {
            return Err(Refused);
        }
        let wants_rax = is_accumulator(insn.code().op_code().op_kind(i));
        let is_lent = lent
            .iter()
            .any(|lent| lent.guest == register.full_register());
        let place = match Place::of(register) {
            Place::Host(host) if !wants_rax && !is_lent => host,
            _ => lend(&mut lent, &mut free, register, info.op_access(i), wants_rax)?,
        };
        host.set_op_register(i, low(place, register.size()));
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
    let guest = guest.full_register();
    let is_written = !matches!(access, OpAccess::Read | OpAccess::CondRead);
    if let Some(known) = lent.iter_mut().find(|lent| lent.guest == guest) {
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

fn is_accumulator(kind: OpCodeOperandKind) -> bool {
    use OpCodeOperandKind as K;
    matches!(kind, K::al | K::ax | K::eax | K::rax)
}
