//! Control, debug and descriptor-table registers, and the TLB.

use iced_x86::{Instruction, OpKind};

use super::super::access::Access;
use super::super::cpu::{CodeSize, Cpu, bits};
use super::super::decode::{Form, Site};
use super::super::engine::{Instr, last, slow};
use super::super::exception::{Exception, Stop};
use super::super::exit::ExitKind;
use super::super::msr::CR3_RESERVED;
use super::super::op::Op;
use super::super::operand::{Dst, DstReg, Ea, General, Mem, Src, SrcReg, gpr_slot};
use super::super::value::Int;
use super::forms;
use super::system::{set_registers, system};
use crate::Dtable;

impl Cpu {
    /// Writes CR0 (AMD APM vol. 2 3.1.1).
    fn write_cr0(&mut self, value: u64) -> Result<(), Stop> {
        use bits::*;
        const WRITABLE: u64 =
            CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG;
        let paging = value & CR0_PG != 0;
        let bad = value >> 32 != 0
            || (paging && value & CR0_PE == 0)
            || value & (CR0_NW | CR0_CD) == CR0_NW;
        let was_paging = self.cr0 & CR0_PG != 0;
        let starts_long = paging && !was_paging && self.efer & EFER_LME != 0;
        let bad_start = starts_long
            && (self.cr4 & CR4_PAE == 0
                || self.segments[super::super::cpu::CS].attributes
                    & super::super::segment::attribute::LONG
                    != 0);
        let bad_stop = !paging && was_paging && self.code_size == CodeSize::Bits64;
        if bad || bad_start || bad_stop {
            return Err(Exception::GP.into());
        }
        let changed = self.cr0 ^ value;
        self.cr0 = value & WRITABLE | CR0_ET;
        if starts_long {
            self.efer |= EFER_LMA;
        } else if !paging {
            self.efer &= !EFER_LMA;
        }
        if changed & (CR0_PG | CR0_WP | CR0_PE) != 0 {
            self.flush_tlb(false);
        }
        self.select_tlb();
        self.check_mode();
        self.code_segment_changed();
        Ok(())
    }

    fn write_cr3(&mut self, value: u64) -> Result<(), Stop> {
        if value & CR3_RESERVED != 0 {
            return Err(Exception::GP.into());
        }
        self.cr3 = value;
        self.flush_tlb(true);
        self.select_tlb();
        Ok(())
    }

    fn write_cr4(&mut self, value: u64) -> Result<(), Stop> {
        use bits::*;
        const WRITABLE: u64 = CR4_TSD
            | CR4_DE
            | CR4_PSE
            | CR4_PAE
            | CR4_MCE
            | CR4_PGE
            | CR4_PCE
            | CR4_OSFXSR
            | CR4_OSXMMEXCPT
            | CR4_UMIP
            | CR4_FSGSBASE
            | CR4_SMEP
            | CR4_SMAP;
        if value & !WRITABLE != 0 || (self.long_mode() && value & CR4_PAE == 0) {
            return Err(Exception::GP.into());
        }
        let changed = self.cr4 ^ value;
        self.cr4 = value;
        if changed & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP | CR4_SMAP) != 0 {
            self.flush_tlb(false);
            self.select_tlb();
        }
        self.check_mode();
        Ok(())
    }

    /// Writes CR8.
    fn write_cr8(&mut self, value: u64) -> Result<(), Stop> {
        if value > 15 {
            return Err(Exception::GP.into());
        }
        self.cr8 = value;
        self.exit.kind = ExitKind::Cr8Write;
        Ok(())
    }

    /// The number of the debug register that an instruction means by `number`.
    fn debug_register(&self, number: u64) -> Result<usize, Stop> {
        match number {
            4 | 5 if self.cr4 & bits::CR4_DE != 0 => Err(Exception::UD.into()),
            4 | 5 => Ok(number as usize + 2),
            _ => Ok(number as usize & 7),
        }
    }
}

system! {
    /// `mov cr, reg`.
    WriteControl, lower_write_control, last, |cpu, op| {
        cpu.ring0()?;
        let mut value: u64 = cpu.gprs.read(op.src);
        if cpu.code_size != CodeSize::Bits64 {
            value &= 0xffff_ffff;
        }
        match op.imm.get() {
            0 => cpu.write_cr0(value),
            2 => {
                cpu.cr2 = value;
                Ok(())
            }
            3 => cpu.write_cr3(value),
            4 => cpu.write_cr4(value),
            8 => cpu.write_cr8(value),
            _ => Err(Exception::UD.into()),
        }
    }
    /// `mov reg, cr`.
    ReadControl, lower_read_control, slow, |cpu, op| {
        cpu.ring0()?;
        let value = match op.imm.get() {
            0 => cpu.cr0,
            2 => cpu.cr2,
            3 => cpu.cr3,
            4 => cpu.cr4,
            8 => cpu.cr8,
            _ => return Err(Exception::UD.into()),
        };
        cpu.gprs.write(op.dst, value);
        Ok(())
    }
    /// `mov dr, reg`.
    WriteDebug, lower_write_debug, last, |cpu, op| {
        let number = cpu.debug_register(op.imm.get())?;
        cpu.ring0()?;
        cpu.may_use_debug_registers()?;
        let mut value: u64 = cpu.gprs.read(op.src);
        if cpu.code_size != CodeSize::Bits64 {
            value &= 0xffff_ffff;
        }
        if number >= 6 && value >> 32 != 0 {
            return Err(Exception::GP.into());
        }
        cpu.dr[number] = match number {
            6 => value & 0xf00f | 0xffff_0ff0,
            7 => value & 0xffff_2bff | 0x400,
            _ => value,
        };
        cpu.select_tlb();
        Ok(())
    }
    /// `mov reg, dr`.
    ReadDebug, lower_read_debug, slow, |cpu, op| {
        let number = cpu.debug_register(op.imm.get())?;
        cpu.ring0()?;
        cpu.may_use_debug_registers()?;
        let value = cpu.dr[number];
        cpu.gprs.write(op.dst, value);
        Ok(())
    }
    /// `clts`.
    Clts, lower_clts, last, |cpu, _op| {
        cpu.ring0()?;
        cpu.cr0 &= !bits::CR0_TS;
        cpu.check_mode();
        Ok(())
    }
}

/// `invlpg`.
struct Invlpg;

impl Instr for Invlpg {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        cpu.ring0()?;
        let at = General::linear(cpu, op, 1, false)?;
        if Cpu::canonical(at.address) {
            cpu.flush_page(at.address);
        }
        Ok(())
    }
}

fn lower_invlpg(site: &Site, insn: &Instruction, op: &mut Op) {
    op.set_memory(site, insn);
    op.handler = last::<Invlpg>;
}

/// `lgdt`, and `lidt` if `IDT`. The immediate is the mask of the base.
struct LoadTable<const IDT: bool>;

impl<const IDT: bool> Instr for LoadTable<IDT> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        cpu.ring0()?;
        let wide = cpu.code_size == CodeSize::Bits64;
        let at = General::linear(cpu, op, if wide { 10 } else { 6 }, false)?;
        let limit: u16 = M::load(cpu, at)?;
        let base = if wide {
            M::load(cpu, at.add(2))?
        } else {
            u64::from(M::load::<u32>(cpu, at.add(2))?)
        };
        let base = base & op.imm.get();
        if !Cpu::canonical(base) {
            return Err(Exception::GP.into());
        }
        let table = Dtable { base, limit };
        if IDT {
            cpu.idt = table;
        } else {
            cpu.gdt = table;
        }
        Ok(())
    }
}

/// `sgdt`, and `sidt` if `IDT`.
struct StoreTable<const IDT: bool>;

impl<const IDT: bool> Instr for StoreTable<IDT> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        cpu.umip()?;
        let wide = cpu.code_size == CodeSize::Bits64;
        let size = if wide { 10 } else { 6 };
        let at = General::linear(cpu, op, size, true)?;
        let table = if IDT { cpu.idt } else { cpu.gdt };
        let mut bytes = [0; 10];
        bytes[..2].copy_from_slice(&table.limit.to_le_bytes());
        bytes[2..].copy_from_slice(&table.base.to_le_bytes());
        cpu.write_bytes(at, &bytes[..size as usize])
    }
}

fn lower_table<I: Instr>(site: &Site, insn: &Instruction, op: &mut Op) {
    use iced_x86::Code as C;
    op.set_memory(site, insn);
    let narrow = matches!(insn.code(), C::Lgdt_m1632_16 | C::Lidt_m1632_16);
    op.imm.set(if narrow { 0xff_ffff } else { u64::MAX });
    op.handler = last::<I>;
}

/// `smsw dst`: the low bits of CR0. Memory gets 16 of them.
struct Smsw<T, D>(std::marker::PhantomData<(T, D)>);

impl<T: Int, D: Dst<T>> Instr for Smsw<T, D> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        cpu.umip()?;
        D::set::<M>(cpu, op, T::truncate(cpu.cr0))
    }
}

fn lower_smsw<T: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.handler = if insn.op0_kind() == OpKind::Register {
        op.dst = gpr_slot(insn.op0_register());
        slow::<Smsw<T, DstReg>>
    } else {
        op.set_memory(site, insn);
        slow::<Smsw<u16, Mem<General>>>
    };
}

/// `lmsw src`: PE can be set but not cleared.
struct Lmsw<S>(std::marker::PhantomData<S>);

impl<S: Src<u16>> Instr for Lmsw<S> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        cpu.ring0()?;
        let value = u64::from(S::get::<M>(cpu, op)?);
        let keep = cpu.cr0 & (!0xf | bits::CR0_PE);
        cpu.write_cr0(keep | value & 0xf)
    }
}

fn lower_lmsw(site: &Site, insn: &Instruction, op: &mut Op) {
    op.handler = if insn.op0_kind() == OpKind::Register {
        op.src = gpr_slot(insn.op0_register());
        last::<Lmsw<SrcReg>>
    } else {
        op.set_memory(site, insn);
        last::<Lmsw<Mem<General>>>
    };
}

pub(super) const FORMS: &[Form] = forms! {
    end [lower_write_control]: Mov_cr_r32 Mov_cr_r64;
    next [lower_read_control]: Mov_r32_cr Mov_r64_cr;
    end [lower_write_debug]: Mov_dr_r32 Mov_dr_r64;
    next [lower_read_debug]: Mov_r32_dr Mov_r64_dr;
    end [lower_clts]: Clts;
    end [lower_invlpg]: Invlpg_m;
    end [lower_table::<LoadTable<false>>]: Lgdt_m1632_16 Lgdt_m1632 Lgdt_m1664;
    end [lower_table::<LoadTable<true>>]: Lidt_m1632_16 Lidt_m1632 Lidt_m1664;
    end [lower_table::<StoreTable<false>>]: Sgdt_m1632_16 Sgdt_m1632 Sgdt_m1664;
    end [lower_table::<StoreTable<true>>]: Sidt_m1632_16 Sidt_m1632 Sidt_m1664;
    next [lower_smsw::<u16>]: Smsw_rm16;
    next [lower_smsw::<u32>]: Smsw_r32m16;
    next [lower_smsw::<u64>]: Smsw_r64m16;
    end [lower_lmsw]: Lmsw_rm16 Lmsw_r32m16 Lmsw_r64m16;
};
