//! `ins` and `outs`, with repeat prefixes: the VMM is asked for each element.

use std::marker::PhantomData;

use iced_x86::Instruction;

use super::super::access::Access;
use super::super::cpu::Cpu;
use super::super::decode::{Form, Site};
use super::super::engine::{Instr, last, slow};
use super::super::exception::Stop;
use super::super::exit::{ExitKind, Reply};
use super::super::flags::rflags;
use super::super::op::{Handler, Op, Slot};
use super::super::value::Int;
use super::forms;
use super::string::{advance, destination, set_strings, source};

/// `outs`: the VMM gets one element at a time.
struct Outs<T, const REP: bool>(PhantomData<T>);

impl<T: Int, const REP: bool> Instr for Outs<T, REP> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let Some((port, size)) = next_element::<T, REP>(cpu, op)? else {
            return Ok(());
        };
        let from = source(cpu, op, T::SIZE)?;
        let value: T = M::load(cpu, from)?;
        cpu.exit.data = value.zero_extend().to_le_bytes();
        cpu.exit.kind = ExitKind::PioOut { port, size };
        after_element::<T, REP>(cpu, op, Slot::RSI, Stop::Exit)
    }
}

/// `ins`: the VMM gives one element at a time.
struct Ins<T, const REP: bool>(PhantomData<T>);

impl<T: Int, const REP: bool> Instr for Ins<T, REP> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let Some((port, size)) = next_element::<T, REP>(cpu, op)? else {
            return Ok(());
        };
        let to = destination(cpu, op, T::SIZE, true)?;
        cpu.probe_write(to, T::SIZE)?;
        let question = Reply {
            gpa: u64::from(port),
            data: [0xff; 8],
            len: size,
        };
        let answer = cpu.outside(ExitKind::PioInString { port, size }, question)?;
        M::store(cpu, to, T::truncate(u64::from_le_bytes(answer)))?;
        after_element::<T, REP>(cpu, op, Slot::RDI, Stop::Again)
    }
}

/// The port and the size of the next element; none if all are done.
///
/// # Errors
/// #GP(0) without permission, which comes first: then even no elements are too many.
fn next_element<T: Int, const REP: bool>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Option<(u16, u8)>, Stop> {
    let (port, size) = (cpu.gprs.read(Slot::RDX), T::SIZE as u8);
    cpu.check_port(port, size)?;
    let done = REP && cpu.gprs.read::<u64>(Slot::RCX) & op.aux.address_mask() == 0;
    Ok((!done).then_some((port, size)))
}

/// Advances after one element of `ins` or `outs`; `stop` if more are to come.
fn after_element<T: Int, const REP: bool>(
    cpu: &mut Cpu,
    op: &Op,
    register: Slot,
    stop: Stop,
) -> Result<(), Stop> {
    let down = cpu.system_flags & rflags::DF != 0;
    let step = if down {
        T::SIZE.wrapping_neg()
    } else {
        T::SIZE
    };
    cpu.replies.clear();
    advance(cpu, op, register, step);
    if REP {
        advance(cpu, op, Slot::RCX, u64::MAX);
        if cpu.gprs.read::<u64>(Slot::RCX) & op.aux.address_mask() != 0 {
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

pub(super) const FORMS: &[Form] = forms! {
    end [lower_outs::<u8>]: Outsb_DX_m8;
    end [lower_outs::<u16>]: Outsw_DX_m16;
    end [lower_outs::<u32>]: Outsd_DX_m32;
    end [lower_ins::<u8>]: Insb_m8_DX;
    end [lower_ins::<u16>]: Insw_m16_DX;
    end [lower_ins::<u32>]: Insd_m32_DX;
};
