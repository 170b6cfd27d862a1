//! Operands in memory: from what an instruction says to the host's address.

use std::mem::offset_of;

use iced_x86::{Code, ConditionCode, Instruction, MemoryOperand, Register};

use crate::emu::cpu::Cpu;
use crate::emu::state::segment::{FS, GS};
use crate::emu::translate::assembler::at;
use crate::emu::translate::emit::{Emitter, Refused};
use crate::emu::translate::frame::Frame;
use crate::emu::translate::pages::Access;
use crate::emu::translate::places::{ADDRESS, FREE, Place, in_frame, in_frame_at, low};
use crate::emu::translate::shares::{Share, constant_page};
use crate::emu::translate::supported::wants_alignment;
use crate::state::Segment;

/// An offset whose bits from this one on are equal is canonical, and those of the bytes after it.
const SURE: i32 = 46;

impl Emitter {
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
        let displacement = insn.memory_displacement64() as i64;
        let mut offset = match (share, constant_page(insn)) {
            (Some(share), _) => {
                self.shared(insn, share)?;
                displacement - share.start
            }
            (None, Some(page)) => {
                self.look_up_constant(page, Access::of(insn))?;
                displacement - page as i64
            }
            (None, None) => {
                self.effective_address(ADDRESS, insn)?;
                self.look_up(insn.memory_base(), Access::of(insn), size)?;
                0
            }
        };
        if wants_alignment(insn) {
            self.held = None;
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
            if self.held != Some(share.kept) {
                self.asm.load(ADDRESS, kept)?;
            }
        } else if let Some(page) = constant_page(insn) {
            self.look_up_constant(page, share.access)?;
            self.asm.store(kept, ADDRESS)?;
        } else {
            let mut first = *insn;
            first.set_memory_displacement64(share.start as u64);
            self.effective_address(ADDRESS, &first)?;
            self.look_up(insn.memory_base(), share.access, share.size)?;
            self.asm.store(kept, ADDRESS)?;
        }
        self.held = Some(share.kept);
        Ok(())
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
        if index == Register::None && displacement == 0 && size == 8 {
            if base != to {
                self.asm.copy(to, base)?;
            }
            return Ok(());
        }
        if size == 4 {
            let low = low(to, 4);
            return Ok(self.asm.with_memory(Code::Lea_r32_m, low, operand)?);
        }
        Ok(self.asm.address(to, operand)?)
    }
}
