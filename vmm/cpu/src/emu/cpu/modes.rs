//! Switches of mode: control registers, EFER, CS, MXCSR, and the state derived from them.

use x86::segment::LONG;
use x86::vector;

use crate::emu::cpu::Cpu;
use crate::emu::memory::walk::{CR3_RESERVED, PCID, read_pdptes};
use crate::emu::outside::exit::ExitKind;
use crate::emu::state::control::{CodeSize, Control, bits};
use crate::emu::state::exception::{Exception, Stop};
use crate::emu::state::mxcsr::{self, FpMode};
use crate::emu::state::segment::{CS, has};
use crate::emu::state::xsave;

impl Cpu {
    /// Writes CR0 (AMD APM vol. 2 3.1.1).
    pub fn write_cr0(&mut self, value: u64) -> Result<(), Stop> {
        use bits::*;
        const WRITABLE: u64 =
            CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG;
        let paging = value & CR0_PG != 0;
        let bad = value >> 32 != 0
            || (paging && value & CR0_PE == 0)
            || (!paging && self.control.cr4 & CR4_PCIDE != 0)
            || value & (CR0_NW | CR0_CD) == CR0_NW;
        let was_paging = self.control.cr0 & CR0_PG != 0;
        let starts_long = paging && !was_paging && self.control.efer & EFER_LME != 0;
        let bad_start = starts_long
            && (self.control.cr4 & CR4_PAE == 0 || has(&self.control.segments[CS], LONG));
        let bad_stop = !paging && was_paging && self.control.code_size == CodeSize::Bits64;
        if bad || bad_start || bad_stop {
            return Err(Exception::GP.into());
        }
        let changed = self.control.cr0 ^ value;
        let efer = match (starts_long, paging) {
            (true, _) => self.control.efer | EFER_LMA,
            (false, true) => self.control.efer,
            (false, false) => self.control.efer & !EFER_LMA,
        };
        if changed & (CR0_PG | CR0_NW | CR0_CD) != 0 {
            self.load_pdptes(value, self.control.cr3, self.control.cr4, efer)?;
        }
        self.control.cr0 = value & WRITABLE | CR0_ET;
        self.control.efer = efer;
        if changed & (CR0_PG | CR0_WP | CR0_PE) != 0 {
            self.flush_tlb(false);
        }
        self.select_tlb();
        self.check_mode();
        self.code_segment_changed();
        Ok(())
    }

    /// Writes CR3. The TLB has no identifiers of processes, so it is flushed also where the
    /// guest allows to keep its entries.
    pub fn write_cr3(&mut self, value: u64) -> Result<(), Stop> {
        /// With CR4.PCIDE: keep the entries.
        const NO_FLUSH: u64 = 1 << 63;
        let value = match self.control.cr4 & bits::CR4_PCIDE {
            0 => value,
            _ => value & !NO_FLUSH,
        };
        if value & CR3_RESERVED != 0 {
            return Err(Exception::GP.into());
        }
        let control = &self.control;
        self.load_pdptes(control.cr0, value, control.cr4, control.efer)?;
        self.control.cr3 = value;
        self.flush_tlb(true);
        self.select_tlb();
        Ok(())
    }

    /// Loads the page-directory pointers if the mode that these control registers make has
    /// any (AMD APM vol. 2 5.2.3). Call it before they change.
    ///
    /// # Errors
    /// #GP(0) if one of them has bits that must be zero.
    fn load_pdptes(&mut self, cr0: u64, cr3: u64, cr4: u64, efer: u64) -> Result<(), Stop> {
        if Control::uses_pdptes(cr0, cr4, efer) {
            self.control.pdptes = read_pdptes(&self.mmu.ram, cr3)?;
        }
        Ok(())
    }

    pub fn write_cr4(&mut self, value: u64) -> Result<(), Stop> {
        use bits::*;
        const WRITABLE: u64 = CR4_TSD
            | CR4_DE
            | CR4_PSE
            | CR4_PAE
            | CR4_MCE
            | CR4_PGE
            | CR4_PCE
            | CR4_OSFXSR
            | CR4_OSXMMEXCPT
            | CR4_UMIP
            | CR4_FSGSBASE
            | CR4_PCIDE
            | CR4_OSXSAVE
            | CR4_SMEP
            | CR4_SMAP;
        let changed = self.control.cr4 ^ value;
        let long = self.control.long_mode();
        let bad_identifiers =
            changed & value & CR4_PCIDE != 0 && (!long || self.control.cr3 & PCID != 0);
        if value & !WRITABLE != 0 || (long && value & CR4_PAE == 0) || bad_identifiers {
            return Err(Exception::GP.into());
        }
        if changed & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP) != 0 {
            let control = &self.control;
            self.load_pdptes(control.cr0, control.cr3, value, control.efer)?;
        }
        self.control.cr4 = value;
        if changed & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP) != 0 {
            self.flush_tlb(false);
            self.select_tlb();
        }
        self.check_mode();
        Ok(())
    }

    /// Writes CR8.
    pub fn write_cr8(&mut self, value: u64) -> Result<(), Stop> {
        if value > 15 {
            return Err(Exception::GP.into());
        }
        self.control.cr8 = value;
        self.outside.exit.value = value;
        self.outside.exit.kind = ExitKind::Cr8Write;
        Ok(())
    }

    /// Writes XCR0 (AMD APM vol. 2 11.5.2).
    pub fn write_xcr0(&mut self, value: u64) -> Result<(), Stop> {
        let bad = value & !xsave::components() != 0
            || value & xsave::X87 == 0
            || value & (xsave::SSE | xsave::AVX) == xsave::AVX;
        if bad {
            return Err(Exception::GP.into());
        }
        self.control.xcr0 = value;
        self.update_fp_mode();
        Ok(())
    }

    /// Writes EFER, except LMA, which the processor sets.
    pub fn write_efer(&mut self, value: u64) -> Result<(), Stop> {
        const WRITABLE: u64 = bits::EFER_SCE | bits::EFER_LME | bits::EFER_NXE | bits::EFER_FFXSR;
        let changed = self.control.efer ^ value;
        if value & !(WRITABLE | bits::EFER_LMA) != 0
            || (changed & bits::EFER_LME != 0 && self.control.cr0 & bits::CR0_PG != 0)
        {
            return Err(Exception::GP.into());
        }
        self.control.efer = value & WRITABLE | self.control.efer & bits::EFER_LMA;
        if changed & bits::EFER_NXE != 0 {
            self.flush_tlb(false);
        }
        Ok(())
    }

    /// Updates the state derived from the control registers, and checks whether the
    /// emulator supports their mode.
    pub fn check_mode(&mut self) {
        self.update_fp_mode();
        self.control.unsupported = self.control.missing_mode();
    }

    /// Updates code size and fetch context after CS has changed.
    pub fn code_segment_changed(&mut self) {
        self.control.code_size = self.control.size_of_cs();
        if self.control.code_size != CodeSize::Bits64 {
            let limit = self.control.segments[CS].limit;
            self.code.new_legacy_segment(limit);
        }
        self.select_code();
    }

    /// Changes MXCSR; inside the engine only at the end of a block.
    ///
    /// # Errors
    /// #GP(0) if undefined bits are set.
    pub fn set_mxcsr(&mut self, value: u32) -> Result<(), Stop> {
        self.check_mxcsr(value)?;
        self.regs.discard_host_flags();
        self.regs.mxcsr = value;
        self.update_fp_mode();
        Ok(())
    }

    /// # Errors
    /// #GP(0) if undefined bits are set.
    pub fn check_mxcsr(&self, value: u32) -> Result<(), Stop> {
        match value & !self.regs.mxcsr_mask {
            0 => Ok(()),
            _ => Err(Exception::GP.into()),
        }
    }

    /// Derives [`FpMode`] from the control registers and MXCSR. To be called after changes
    /// of CR0.EM, CR0.TS, CR4.OSFXSR, CR4.OSXSAVE, XCR0 and MXCSR, at the end of a block.
    pub fn update_fp_mode(&mut self) {
        let control = &mut self.control;
        let mode = FpMode::of(control.cr0, control.cr4, control.xcr0, self.regs.mxcsr);
        if mode != control.fp_mode {
            control.fp_mode = mode;
            self.select_code();
        }
    }

    /// Records the exceptions that one instruction has `raised` with all of them masked.
    /// Those found before computing hide those found after, if one is not masked (Intel SDM
    /// vol. 1 11.5.2).
    ///
    /// # Errors
    /// As for [`note_float_exceptions`](Self::note_float_exceptions).
    pub fn note_masked_exceptions(&mut self, raised: u32) -> Result<(), Stop> {
        let early = raised & (mxcsr::INVALID | mxcsr::DENORMAL | mxcsr::ZERO_DIVIDE);
        let stops = early & self.regs.unmasked_exceptions() != 0;
        self.note_float_exceptions(if stops { early } else { raised })
    }

    /// Records the exceptions that one instruction has `raised` under the guest's MXCSR.
    ///
    /// # Errors
    /// #XM (or #UD without CR4.OSXMMEXCPT) if one of them is not masked.
    pub fn note_float_exceptions(&mut self, raised: u32) -> Result<(), Stop> {
        self.regs.mxcsr |= raised;
        if raised & self.regs.unmasked_exceptions() == 0 {
            Ok(())
        } else if self.control.cr4 & bits::CR4_OSXMMEXCPT != 0 {
            Err(Exception::plain(vector::XM).into())
        } else {
            Err(Exception::UD.into())
        }
    }
}
