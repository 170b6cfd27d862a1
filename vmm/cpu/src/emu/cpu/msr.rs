//! Model-specific registers (AMD APM vol. 2 appendix A).

use x86::msr;

use crate::emu::cpu::{Cpu, model};
use crate::emu::memory::walk::PHYSICAL_BITS;
use crate::emu::outside::exit::ExitKind;
use crate::emu::state::control::canonical;
use crate::emu::state::exception::{Exception, Stop};
use crate::emu::state::segment::{FS, GS};

/// Whether the VMM emulates the register.
fn outside(index: u32) -> bool {
    matches!(index, msr::APIC_BASE | msr::TSC_DEADLINE) || msr::X2APIC.contains(&index)
}

impl Cpu {
    /// Reads an MSR. `before` instructions of the block have been retired.
    ///
    /// # Errors
    /// #GP(0) if it does not exist; an exit if the VMM emulates it.
    pub fn read_msr(&mut self, index: u32, before: u8) -> Result<u64, Stop> {
        if outside(index) {
            self.outside.exit.value = 0;
            self.outside.exit.error = 0;
            self.outside.exit.kind = ExitKind::MsrRead { index };
            return Err(Stop::Exit);
        }
        Ok(match index {
            msr::TSC => self.meter.tsc(before),
            msr::BIOS_SIGN => 0,
            msr::MCG_CAP | msr::MCG_STATUS => 0,
            msr::SYSENTER_CS => self.control.msrs.sysenter_cs,
            msr::SYSENTER_ESP => self.control.msrs.sysenter_esp,
            msr::SYSENTER_EIP => self.control.msrs.sysenter_eip,
            msr::PAT => self.control.msrs.pat,
            msr::XSS => 0,
            msr::EFER => self.control.efer,
            msr::STAR => self.control.msrs.star,
            msr::LSTAR => self.control.msrs.lstar,
            msr::CSTAR => self.control.msrs.cstar,
            msr::SFMASK => self.control.msrs.sfmask,
            msr::FS_BASE => self.control.segments[FS].base,
            msr::GS_BASE => self.control.segments[GS].base,
            msr::KERNEL_GS_BASE => self.control.msrs.kernel_gs_base,
            msr::TSC_AUX => self.control.msrs.tsc_aux,
            msr::KVM_WALL_CLOCK | msr::KVM_SYSTEM_TIME => self.kvm_clock_msr(index),
            _ => model::read(&self.control.msrs, index)?,
        })
    }

    /// Writes an MSR.
    ///
    /// # Errors
    /// #GP(0) if it does not exist or the value is invalid; an exit if the VMM emulates it.
    pub fn write_msr(&mut self, index: u32, value: u64, before: u8) -> Result<(), Stop> {
        if index == msr::APIC_BASE && value >> PHYSICAL_BITS != 0 {
            return Err(Exception::GP.into());
        }
        if outside(index) {
            self.outside.exit.value = value;
            self.outside.exit.error = 0;
            self.outside.exit.kind = ExitKind::MsrWrite { index };
            return Err(Stop::Exit);
        }
        let canonical = |value| {
            if canonical(value) {
                Ok(value)
            } else {
                Err(Stop::from(Exception::GP))
            }
        };
        match index {
            msr::TSC => self.set_tsc(value, before),
            msr::BIOS_SIGN | msr::MCG_STATUS => {}
            msr::SYSENTER_CS => self.control.msrs.sysenter_cs = value & 0xffff,
            msr::SYSENTER_ESP => self.control.msrs.sysenter_esp = canonical(value)?,
            msr::SYSENTER_EIP => self.control.msrs.sysenter_eip = canonical(value)?,
            msr::PAT => {
                let good = |kind: u8| matches!(kind, 0 | 1 | 4 | 5 | 6 | 7);
                if !value.to_le_bytes().into_iter().all(good) {
                    return Err(Exception::GP.into());
                }
                self.control.msrs.pat = value;
            }
            // No component is the supervisor's alone.
            msr::XSS if value == 0 => {}
            msr::EFER => self.write_efer(value)?,
            msr::STAR => self.control.msrs.star = value,
            msr::LSTAR => self.control.msrs.lstar = canonical(value)?,
            msr::CSTAR => self.control.msrs.cstar = canonical(value)?,
            msr::SFMASK => self.control.msrs.sfmask = value & 0xffff_ffff,
            msr::FS_BASE => self.control.segments[FS].base = canonical(value)?,
            msr::GS_BASE => self.control.segments[GS].base = canonical(value)?,
            msr::KERNEL_GS_BASE => self.control.msrs.kernel_gs_base = canonical(value)?,
            msr::KVM_WALL_CLOCK => self.write_wall_clock(value),
            msr::KVM_SYSTEM_TIME => self.write_system_time(value, before),
            msr::TSC_AUX if value >> 32 == 0 => self.control.msrs.tsc_aux = value,
            _ => model::write(&mut self.control.msrs, index, value)?,
        }
        Ok(())
    }
}
