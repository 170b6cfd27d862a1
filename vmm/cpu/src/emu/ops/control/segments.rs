//! Segment registers and descriptors: `mov sreg`, `push`/`pop sreg`, `lfs` and the like,
//! `lldt ltr sldt str verr verw lar lsl`.

use std::marker::PhantomData;

use iced_x86::{Instruction, OpKind};

use crate::Shadow;
use crate::emu::arithmetic::flags::bit;
use crate::emu::arithmetic::value::Int;
use crate::emu::cpu::access::Access;
use crate::emu::cpu::stack::{Legacy, Long, StackMode, peek, push};
use crate::emu::cpu::{Cpu, Op};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::operand::{
    Dst, DstReg, Ea, General, Mem, Src, SrcReg, gpr_slot, segment_number,
};
use crate::emu::engine::{Instr, last, slow};
use crate::emu::state::control::CodeSize;
use crate::emu::state::exception::Stop;
use crate::emu::state::registers::Slot;
use crate::emu::state::segment::{DS, ES, FS, GS, SS};

/// `mov sreg, src`; the immediate is the segment's number.
struct WriteSegment<S>(PhantomData<S>);

impl<S: Src<u16>> Instr for WriteSegment<S> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let selector = S::get::<M>(cpu, op)?;
        load(cpu, op, op.imm.get() as usize, selector)
    }
}

/// Loads a data segment register by `mov` or `pop`; after SS, interrupts and traps wait for
/// one more instruction.
fn load(cpu: &mut Cpu, op: &Op, number: usize, selector: u16) -> Result<(), Stop> {
    cpu.control.segments[number] = cpu.data_segment(number, selector)?;
    if number == SS {
        let after = cpu.meter.retired() + u64::from(op.n) + 1;
        cpu.events.set_shadow(Shadow::MovSs, after);
    }
    Ok(())
}

fn lower_write(site: &Site, insn: &Instruction, op: &mut Op) {
    let register = insn.op0_register();
    if register == iced_x86::Register::CS {
        return;
    }
    op.imm.set(u64::from(segment_number(register)));
    op.handler = if insn.op1_kind() == OpKind::Register {
        op.src = gpr_slot(insn.op1_register());
        last::<WriteSegment<SrcReg>>
    } else {
        op.set_memory(site, insn);
        last::<WriteSegment<Mem<General>>>
    };
}

/// `mov dst, sreg`: memory gets 16 bits, a register is zero-extended.
struct ReadSegment<T, D>(PhantomData<(T, D)>);

impl<T: Int, D: Dst<T>> Instr for ReadSegment<T, D> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let selector = cpu.control.segments[op.imm.get() as usize % 6].selector;
        D::set::<M>(cpu, op, T::truncate(u64::from(selector)))
    }
}

fn lower_read<T: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.imm.set(u64::from(segment_number(insn.op1_register())));
    op.handler = if insn.op0_kind() == OpKind::Register {
        op.dst = gpr_slot(insn.op0_register());
        slow::<ReadSegment<T, DstReg>>
    } else {
        op.set_memory(site, insn);
        slow::<ReadSegment<u16, Mem<General>>>
    };
}

/// `push sreg`.
struct PushSegment<T, S>(PhantomData<(T, S)>);

impl<T: Int, S: StackMode> Instr for PushSegment<T, S> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let selector = cpu.control.segments[op.imm.get() as usize % 6].selector;
        push::<M, T, S>(cpu, T::truncate(u64::from(selector)))
    }
}

fn lower_push<T: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.imm.set(u64::from(segment_number(insn.op0_register())));
    op.handler = if site.size == CodeSize::Bits64 {
        slow::<PushSegment<T, Long>>
    } else {
        slow::<PushSegment<T, Legacy>>
    };
}

/// `pop sreg`.
struct PopSegment<T, S>(PhantomData<(T, S)>);

impl<T: Int, S: StackMode> Instr for PopSegment<T, S> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let value: T = peek::<M, T, S>(cpu)?;
        load(cpu, op, op.imm.get() as usize, value.zero_extend() as u16)?;
        S::drop(cpu, T::SIZE);
        Ok(())
    }
}

fn lower_pop<T: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.imm.set(u64::from(segment_number(insn.op0_register())));
    op.handler = if site.size == CodeSize::Bits64 {
        last::<PopSegment<T, Long>>
    } else {
        last::<PopSegment<T, Legacy>>
    };
}

/// `lfs` and the like: offset and selector from memory.
struct LoadFar<T, const N: usize>(PhantomData<T>);

impl<T: Int, const N: usize> Instr for LoadFar<T, N> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let at = General::linear(cpu, op, T::SIZE + 2, false)?;
        let offset: T = M::load(cpu, at)?;
        let selector: u16 = M::load(cpu, at.add(T::SIZE))?;
        cpu.control.segments[N] = cpu.data_segment(N, selector)?;
        cpu.regs.set(op.dst, offset);
        Ok(())
    }
}

fn lower_far<T: Int, const N: usize>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.dst = gpr_slot(insn.op0_register());
    op.set_memory(site, insn);
    op.handler = last::<LoadFar<T, N>>;
}

/// `lldt`, and `ltr` if `TR`.
struct LoadSystem<S, const TR: bool>(PhantomData<S>);

impl<S: Src<u16>, const TR: bool> Instr for LoadSystem<S, TR> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        cpu.control.protected()?;
        cpu.control.ring0()?;
        let selector = S::get::<M>(cpu, op)?;
        if TR {
            cpu.load_tr(selector)
        } else {
            cpu.load_ldt(selector)
        }
    }
}

/// `sldt`, and `str` if `TR`.
struct StoreSystem<T, D, const TR: bool>(PhantomData<(T, D)>);

impl<T: Int, D: Dst<T>, const TR: bool> Instr for StoreSystem<T, D, TR> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        cpu.control.protected()?;
        cpu.control.umip()?;
        let register = if TR {
            &cpu.control.tr
        } else {
            &cpu.control.ldt
        };
        let selector = u64::from(register.selector);
        D::set::<M>(cpu, op, T::truncate(selector))
    }
}

/// `verr`, and `verw` if `W`.
struct Verify<S, const W: bool>(PhantomData<S>);

impl<S: Src<u16>, const W: bool> Instr for Verify<S, W> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        cpu.control.protected()?;
        let selector = S::get::<M>(cpu, op)?;
        let good = cpu.verify(selector, W)?;
        cpu.regs.flags = cpu.regs.flags.with(bit::ZF, good);
        Ok(())
    }
}

/// `lar`, and `lsl` if `LIMIT`.
struct Inspect<T, S, const LIMIT: bool>(PhantomData<(T, S)>);

impl<T: Int, S: Src<u16>, const LIMIT: bool> Instr for Inspect<T, S, LIMIT> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        cpu.control.protected()?;
        let selector = S::get::<M>(cpu, op)?;
        let found = cpu.inspect(selector, LIMIT)?;
        cpu.regs.flags = cpu.regs.flags.with(bit::ZF, found.is_some());
        if let Some((high, segment)) = found {
            let value = if LIMIT {
                segment.limit
            } else {
                high & 0x00ff_ff00
            };
            cpu.regs.set(op.dst, T::truncate(u64::from(value)));
        }
        Ok(())
    }
}

fn lower_inspect<T: Int, const LIMIT: bool>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.dst = gpr_slot(insn.op0_register());
    op.handler = if insn.op1_kind() == OpKind::Register {
        op.src = gpr_slot(insn.op1_register());
        slow::<Inspect<T, SrcReg, LIMIT>>
    } else {
        op.set_memory(site, insn);
        slow::<Inspect<T, Mem<General>, LIMIT>>
    };
}

fn lower_load_system<const TR: bool>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.handler = if insn.op0_kind() == OpKind::Register {
        op.src = gpr_slot(insn.op0_register());
        last::<LoadSystem<SrcReg, TR>>
    } else {
        op.set_memory(site, insn);
        last::<LoadSystem<Mem<General>, TR>>
    };
}

fn lower_store_system<T: Int, const TR: bool>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.handler = if insn.op0_kind() == OpKind::Register {
        op.dst = gpr_slot(insn.op0_register());
        slow::<StoreSystem<T, DstReg, TR>>
    } else {
        op.set_memory(site, insn);
        slow::<StoreSystem<u16, Mem<General>, TR>>
    };
}

fn lower_verify<const W: bool>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.handler = if insn.op0_kind() == OpKind::Register {
        op.src = gpr_slot(insn.op0_register());
        slow::<Verify<SrcReg, W>>
    } else {
        op.set_memory(site, insn);
        slow::<Verify<Mem<General>, W>>
    };
}

/// `xlat`: al becomes the byte at rbx plus al; the segment may be overridden.
struct Xlat;

impl Instr for Xlat {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let index = u64::from(cpu.regs.gprs.read::<u8>(Slot::RAX));
        let base: u64 = cpu.regs.gprs.read(Slot::RBX);
        let offset = base.wrapping_add(index) & op.aux.address_mask();
        let at = cpu.control.linear(op.aux.segment(), offset, 1, false)?;
        let value: u8 = M::load(cpu, at)?;
        cpu.regs.gprs.write(Slot::RAX, value);
        Ok(())
    }
}

fn lower_xlat(site: &Site, insn: &Instruction, op: &mut Op) {
    op.set_memory(site, insn);
    op.handler = slow::<Xlat>;
}

pub const FORMS: &[Form] = forms! {
    end [lower_write]: Mov_Sreg_rm16 Mov_Sreg_r32m16 Mov_Sreg_r64m16;
    next [lower_read::<u16>]: Mov_rm16_Sreg;
    next [lower_read::<u32>]: Mov_r32m16_Sreg;
    next [lower_read::<u64>]: Mov_r64m16_Sreg;
    next [lower_push::<u16>]: Pushw_ES Pushw_CS Pushw_SS Pushw_DS Pushw_FS Pushw_GS;
    next [lower_push::<u32>]: Pushd_ES Pushd_CS Pushd_SS Pushd_DS Pushd_FS Pushd_GS;
    next [lower_push::<u64>]: Pushq_FS Pushq_GS;
    end [lower_pop::<u16>]: Popw_ES Popw_SS Popw_DS Popw_FS Popw_GS;
    end [lower_pop::<u32>]: Popd_ES Popd_SS Popd_DS Popd_FS Popd_GS;
    end [lower_pop::<u64>]: Popq_FS Popq_GS;
    end [lower_far::<u16, ES>]: Les_r16_m1616;
    end [lower_far::<u32, ES>]: Les_r32_m1632;
    end [lower_far::<u16, DS>]: Lds_r16_m1616;
    end [lower_far::<u32, DS>]: Lds_r32_m1632;
    end [lower_far::<u16, SS>]: Lss_r16_m1616;
    end [lower_far::<u32, SS>]: Lss_r32_m1632;
    end [lower_far::<u64, SS>]: Lss_r64_m1664;
    end [lower_far::<u16, FS>]: Lfs_r16_m1616;
    end [lower_far::<u32, FS>]: Lfs_r32_m1632;
    end [lower_far::<u64, FS>]: Lfs_r64_m1664;
    end [lower_far::<u16, GS>]: Lgs_r16_m1616;
    end [lower_far::<u32, GS>]: Lgs_r32_m1632;
    end [lower_far::<u64, GS>]: Lgs_r64_m1664;
    end [lower_load_system::<false>]: Lldt_rm16 Lldt_r32m16 Lldt_r64m16;
    end [lower_load_system::<true>]: Ltr_rm16 Ltr_r32m16 Ltr_r64m16;
    next [lower_store_system::<u16, false>]: Sldt_rm16;
    next [lower_store_system::<u32, false>]: Sldt_r32m16;
    next [lower_store_system::<u64, false>]: Sldt_r64m16;
    next [lower_store_system::<u16, true>]: Str_rm16;
    next [lower_store_system::<u32, true>]: Str_r32m16;
    next [lower_store_system::<u64, true>]: Str_r64m16;
    next [lower_verify::<false>]: Verr_rm16 Verr_r32m16 Verr_r64m16;
    next [lower_verify::<true>]: Verw_rm16 Verw_r32m16 Verw_r64m16;
    next [lower_inspect::<u16, false>]: Lar_r16_rm16;
    next [lower_inspect::<u32, false>]: Lar_r32_r32m16;
    next [lower_inspect::<u64, false>]: Lar_r64_r64m16;
    next [lower_inspect::<u16, true>]: Lsl_r16_rm16;
    next [lower_inspect::<u32, true>]: Lsl_r32_r32m16;
    next [lower_inspect::<u64, true>]: Lsl_r64_r64m16;
    next [lower_xlat]: Xlat_m8;
};
