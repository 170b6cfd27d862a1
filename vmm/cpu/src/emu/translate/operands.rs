//! Instructions by themselves: registers renamed, the operand in memory looked up.

use std::mem::offset_of;

use iced_x86::{
    Code, ConditionCode, Instruction, InstructionInfoFactory, MemoryOperand, Mnemonic, OpAccess,
    OpKind, Register, RflagsBits,
};

use crate::emu::cpu::Cpu;
use crate::emu::state::segment::{FS, GS};
use crate::emu::translate::assembler::at;
use crate::emu::translate::emit::{Emitter, FlagsAt, Refused};
use crate::emu::translate::flags::Effect;
use crate::emu::translate::frame::Frame;
use crate::emu::translate::pages::Access;
use crate::emu::translate::places::{
    ADDRESS, FREE, Place, in_frame, in_frame_at, low, second_byte,
};
use crate::emu::translate::shares::Share;
use crate::emu::translate::supported::{has_memory, is_high_byte, wants_alignment};
use crate::state::Segment;

/// An offset whose bits from this one on are equal is canonical, and those of the bytes after it.
const SURE: i32 = 46;

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
        share: Option<Share>,
    ) -> Result<(), Refused> {
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
        for lent in &lent {
            match Place::of(lent.guest) {
                Place::Host(from) => self.asm.copy(lent.host, from)?,
                Place::Frame(from) => self.asm.load(lent.host, in_frame_at(from))?,
            }
        }
        match by_cl(&host).filter(|_| after & RflagsBits::OF != 0) {
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

    /// Makes `host`, which is `insn` elsewise, have its operand in memory at r15.
    pub fn operand(
        &mut self,
        insn: &Instruction,
        host: &mut Instruction,
        share: Option<Share>,
    ) -> Result<(), Refused> {
        let size = insn.memory_size().size();
        if size == 0 || size > 32 {
            return Err(Refused);
        }
        let mut offset = match share {
            Some(share) => {
                self.shared(insn, share)?;
                insn.memory_displacement64() as i64 - share.start
            }
            None => {
                self.effective_address(ADDRESS, insn)?;
                self.look_up(insn.memory_base(), Access::of(insn), size)?;
                0
            }
        };
        if wants_alignment(insn) {
            self.asm.advance(ADDRESS, offset)?;
            offset = 0;
            self.spoil_flags();
            self.asm
                .with_value(Code::Test_rm64_imm32, ADDRESS, size as i32 - 1)?;
            let exit = self.exit();
            self.asm.jump_if(ConditionCode::ne, exit);
        }
        host.set_segment_prefix(Register::None);
        host.set_memory_base(ADDRESS);
        host.set_memory_index(Register::None);
        host.set_memory_index_scale(1);
        host.set_memory_displacement64(offset as u64);
        host.set_memory_displ_size(u32::from(offset != 0));
        Ok(())
    }

    /// The host address of the first byte that the instruction shares with others, to r15.
    fn shared(&mut self, insn: &Instruction, share: Share) -> Result<(), Refused> {
        let place = offset_of!(Frame, kept) + 8 * share.kept;
        let kept = in_frame_at(place as i64);
        if share.is_known {
            return Ok(self.asm.load(ADDRESS, kept)?);
        }
        let mut first = *insn;
        first.set_memory_displacement64(share.start as u64);
        self.effective_address(ADDRESS, &first)?;
        self.look_up(insn.memory_base(), share.access, share.size)?;
        Ok(self.asm.store(kept, ADDRESS)?)
    }

    /// The linear address of the instruction's operand in memory, to `to`; changes rax.
    pub fn effective_address(&mut self, to: Register, insn: &Instruction) -> Result<(), Refused> {
        self.offset(to, insn)?;
        let number = match insn.memory_segment() {
            Register::FS => FS,
            Register::GS => GS,
            _ => return Ok(()),
        };
        let is_constant = [insn.memory_base(), insn.memory_index()] == [Register::None; 2];
        let displacement = insn.memory_displacement64() as i64;
        if !is_constant || ![0, -1].contains(&(displacement >> SURE)) {
            self.leave_unless_canonical(to)?;
        }
        let segment = offset_of!(Cpu, control.segments) + number * size_of::<Segment>();
        let base = at(FREE, (segment + offset_of!(Segment, base)) as i64);
        self.asm.load(FREE, in_frame!(cpu))?;
        Ok(self.asm.with_memory(Code::Add_r64_rm64, to, base)?)
    }

    /// Leaves if an operand at this offset may have a byte whose offset is not canonical, which
    /// its sum with a base may be. Changes rax.
    fn leave_unless_canonical(&mut self, offset: Register) -> Result<(), Refused> {
        self.spoil_flags();
        self.asm.copy(FREE, offset)?;
        self.asm.with_value(Code::Sar_rm64_imm8, FREE, SURE)?;
        self.asm.address(FREE, at(FREE, 1))?;
        self.asm.with_value(Code::Cmp_rm64_imm32, FREE, 1)?;
        let exit = self.exit();
        self.asm.jump_if(ConditionCode::a, exit);
        Ok(())
    }

    /// The offset in its segment of the instruction's operand in memory, to `to`; changes rax.
    fn offset(&mut self, to: Register, insn: &Instruction) -> Result<(), Refused> {
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
        let wants_rax = is_accumulator(insn, i);
        let is_lent = lent
            .iter()
            .any(|lent| lent.guest == register.full_register());
        let place = match Place::of(register) {
            Place::Host(host) if !wants_rax && !is_lent => host,
            _ => lend(&mut lent, &mut free, register, info.op_access(i), wants_rax)?,
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

/// The same by CL, of a rotation by an immediate.
fn by_cl(insn: &Instruction) -> Option<Instruction> {
    let code = match insn.code() {
        Code::Rol_rm8_imm8 => Code::Rol_rm8_CL,
        Code::Rol_rm16_imm8 => Code::Rol_rm16_CL,
        Code::Rol_rm32_imm8 => Code::Rol_rm32_CL,
        Code::Rol_rm64_imm8 => Code::Rol_rm64_CL,
        Code::Ror_rm8_imm8 => Code::Ror_rm8_CL,
        Code::Ror_rm16_imm8 => Code::Ror_rm16_CL,
        Code::Ror_rm32_imm8 => Code::Ror_rm32_CL,
        Code::Ror_rm64_imm8 => Code::Ror_rm64_CL,
        _ => return None,
    };
    let mut by_cl = *insn;
    by_cl.set_code(code);
    by_cl.set_op1_kind(OpKind::Register);
    by_cl.set_op1_register(Register::CL);
    Some(by_cl)
}

/// Whether the instruction works on rax whatever its operands are, which may name it too.
fn implies_rax(insn: &Instruction) -> bool {
    match insn.mnemonic() {
        Mnemonic::Cmpxchg | Mnemonic::Mul => true,
        Mnemonic::Imul => insn.op_count() == 1,
        _ => false,
    }
}

/// Whether operand `i` is rax, or its low part, by the opcode. (iced knows it of all codes, by a
/// table that takes it milliseconds to make.)
fn is_accumulator(insn: &Instruction, i: u32) -> bool {
    use Code as C;
    let operand = match insn.code() {
        C::Add_AL_imm8 | C::Add_AX_imm16 | C::Add_EAX_imm32 | C::Add_RAX_imm32 => 0,
        C::Or_AL_imm8 | C::Or_AX_imm16 | C::Or_EAX_imm32 | C::Or_RAX_imm32 => 0,
        C::Adc_AL_imm8 | C::Adc_AX_imm16 | C::Adc_EAX_imm32 | C::Adc_RAX_imm32 => 0,
        C::Sbb_AL_imm8 | C::Sbb_AX_imm16 | C::Sbb_EAX_imm32 | C::Sbb_RAX_imm32 => 0,
        C::And_AL_imm8 | C::And_AX_imm16 | C::And_EAX_imm32 | C::And_RAX_imm32 => 0,
        C::Sub_AL_imm8 | C::Sub_AX_imm16 | C::Sub_EAX_imm32 | C::Sub_RAX_imm32 => 0,
        C::Xor_AL_imm8 | C::Xor_AX_imm16 | C::Xor_EAX_imm32 | C::Xor_RAX_imm32 => 0,
        C::Cmp_AL_imm8 | C::Cmp_AX_imm16 | C::Cmp_EAX_imm32 | C::Cmp_RAX_imm32 => 0,
        C::Test_AL_imm8 | C::Test_AX_imm16 | C::Test_EAX_imm32 | C::Test_RAX_imm32 => 0,
        C::Xchg_r16_AX | C::Xchg_r32_EAX | C::Xchg_r64_RAX => 1,
        _ => return false,
    };
    i == operand
}
