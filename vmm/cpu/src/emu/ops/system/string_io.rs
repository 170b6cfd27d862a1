//! `ins` and `outs`, with repeat prefixes. The VMM gets each output element in an exit of
//! its own, and supplies several input elements at once, as with KVM.

use std::marker::PhantomData;

use iced_x86::Instruction;

use crate::emu::arithmetic::flags::rflags;
use crate::emu::arithmetic::value::Int;
use crate::emu::cpu::access::Access;
use crate::emu::cpu::{Cpu, Handler, Op};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::{Instr, last, slow};
use crate::emu::memory::ram::{PAGE, to_page_end};
use crate::emu::ops::integer::string::{advance, destination, set_strings, source};
use crate::emu::outside::exit::{ExitKind, ITEMS_LEN, Reply};
use crate::emu::state::exception::Stop;
use crate::emu::state::registers::Slot;
use crate::emu::state::segment::ES;

/// `outs`: the VMM gets one element at a time.
struct Outs<T, const REP: bool>(PhantomData<T>);

impl<T: Int, const REP: bool> Instr for Outs<T, REP> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let Some((port, size)) = next_element::<T, REP>(cpu, op)? else {
            return Ok(());
        };
        let from = source(cpu, op, T::SIZE)?;
        let value: T = M::load(cpu, from)?;
        cpu.outside.exit.data = value.zero_extend().to_le_bytes();
        cpu.outside.exit.kind = ExitKind::PioOut { port, size };
        after_elements::<T, REP>(cpu, op, Slot::RSI, 1, Stop::Exit)
    }
}

/// `ins`: the VMM gives some elements at a time, as many as KVM asks for at once.
struct Ins<T, const REP: bool>(PhantomData<T>);

impl<T: Int, const REP: bool> Instr for Ins<T, REP> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let Some((port, size)) = next_element::<T, REP>(cpu, op)? else {
            return Ok(());
        };
        let to = destination(cpu, op, T::SIZE, true)?;
        cpu.probe_write(to, T::SIZE)?;
        if !cpu.outside.replies.pending() {
            let count = if REP { items::<T>(cpu, op) } else { 1 };
            cpu.outside.exit.start_items(count * T::SIZE as usize);
        }
        let question = Reply {
            gpa: u64::from(port),
            data: [0; 8],
            len: 0,
        };
        cpu.outside
            .ask(ExitKind::PioInString { port, size }, question)?;
        let mut items = cpu.outside.exit.items;
        let bytes = &mut items[..cpu.outside.exit.items_len];
        let count = bytes.len() as u64 / T::SIZE;
        let mut low = to;
        if cpu.control.system_flags & rflags::DF != 0 {
            // The first goes to the highest address.
            low = to.add((count - 1).wrapping_mul(T::SIZE).wrapping_neg());
            bytes.reverse();
            for item in bytes.chunks_exact_mut(T::SIZE as usize) {
                item.reverse();
            }
        }
        cpu.write_bytes(low, bytes)?;
        after_elements::<T, REP>(cpu, op, Slot::RDI, count, Stop::Again)
    }
}

/// How many elements a repeated `ins` asks for at once: what KVM's own emulator does
/// (`pio_in_emulated` in arch/x86/kvm/emulate.c), which takes the rest of the page for
/// elements even where they are longer than bytes. One where a later element could fault,
/// so that no element is read from a device and lost.
fn items<T: Int>(cpu: &mut Cpu, op: &Op) -> usize {
    let offset = cpu.regs.gprs.read::<u64>(Slot::RDI) & op.aux.address_mask();
    let down = cpu.control.system_flags & rflags::DF != 0;
    let in_page = match down {
        true => offset % PAGE,
        false => to_page_end(offset),
    };
    let count = cpu.regs.gprs.read::<u64>(Slot::RCX) & op.aux.address_mask();
    let count = count.min(in_page).min(ITEMS_LEN as u64 / T::SIZE);
    if count < 2 || cpu.control.steps_by_element() || cpu.control.checks_alignment() {
        return 1;
    }
    let bytes = count * T::SIZE;
    let low = match down {
        true => offset.checked_sub(bytes - T::SIZE),
        false => Some(offset),
    };
    let last = low.and_then(|low| low.checked_add(bytes - 1));
    let (Some(low), Some(last)) = (low, last) else {
        return 1;
    };
    let whole = last <= op.aux.address_mask()
        && cpu
            .control
            .linear(ES as u8, low, bytes, true)
            .is_ok_and(|at| cpu.is_writable_ram(at, bytes));
    if whole { count as usize } else { 1 }
}

/// The port and the size of the next element; none if all are done.
///
/// # Errors
/// #GP(0) without permission, which is checked first, even for a count of zero.
fn next_element<T: Int, const REP: bool>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Option<(u16, u8)>, Stop> {
    let (port, size) = (cpu.regs.gprs.read(Slot::RDX), T::SIZE as u8);
    cpu.check_port(port, size)?;
    let done = REP && cpu.regs.gprs.read::<u64>(Slot::RCX) & op.aux.address_mask() == 0;
    Ok((!done).then_some((port, size)))
}

/// Advances after `count` elements of `ins` or `outs`; `stop` if more are to come.
fn after_elements<T: Int, const REP: bool>(
    cpu: &mut Cpu,
    op: &Op,
    register: Slot,
    count: u64,
    stop: Stop,
) -> Result<(), Stop> {
    let down = cpu.control.system_flags & rflags::DF != 0;
    let step = if down {
        T::SIZE.wrapping_neg()
    } else {
        T::SIZE
    };
    cpu.outside.replies.clear();
    advance(cpu, op, register, step.wrapping_mul(count));
    if REP {
        advance(cpu, op, Slot::RCX, count.wrapping_neg());
        if cpu.regs.gprs.read::<u64>(Slot::RCX) & op.aux.address_mask() != 0 {
            return Err(stop);
        }
    }
    Ok(())
}

fn lower_outs<T: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    set_strings(site, insn, op);
    op.handler = port_form(insn, last::<Outs<T, true>>, last::<Outs<T, false>>);
}

fn lower_ins<T: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    set_strings(site, insn, op);
    op.handler = port_form(insn, slow::<Ins<T, true>>, slow::<Ins<T, false>>);
}

fn port_form(insn: &Instruction, repeated: Handler, once: Handler) -> Handler {
    if insn.has_rep_prefix() || insn.has_repne_prefix() {
        repeated
    } else {
        once
    }
}

pub const FORMS: &[Form] = forms! {
    end [lower_outs::<u8>]: Outsb_DX_m8;
    end [lower_outs::<u16>]: Outsw_DX_m16;
    end [lower_outs::<u32>]: Outsd_DX_m32;
    end [lower_ins::<u8>]: Insb_m8_DX;
    end [lower_ins::<u16>]: Insw_m16_DX;
    end [lower_ins::<u32>]: Insd_m32_DX;
};
