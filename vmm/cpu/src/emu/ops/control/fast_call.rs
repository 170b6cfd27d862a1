//! System calls without descriptors, outside long mode: `sysenter sysexit`, and what
//! `syscall` and `sysret` are there.

use iced_x86::Instruction;
use x86::segment as a;

use crate::emu::arithmetic::flags::rflags;
use crate::emu::cpu::access::Access;
use crate::emu::cpu::{Cpu, Op};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::{Jump, jump_slow};
use crate::emu::state::exception::{Exception, Stop};
use crate::emu::state::registers::Slot;
use crate::emu::state::segment::{SS, flat};

/// Changes to flat 32-bit code and stack of ring `cpl`, by their selectors.
fn change_ring(cpu: &mut Cpu, op: &Op, code: u16, stack: u16, cpl: u8) {
    let (code, stack) = (code & !3 | u16::from(cpl), stack & !3 | u16::from(cpl));
    let retired = cpu.meter.retired() + u64::from(op.n) + 1;
    cpu.control.segments[SS] = flat(stack, cpl, a::BIG);
    cpu.set_cs(flat(code, cpl, a::BIG | a::CODE), retired);
}

/// `syscall`; the return address is the immediate.
#[cold]
pub fn syscall(cpu: &mut Cpu, op: &Op) -> u64 {
    let star = cpu.control.msrs.star;
    let selector = (star >> 32) as u16;
    cpu.regs.gprs.write(Slot::RCX, op.imm.get());
    change_ring(cpu, op, selector, selector.wrapping_add(8), 0);
    cpu.set_rflags(cpu.rflags() & !(rflags::RF | rflags::VM | rflags::IF));
    star & 0xffff_ffff
}

/// `sysret` of ring 0.
#[cold]
pub fn sysret(cpu: &mut Cpu, op: &Op) -> u64 {
    let selector = (cpu.control.msrs.star >> 48) as u16;
    change_ring(cpu, op, selector, selector.wrapping_add(8), 3);
    cpu.set_rflags(cpu.rflags() | rflags::IF);
    cpu.regs.gprs.read::<u64>(Slot::RCX) & 0xffff_ffff
}

/// The code segment of `sysenter`, from which the others are counted.
///
/// # Errors
/// #UD in long mode, where AMD's processors have neither instruction; #GP(0) in real mode,
/// or if there is no such segment.
fn sysenter_selector(cpu: &Cpu) -> Result<u16, Stop> {
    let selector = cpu.control.msrs.sysenter_cs as u16;
    if cpu.control.long_mode() {
        Err(Exception::UD.into())
    } else if cpu.control.real_mode() || selector & !3 == 0 {
        Err(Exception::GP.into())
    } else {
        Ok(selector)
    }
}

/// `sysenter`.
struct Sysenter;

impl Jump for Sysenter {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<u64, Stop> {
        let selector = sysenter_selector(cpu)?;
        change_ring(cpu, op, selector, selector.wrapping_add(8), 0);
        cpu.set_rflags(cpu.rflags() & !(rflags::RF | rflags::VM | rflags::IF));
        let msrs = cpu.control.msrs;
        cpu.regs
            .gprs
            .write(Slot::RSP, msrs.sysenter_esp & 0xffff_ffff);
        Ok(msrs.sysenter_eip & 0xffff_ffff)
    }
}

/// `sysexit`.
struct Sysexit;

impl Jump for Sysexit {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<u64, Stop> {
        let selector = sysenter_selector(cpu)?;
        cpu.control.ring0()?;
        let stack = selector.wrapping_add(24);
        change_ring(cpu, op, selector.wrapping_add(16), stack, 3);
        let pointer: u32 = cpu.regs.gprs.read(Slot::RCX);
        cpu.regs.gprs.write(Slot::RSP, u64::from(pointer));
        Ok(u64::from(cpu.regs.gprs.read::<u32>(Slot::RDX)))
    }
}

fn lower<J: Jump>(_: &Site, _: &Instruction, op: &mut Op) {
    op.handler = jump_slow::<J>;
}

pub const FORMS: &[Form] = forms! {
    end [lower::<Sysenter>]: Sysenter;
    end [lower::<Sysexit>]: Sysexitd;
};
