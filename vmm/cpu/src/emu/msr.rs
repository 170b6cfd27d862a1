//! Model-specific registers (AMD APM vol. 2 appendix A).

use super::cpu::{Cpu, FS, GS, bits};
use super::exception::{Exception, Stop};
use super::exit::ExitKind;
use super::mmu::PHYSICAL_BITS;

/// Numbers of MSRs.
pub(super) mod index {
    pub const TSC: u32 = 0x10;
    pub const APIC_BASE: u32 = 0x1b;
    pub const BIOS_SIGN: u32 = 0x8b;
    pub const MTRR_CAP: u32 = 0xfe;
    pub const SYSENTER_CS: u32 = 0x174;
    pub const SYSENTER_ESP: u32 = 0x175;
    pub const SYSENTER_EIP: u32 = 0x176;
    pub const MCG_CAP: u32 = 0x179;
    pub const MCG_STATUS: u32 = 0x17a;
    pub const PAT: u32 = 0x277;
    pub const MTRR_DEF_TYPE: u32 = 0x2ff;
    pub const TSC_DEADLINE: u32 = 0x6e0;
    pub const X2APIC_FIRST: u32 = 0x800;
    pub const X2APIC_LAST: u32 = 0x8ff;
    pub const EFER: u32 = 0xc000_0080;
    pub const STAR: u32 = 0xc000_0081;
    pub const LSTAR: u32 = 0xc000_0082;
    pub const CSTAR: u32 = 0xc000_0083;
    pub const SFMASK: u32 = 0xc000_0084;
    pub const FS_BASE: u32 = 0xc000_0100;
    pub const GS_BASE: u32 = 0xc000_0101;
    pub const KERNEL_GS_BASE: u32 = 0xc000_0102;
    pub const TSC_AUX: u32 = 0xc000_0103;
}

/// PAT after reset.
pub(super) const PAT_RESET: u64 = 0x0007_0406_0007_0406;

/// Whether the VMM keeps the register.
fn outside(msr: u32) -> bool {
    matches!(
        msr,
        index::APIC_BASE | index::TSC_DEADLINE | index::X2APIC_FIRST..=index::X2APIC_LAST
    )
}

impl Cpu {
    /// Reads an MSR. `before` instructions of the block have been retired.
    ///
    /// # Errors
    /// #GP(0) if there is none; an exit if it is the VMM's.
    pub(super) fn read_msr(&mut self, msr: u32, before: u8) -> Result<u64, Stop> {
        if outside(msr) {
            self.exit.value = 0;
            self.exit.error = 0;
            self.exit.kind = ExitKind::MsrRead { index: msr };
            return Err(Stop::Exit);
        }
        Ok(match msr {
            index::TSC => self.tsc(before),
            index::BIOS_SIGN | index::MTRR_CAP | index::MTRR_DEF_TYPE => 0,
            index::MCG_CAP | index::MCG_STATUS => 0,
            index::SYSENTER_CS => self.msrs.sysenter_cs,
            index::SYSENTER_ESP => self.msrs.sysenter_esp,
            index::SYSENTER_EIP => self.msrs.sysenter_eip,
            index::PAT => self.msrs.pat,
            index::EFER => self.efer,
            index::STAR => self.msrs.star,
            index::LSTAR => self.msrs.lstar,
            index::CSTAR => self.msrs.cstar,
            index::SFMASK => self.msrs.sfmask,
            index::FS_BASE => self.segments[FS].base,
            index::GS_BASE => self.segments[GS].base,
            index::KERNEL_GS_BASE => self.msrs.kernel_gs_base,
            index::TSC_AUX => self.msrs.tsc_aux,
            _ => return Err(Exception::GP.into()),
        })
    }

    /// Writes an MSR.
    ///
    /// # Errors
    /// #GP(0) if there is none or the value is bad; an exit if it is the VMM's.
    pub(super) fn write_msr(&mut self, msr: u32, value: u64, before: u8) -> Result<(), Stop> {
        if outside(msr) {
            self.exit.value = value;
            self.exit.error = 0;
            self.exit.kind = ExitKind::MsrWrite { index: msr };
            return Err(Stop::Exit);
        }
        let canonical = |value| {
            if Self::canonical(value) {
                Ok(value)
            } else {
                Err(Stop::from(Exception::GP))
            }
        };
        match msr {
            index::TSC => self.set_tsc(value, before),
            index::BIOS_SIGN | index::MCG_STATUS => {}
            index::SYSENTER_CS => self.msrs.sysenter_cs = value & 0xffff,
            index::SYSENTER_ESP => self.msrs.sysenter_esp = canonical(value)?,
            index::SYSENTER_EIP => self.msrs.sysenter_eip = canonical(value)?,
            index::PAT => {
                let good = |kind: u8| matches!(kind, 0 | 1 | 4 | 5 | 6 | 7);
                if !value.to_le_bytes().into_iter().all(good) {
                    return Err(Exception::GP.into());
                }
                self.msrs.pat = value;
            }
            index::EFER => self.write_efer(value)?,
            index::STAR => self.msrs.star = value,
            index::LSTAR => self.msrs.lstar = canonical(value)?,
            index::CSTAR => self.msrs.cstar = canonical(value)?,
            index::SFMASK => self.msrs.sfmask = value & 0xffff_ffff,
            index::FS_BASE => self.segments[FS].base = canonical(value)?,
            index::GS_BASE => self.segments[GS].base = canonical(value)?,
            index::KERNEL_GS_BASE => self.msrs.kernel_gs_base = canonical(value)?,
            index::TSC_AUX if value >> 32 == 0 => self.msrs.tsc_aux = value,
            _ => return Err(Exception::GP.into()),
        }
        Ok(())
    }

    /// Writes EFER; LMA is the processor's own.
    fn write_efer(&mut self, value: u64) -> Result<(), Stop> {
        const WRITABLE: u64 = bits::EFER_SCE | bits::EFER_LME | bits::EFER_NXE | bits::EFER_FFXSR;
        let changed = self.efer ^ value;
        if value & !(WRITABLE | bits::EFER_LMA) != 0
            || (changed & bits::EFER_LME != 0 && self.cr0 & bits::CR0_PG != 0)
        {
            return Err(Exception::GP.into());
        }
        self.efer = value & WRITABLE | self.efer & bits::EFER_LMA;
        if changed & bits::EFER_NXE != 0 {
            self.flush_tlb(false);
        }
        Ok(())
    }
}

/// Bits of CR3 that must be zero.
pub(super) const CR3_RESERVED: u64 = !((1 << PHYSICAL_BITS) - 1);
