//! System instructions: interrupt flag, time, MSRs, `cpuid`, segment bases. Those on
//! control registers and tables are in [`super::control`].

use iced_x86::{Instruction, OpKind, Register};

use super::super::access::Access;
use super::super::cpu::{CodeSize, Cpu, FS, GS, bits};
use super::super::cpuid;
use super::super::decode::{Form, Site};
use super::super::engine::{Instr, last, slow};
use super::super::exception::{Exception, Stop};
use super::super::flags::rflags;
use super::super::op::{Op, Slot};
use super::super::operand::gpr_slot;
use super::super::value::Int;
use super::forms;

impl Cpu {
    /// # Errors
    /// #GP(0) outside ring 0.
    pub(super) fn ring0(&self) -> Result<(), Stop> {
        if self.cpl == 0 {
            Ok(())
        } else {
            Err(Exception::GP.into())
        }
    }

    /// # Errors
    /// #GP(0) in ring 3 when CR4.UMIP hides the instruction from it.
    pub(super) fn umip(&self) -> Result<(), Stop> {
        if self.cpl == 3 && self.cr4 & bits::CR4_UMIP != 0 {
            Err(Exception::GP.into())
        } else {
            Ok(())
        }
    }
}

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
pub(super) use system;

/// The general register among the operands into `src` and `dst`; the number of a control
/// or debug register into the immediate.
pub(super) fn set_registers(insn: &Instruction, op: &mut Op) {
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
        cpu.ring0()
    }
    /// `cli`.
    Cli, lower_cli, slow, |cpu, _op| {
        cpu.interrupt_flag_allowed()?;
        cpu.system_flags &= !rflags::IF;
        Ok(())
    }
    /// `sti`: interrupts wait for one more instruction.
    Sti, lower_sti, last, |cpu, op| {
        cpu.interrupt_flag_allowed()?;
        if cpu.system_flags & rflags::IF == 0 {
            cpu.system_flags |= rflags::IF;
            let after = cpu.retired() + u64::from(op.n) + 1;
            cpu.set_shadow(after);
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
        let aux = cpu.msrs.tsc_aux;
        cpu.gprs.write(Slot::RCX, aux);
        Ok(())
    }
    /// `rdpid`.
    Rdpid, lower_rdpid, slow, |cpu, op| {
        let aux = cpu.msrs.tsc_aux;
        cpu.gprs.write(op.dst, aux);
        Ok(())
    }
    /// `rdpmc`: there are no counters.
    Rdpmc, lower_rdpmc, slow, |cpu, _op| {
        let _ = cpu;
        Err(Exception::GP.into())
    }
    /// `rdmsr`.
    Rdmsr, lower_rdmsr, slow, |cpu, op| {
        cpu.ring0()?;
        let msr: u32 = cpu.gprs.read(Slot::RCX);
        let value = cpu.read_msr(msr, op.n)?;
        cpu.gprs.write(Slot::RAX, value & 0xffff_ffff);
        cpu.gprs.write(Slot::RDX, value >> 32);
        Ok(())
    }
    /// `wrmsr`.
    Wrmsr, lower_wrmsr, last, |cpu, op| {
        cpu.ring0()?;
        let msr: u32 = cpu.gprs.read(Slot::RCX);
        let low: u32 = cpu.gprs.read(Slot::RAX);
        let high: u32 = cpu.gprs.read(Slot::RDX);
        cpu.write_msr(msr, u64::from(low) | u64::from(high) << 32, op.n)
    }
    /// `cpuid`.
    Cpuid, lower_cpuid, slow, |cpu, _op| {
        let leaf = cpu.gprs.read(Slot::RAX);
        let subleaf = cpu.gprs.read(Slot::RCX);
        let values = cpuid::leaf(leaf, subleaf);
        for (slot, value) in [Slot::RAX, Slot::RBX, Slot::RCX, Slot::RDX].into_iter().zip(values) {
            cpu.gprs.write(slot, u64::from(value));
        }
        Ok(())
    }
    /// `swapgs`.
    Swapgs, lower_swapgs, slow, |cpu, _op| {
        if cpu.code_size != CodeSize::Bits64 {
            return Err(Exception::UD.into());
        }
        cpu.ring0()?;
        std::mem::swap(&mut cpu.segments[GS].base, &mut cpu.msrs.kernel_gs_base);
        Ok(())
    }
}

impl Cpu {
    /// # Errors
    /// #GP(0) if IOPL does not let this ring change RFLAGS.IF.
    fn interrupt_flag_allowed(&self) -> Result<(), Stop> {
        let iopl = (self.system_flags & rflags::IOPL) >> rflags::IOPL_SHIFT;
        if u64::from(self.cpl) <= iopl {
            Ok(())
        } else {
            Err(Exception::GP.into())
        }
    }

    fn access_check_flag(&mut self, on: bool) -> Result<(), Stop> {
        if self.cpl != 0 {
            return Err(Exception::UD.into());
        }
        if on {
            self.system_flags |= rflags::AC;
        } else {
            self.system_flags &= !rflags::AC;
        }
        self.select_tlb();
        Ok(())
    }

    fn read_time(&mut self, op: &Op) -> Result<(), Stop> {
        if self.cpl != 0 && self.cr4 & bits::CR4_TSD != 0 {
            return Err(Exception::GP.into());
        }
        let now = self.tsc(op.n);
        self.gprs.write(Slot::RAX, now & 0xffff_ffff);
        self.gprs.write(Slot::RDX, now >> 32);
        Ok(())
    }
}

/// `rdfsbase`, `wrfsbase` and those of GS: `N` is the segment, `WRITE` the direction.
struct Base<T, const N: usize, const WRITE: bool>(std::marker::PhantomData<T>);

impl<T: Int, const N: usize, const WRITE: bool> Instr for Base<T, N, WRITE> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        if cpu.code_size != CodeSize::Bits64 || cpu.cr4 & bits::CR4_FSGSBASE == 0 {
            return Err(Exception::UD.into());
        }
        if WRITE {
            let base = T::get(cpu, op.src).zero_extend();
            if !Cpu::canonical(base) {
                return Err(Exception::GP.into());
            }
            cpu.segments[N].base = base;
        } else {
            T::truncate(cpu.segments[N].base).set(cpu, op.dst);
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

pub(super) const FORMS: &[Form] = forms! {
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
