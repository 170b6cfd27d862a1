//! Control, debug and descriptor-table registers, and the TLB.

use iced_x86::{Instruction, OpKind};

use crate::Dtable;
use crate::emu::arithmetic::value::Int;
use crate::emu::cpu::access::Access;
use crate::emu::cpu::{Cpu, Op};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::operand::{Dst, DstReg, Ea, General, Mem, Src, SrcReg, gpr_slot};
use crate::emu::engine::{Instr, last, slow};
use crate::emu::memory::walk::PCID;
use crate::emu::ops::system::processor::{set_registers, system};
use crate::emu::state::control::{CodeSize, bits, canonical};
use crate::emu::state::exception::{Exception, Stop};

/// The number of the debug register that an instruction means by `number`.
fn debug_register(cpu: &Cpu, number: u64) -> Result<usize, Stop> {
    match number {
        4 | 5 if cpu.control.cr4 & bits::CR4_DE != 0 => Err(Exception::UD.into()),
        4 | 5 => Ok(number as usize + 2),
        _ => Ok(number as usize & 7),
    }
}

system! {
    /// `mov cr, reg`.
    WriteControl, lower_write_control, last, |cpu, op| {
        cpu.control.ring0()?;
        let mut value: u64 = cpu.regs.gprs.read(op.src);
        if cpu.control.code_size != CodeSize::Bits64 {
            value &= 0xffff_ffff;
        }
        match op.imm.get() {
            0 => cpu.write_cr0(value),
            2 => {
                cpu.control.cr2 = value;
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
        cpu.control.ring0()?;
        let value = match op.imm.get() {
            0 => cpu.control.cr0,
            2 => cpu.control.cr2,
            3 => cpu.control.cr3,
            4 => cpu.control.cr4,
            8 => cpu.control.cr8,
            _ => return Err(Exception::UD.into()),
        };
        cpu.regs.gprs.write(op.dst, value);
        Ok(())
    }
    /// `mov dr, reg`.
    WriteDebug, lower_write_debug, last, |cpu, op| {
        let number = debug_register(cpu, op.imm.get())?;
        cpu.control.ring0()?;
        cpu.may_use_debug_registers()?;
        let mut value: u64 = cpu.regs.gprs.read(op.src);
        if cpu.control.code_size != CodeSize::Bits64 {
            value &= 0xffff_ffff;
        }
        if number >= 6 && value >> 32 != 0 {
            return Err(Exception::GP.into());
        }
        cpu.control.debug.set(number, value);
        cpu.select_tlb();
        Ok(())
    }
    /// `mov reg, dr`.
    ReadDebug, lower_read_debug, slow, |cpu, op| {
        let number = debug_register(cpu, op.imm.get())?;
        cpu.control.ring0()?;
        cpu.may_use_debug_registers()?;
        let value = cpu.control.debug.get(number);
        cpu.regs.gprs.write(op.dst, value);
        Ok(())
    }
    /// `clts`.
    Clts, lower_clts, last, |cpu, _op| {
        cpu.control.ring0()?;
        cpu.control.cr0 &= !bits::CR0_TS;
        cpu.check_mode();
        Ok(())
    }
}

/// `invlpg`.
struct Invlpg;

impl Instr for Invlpg {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        cpu.control.ring0()?;
        let at = General::linear(cpu, op, 1, false)?;
        if canonical(at.address) {
            cpu.flush_page(at.address);
        }
        Ok(())
    }
}

fn lower_invlpg(site: &Site, insn: &Instruction, op: &mut Op) {
    op.set_memory(site, insn);
    op.handler = last::<Invlpg>;
}

/// `invpcid` (AMD APM vol. 3).
struct Invpcid;

impl Instr for Invpcid {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        cpu.control.ring0()?;
        let at = General::linear(cpu, op, 16, false)?;
        let identifier: u64 = M::load(cpu, at)?;
        let address: u64 = M::load(cpu, at.add(8))?;
        let kind: u64 = cpu.regs.gprs.read(op.dst);
        let kind = match cpu.control.code_size {
            CodeSize::Bits64 => kind,
            _ => kind & 0xffff_ffff,
        };
        let unused = cpu.control.cr4 & bits::CR4_PCIDE == 0 && identifier != 0;
        let bad = identifier & !PCID != 0 || kind <= 1 && unused;
        match kind {
            _ if bad => Err(Exception::GP.into()),
            0 if !canonical(address) => Err(Exception::GP.into()),
            // One address, one identifier, all, all but global pages.
            0 => {
                cpu.flush_page(address);
                Ok(())
            }
            1..=3 => {
                cpu.flush_tlb(kind != 2);
                Ok(())
            }
            _ => Err(Exception::GP.into()),
        }
    }
}

fn lower_invpcid(site: &Site, insn: &Instruction, op: &mut Op) {
    op.dst = gpr_slot(insn.op0_register());
    op.set_memory(site, insn);
    op.handler = last::<Invpcid>;
}

/// `lgdt`, and `lidt` if `IDT`. The immediate is the mask of the base.
struct LoadTable<const IDT: bool>;

impl<const IDT: bool> Instr for LoadTable<IDT> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        cpu.control.ring0()?;
        let wide = cpu.control.code_size == CodeSize::Bits64;
        let at = General::linear(cpu, op, if wide { 10 } else { 6 }, false)?;
        let limit: u16 = M::load(cpu, at)?;
        let base = if wide {
            M::load(cpu, at.add(2))?
        } else {
            u64::from(M::load::<u32>(cpu, at.add(2))?)
        };
        let base = base & op.imm.get();
        if !canonical(base) {
            return Err(Exception::GP.into());
        }
        let table = Dtable { base, limit };
        if IDT {
            cpu.control.idt = table;
        } else {
            cpu.control.gdt = table;
        }
        Ok(())
    }
}

/// `sgdt`, and `sidt` if `IDT`.
struct StoreTable<const IDT: bool>;

impl<const IDT: bool> Instr for StoreTable<IDT> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        cpu.control.umip()?;
        let wide = cpu.control.code_size == CodeSize::Bits64;
        let size = if wide { 10 } else { 6 };
        let at = General::linear(cpu, op, size, true)?;
        let table = if IDT {
            cpu.control.idt
        } else {
            cpu.control.gdt
        };
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
        cpu.control.umip()?;
        D::set::<M>(cpu, op, T::truncate(cpu.control.cr0))
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
        cpu.control.ring0()?;
        let value = u64::from(S::get::<M>(cpu, op)?);
        let keep = cpu.control.cr0 & (!0xf | bits::CR0_PE);
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

pub const FORMS: &[Form] = forms! {
    end [lower_write_control]: Mov_cr_r32 Mov_cr_r64;
    next [lower_read_control]: Mov_r32_cr Mov_r64_cr;
    end [lower_write_debug]: Mov_dr_r32 Mov_dr_r64;
    next [lower_read_debug]: Mov_r32_dr Mov_r64_dr;
    end [lower_clts]: Clts;
    end [lower_invlpg]: Invlpg_m;
    end [lower_invpcid]: Invpcid_r32_m128 Invpcid_r64_m128;
    end [lower_table::<LoadTable<false>>]: Lgdt_m1632_16 Lgdt_m1632 Lgdt_m1664;
    end [lower_table::<LoadTable<true>>]: Lidt_m1632_16 Lidt_m1632 Lidt_m1664;
    end [lower_table::<StoreTable<false>>]: Sgdt_m1632_16 Sgdt_m1632 Sgdt_m1664;
    end [lower_table::<StoreTable<true>>]: Sidt_m1632_16 Sidt_m1632 Sidt_m1664;
    next [lower_smsw::<u16>]: Smsw_rm16;
    next [lower_smsw::<u32>]: Smsw_r32m16;
    next [lower_smsw::<u64>]: Smsw_r64m16;
    end [lower_lmsw]: Lmsw_rm16 Lmsw_r32m16 Lmsw_r64m16;
};
