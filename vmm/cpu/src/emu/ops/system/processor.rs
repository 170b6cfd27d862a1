//! System instructions: interrupt flag, time, MSRs, `cpuid`, segment bases. Those on
//! control registers and tables are in [`crate::emu::ops::system::control`].

use iced_x86::{Instruction, OpKind, Register};

use crate::Shadow;
use crate::emu::arithmetic::flags::rflags;
use crate::emu::arithmetic::value::Int;
use crate::emu::cpu::access::Access;
use crate::emu::cpu::{Cpu, Op, cpuid};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::operand::gpr_slot;
use crate::emu::engine::{Instr, last, slow};
use crate::emu::state::control::{CodeSize, bits, canonical};
use crate::emu::state::exception::{Exception, Stop};
use crate::emu::state::registers::Slot;
use crate::emu::state::segment::{FS, GS};

/// Instructions without operands, or with only a register.
macro_rules! system {
    ($($(#[$doc:meta])* $name:ident, $lower:ident, $driver:ident, |$cpu:ident, $op:ident| $body:block)*) => {$(
        $(#[$doc])*
        struct $name;
        impl Instr for $name {
            fn exec<M: Access>($cpu: &mut Cpu, $op: &Op) -> Result<(), Stop> $body
        }
        fn $lower(_: &Site, insn: &Instruction, op: &mut Op) {
            set_registers(insn, op);
            op.handler = $driver::<$name>;
        }
    )*};
}
pub(crate) use system;

/// The general register among the operands into `src` and `dst`; the number of a control
/// or debug register into the immediate.
pub fn set_registers(insn: &Instruction, op: &mut Op) {
    for i in 0..insn.op_count() {
        if insn.op_kind(i) == OpKind::Register {
            let register = insn.op_register(i);
            if register.is_gpr() {
                (op.src, op.dst) = (gpr_slot(register), gpr_slot(register));
            } else {
                op.imm.set(register.number() as u64);
            }
        }
    }
}

system! {
    /// `wbinvd` and `invd`: there are no caches.
    Wbinvd, lower_wbinvd, slow, |cpu, _op| {
        cpu.control.ring0()
    }
    /// `cli`.
    Cli, lower_cli, slow, |cpu, _op| {
        interrupt_flag_allowed(cpu)?;
        cpu.control.system_flags &= !rflags::IF;
        Ok(())
    }
    /// `sti`: interrupts wait for one more instruction.
    Sti, lower_sti, last, |cpu, op| {
        interrupt_flag_allowed(cpu)?;
        if cpu.control.system_flags & rflags::IF == 0 {
            cpu.control.system_flags |= rflags::IF;
            let after = cpu.meter.retired() + u64::from(op.n) + 1;
            cpu.events.set_shadow(Shadow::Sti, after);
        }
        Ok(())
    }
    /// `stac`.
    Stac, lower_stac, slow, |cpu, _op| {
        cpu.access_check_flag(true)
    }
    /// `clac`.
    Clac, lower_clac, slow, |cpu, _op| {
        cpu.access_check_flag(false)
    }
    /// `rdtsc`.
    Rdtsc, lower_rdtsc, slow, |cpu, op| {
        cpu.read_time(op)
    }
    /// `rdtscp`.
    Rdtscp, lower_rdtscp, slow, |cpu, op| {
        cpu.read_time(op)?;
        let aux = cpu.control.msrs.tsc_aux;
        cpu.regs.gprs.write(Slot::RCX, aux);
        Ok(())
    }
    /// `rdpid`.
    Rdpid, lower_rdpid, slow, |cpu, op| {
        let aux = cpu.control.msrs.tsc_aux;
        cpu.regs.gprs.write(op.dst, aux);
        Ok(())
    }
    /// `rdpmc`.
    Rdpmc, lower_rdpmc, slow, |cpu, _op| {
        if cpu.control.cpl != 0 && cpu.control.cr4 & bits::CR4_PCE == 0 {
            return Err(Exception::GP.into());
        }
        let number: u32 = cpu.regs.gprs.read(Slot::RCX);
        let counters = &cpu.control.msrs.amd.event_count;
        let count = *counters.get(number as usize).ok_or(Exception::GP)?;
        cpu.regs.gprs.write(Slot::RAX, count & 0xffff_ffff);
        cpu.regs.gprs.write(Slot::RDX, count >> 32);
        Ok(())
    }
    /// `rdmsr`.
    Rdmsr, lower_rdmsr, slow, |cpu, op| {
        cpu.control.ring0()?;
        let msr: u32 = cpu.regs.gprs.read(Slot::RCX);
        let value = cpu.read_msr(msr, op.n)?;
        cpu.regs.gprs.write(Slot::RAX, value & 0xffff_ffff);
        cpu.regs.gprs.write(Slot::RDX, value >> 32);
        Ok(())
    }
    /// `wrmsr`.
    Wrmsr, lower_wrmsr, last, |cpu, op| {
        cpu.control.ring0()?;
        let msr: u32 = cpu.regs.gprs.read(Slot::RCX);
        let low: u32 = cpu.regs.gprs.read(Slot::RAX);
        let high: u32 = cpu.regs.gprs.read(Slot::RDX);
        cpu.write_msr(msr, u64::from(low) | u64::from(high) << 32, op.n)
    }
    /// `cpuid`.
    Cpuid, lower_cpuid, slow, |cpu, _op| {
        let leaf = cpu.regs.gprs.read(Slot::RAX);
        let subleaf = cpu.regs.gprs.read(Slot::RCX);
        let values = cpuid::leaf(leaf, subleaf, &cpu.control);
        for (slot, value) in [Slot::RAX, Slot::RBX, Slot::RCX, Slot::RDX].into_iter().zip(values) {
            cpu.regs.gprs.write(slot, u64::from(value));
        }
        Ok(())
    }
    /// `swapgs`.
    Swapgs, lower_swapgs, slow, |cpu, _op| {
        if cpu.control.code_size != CodeSize::Bits64 {
            return Err(Exception::UD.into());
        }
        cpu.control.ring0()?;
        std::mem::swap(&mut cpu.control.segments[GS].base, &mut cpu.control.msrs.kernel_gs_base);
        Ok(())
    }
}

/// # Errors
/// #GP(0) if IOPL does not let this ring change RFLAGS.IF.
fn interrupt_flag_allowed(cpu: &Cpu) -> Result<(), Stop> {
    if cpu.control.io_privileged() {
        Ok(())
    } else {
        Err(Exception::GP.into())
    }
}

impl Cpu {
    fn access_check_flag(&mut self, on: bool) -> Result<(), Stop> {
        if self.control.cpl != 0 {
            return Err(Exception::UD.into());
        }
        if on {
            self.control.system_flags |= rflags::AC;
        } else {
            self.control.system_flags &= !rflags::AC;
        }
        self.select_tlb();
        Ok(())
    }

    fn read_time(&mut self, op: &Op) -> Result<(), Stop> {
        if self.control.cpl != 0 && self.control.cr4 & bits::CR4_TSD != 0 {
            return Err(Exception::GP.into());
        }
        let now = self.meter.tsc(op.n);
        self.regs.gprs.write(Slot::RAX, now & 0xffff_ffff);
        self.regs.gprs.write(Slot::RDX, now >> 32);
        Ok(())
    }
}

/// `rdfsbase`, `wrfsbase` and those of GS: `N` is the segment, `WRITE` the direction.
struct Base<T, const N: usize, const WRITE: bool>(std::marker::PhantomData<T>);

impl<T: Int, const N: usize, const WRITE: bool> Instr for Base<T, N, WRITE> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        if cpu.control.code_size != CodeSize::Bits64 || cpu.control.cr4 & bits::CR4_FSGSBASE == 0 {
            return Err(Exception::UD.into());
        }
        if WRITE {
            let base = cpu.regs.get::<T>(op.src).zero_extend();
            if !canonical(base) {
                return Err(Exception::GP.into());
            }
            cpu.control.segments[N].base = base;
        } else {
            cpu.regs
                .set(op.dst, T::truncate(cpu.control.segments[N].base));
        }
        Ok(())
    }
}

fn lower_base<T: Int, const N: usize, const WRITE: bool>(
    _: &Site,
    insn: &Instruction,
    op: &mut Op,
) {
    debug_assert!(insn.op0_register() != Register::None);
    set_registers(insn, op);
    op.handler = slow::<Base<T, N, WRITE>>;
}

pub const FORMS: &[Form] = forms! {
    next [lower_wbinvd]: Wbinvd Invd;
    next [lower_cli]: Cli;
    end [lower_sti]: Sti;
    next [lower_stac]: Stac;
    next [lower_clac]: Clac;
    next [lower_rdtsc]: Rdtsc;
    next [lower_rdtscp]: Rdtscp;
    next [lower_rdpid]: Rdpid_r32 Rdpid_r64;
    next [lower_rdpmc]: Rdpmc;
    next [lower_rdmsr]: Rdmsr;
    end [lower_wrmsr]: Wrmsr;
    next [lower_cpuid]: Cpuid;
    next [lower_swapgs]: Swapgs;
    next [lower_base::<u32, FS, false>]: Rdfsbase_r32;
    next [lower_base::<u64, FS, false>]: Rdfsbase_r64;
    next [lower_base::<u32, GS, false>]: Rdgsbase_r32;
    next [lower_base::<u64, GS, false>]: Rdgsbase_r64;
    next [lower_base::<u32, FS, true>]: Wrfsbase_r32;
    next [lower_base::<u64, FS, true>]: Wrfsbase_r64;
    next [lower_base::<u32, GS, true>]: Wrgsbase_r32;
    next [lower_base::<u64, GS, true>]: Wrgsbase_r64;
};
