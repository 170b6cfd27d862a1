//! The x87 environment: control and status word, `fnstenv` and `fnsave` and back.
//!
//! The instructions whose name begins with `fn` do not wait: they execute although an
//! exception is pending.

use std::marker::PhantomData;

use iced_x86::Instruction;

use crate::emu::cpu::access::Access;
use crate::emu::cpu::{Cpu, Op};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::operand::{Dst, Ea, General, Mem, Src};
use crate::emu::engine::{Instr, fast, slow};
use crate::emu::ops::x87::arithmetic::{read, write};
use crate::emu::state::exception::Stop;
use crate::emu::state::registers::Slot;
use crate::emu::state::x87::status;
use crate::emu::state::x87_frame::{Frame, Frame16, Frame32};

/// An instruction without operands.
struct Plain<O>(PhantomData<O>);

/// What it does.
trait PlainOp: 'static {
    fn execute(cpu: &mut Cpu) -> Result<(), Stop>;
}

impl<O: PlainOp> Instr for Plain<O> {
    fn exec<M: Access>(cpu: &mut Cpu, _: &Op) -> Result<(), Stop> {
        O::execute(cpu)
    }
}

macro_rules! plain {
    ($($name:ident, |$cpu:ident| $body:expr;)*) => {$(
        struct $name;
        impl PlainOp for $name {
            fn execute($cpu: &mut Cpu) -> Result<(), Stop> {
                $body
            }
        }
    )*};
}

plain! {
    Wait, |cpu| cpu.check_x87();
    Fninit, |cpu| {
        cpu.regs.x87.init();
        Ok(())
    };
    Fnclex, |cpu| {
        cpu.regs.x87.status &=
            !(status::EXCEPTIONS | status::STACK_FAULT | status::SUMMARY | status::BUSY);
        Ok(())
    };
    FnstswAx, |cpu| {
        cpu.regs.gprs.write(Slot::RAX, cpu.regs.x87.status);
        Ok(())
    };
    // What the 8087 and the 80287 needed.
    Nothing, |_cpu| Ok(());
}

fn lower_plain<O: PlainOp>(_: &Site, _: &Instruction, op: &mut Op) {
    op.handler = slow::<Plain<O>>;
}

/// `fldcw`.
struct Fldcw<S>(PhantomData<S>);

impl<S: Src<u16>> Instr for Fldcw<S> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        cpu.check_x87()?;
        let value = S::get::<M>(cpu, op)?;
        cpu.regs.x87.set_control(value);
        Ok(())
    }
}

/// `fnstcw` and, if `STATUS`, `fnstsw`.
struct StoreWord<D, const STATUS: bool>(PhantomData<D>);

impl<D: Dst<u16>, const STATUS: bool> Instr for StoreWord<D, STATUS> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let value = if STATUS {
            cpu.regs.x87.status
        } else {
            cpu.regs.x87.control
        };
        D::set::<M>(cpu, op, value)
    }
}

fn lower_fldcw(site: &Site, insn: &Instruction, op: &mut Op) {
    op.set_memory(site, insn);
    op.handler = fast::<Fldcw<Mem<General>>>;
}

fn lower_store_word<const STATUS: bool>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.set_memory(site, insn);
    op.handler = fast::<StoreWord<Mem<General>, STATUS>>;
}

/// `fnstenv`, which then masks all exceptions, and `fnsave` if `ALL`, which then
/// initialises.
struct Save<F, E, const ALL: bool>(PhantomData<(F, E)>);

impl<F: Frame, E: Ea, const ALL: bool> Instr for Save<F, E, ALL> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let size = if ALL { F::SIZE } else { F::ENVIRONMENT };
        let at = E::linear(cpu, op, size as u64, true)?;
        let frame = F::of(&cpu.regs.x87);
        write::<M>(cpu, at, &frame.bytes()[..size])?;
        if ALL {
            cpu.regs.x87.init();
        } else {
            let control = cpu.regs.x87.control | status::EXCEPTIONS;
            cpu.regs.x87.set_control(control);
        }
        Ok(())
    }
}

/// `fldenv`, and `frstor` if `ALL`.
struct Restore<F, E, const ALL: bool>(PhantomData<(F, E)>);

impl<F: Frame, E: Ea, const ALL: bool> Instr for Restore<F, E, ALL> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        cpu.check_x87()?;
        let size = if ALL { F::SIZE } else { F::ENVIRONMENT };
        let at = E::linear(cpu, op, size as u64, false)?;
        let mut frame = F::ZERO;
        read::<M>(cpu, at, &mut frame.bytes_mut()[..size])?;
        if ALL {
            frame.apply(&mut cpu.regs.x87);
        } else {
            frame.apply_environment(&mut cpu.regs.x87);
        }
        Ok(())
    }
}

fn lower_save<F: Frame, const ALL: bool>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.set_memory(site, insn);
    op.handler = slow::<Save<F, General, ALL>>;
}

fn lower_restore<F: Frame, const ALL: bool>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.set_memory(site, insn);
    op.handler = slow::<Restore<F, General, ALL>>;
}

pub const FORMS: &[Form] = forms! {
    next [lower_plain::<Wait>]: Wait;
    next [lower_plain::<Fninit>]: Fninit;
    next [lower_plain::<Fnclex>]: Fnclex;
    next [lower_plain::<FnstswAx>]: Fnstsw_AX;
    next [lower_plain::<Nothing>]: Fneni Fndisi Fnsetpm;
    next [lower_fldcw]: Fldcw_m2byte;
    next [lower_store_word::<false>]: Fnstcw_m2byte;
    next [lower_store_word::<true>]: Fnstsw_m2byte;
    next [lower_save::<Frame16, false>]: Fnstenv_m14byte;
    next [lower_save::<Frame32, false>]: Fnstenv_m28byte;
    next [lower_save::<Frame16, true>]: Fnsave_m94byte;
    next [lower_save::<Frame32, true>]: Fnsave_m108byte;
    next [lower_restore::<Frame16, false>]: Fldenv_m14byte;
    next [lower_restore::<Frame32, false>]: Fldenv_m28byte;
    next [lower_restore::<Frame16, true>]: Frstor_m94byte;
    next [lower_restore::<Frame32, true>]: Frstor_m108byte;
};
