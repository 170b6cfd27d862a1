//! The architectural state as the VMM reads and replaces it.

use crate::emu::cpu::Cpu;
use crate::emu::memory::walk::read_pdptes;
use crate::emu::outside::exit::ExitKind;
use crate::emu::state::segment::{SS, dpl};
use crate::{CpuState, DebugRegs, ExtendedState, Regs};

impl Cpu {
    /// The state now. Outside the engine.
    pub fn save(&self) -> CpuState {
        let segments = &self.control.segments;
        CpuState {
            regs: Regs {
                gpr: self.regs.gprs.all(),
                rip: self.regs.rip,
                rflags: self.rflags(),
            },
            es: segments[0],
            cs: segments[1],
            ss: segments[2],
            ds: segments[3],
            fs: segments[4],
            gs: segments[5],
            ldt: self.control.ldt,
            tr: self.control.tr,
            gdt: self.control.gdt,
            idt: self.control.idt,
            cr0: self.control.cr0,
            cr2: self.control.cr2,
            cr3: self.control.cr3,
            cr4: self.control.cr4,
            cr8: self.control.cr8,
            efer: self.control.efer,
            debug: DebugRegs(self.control.debug.0),
            msrs: self.control.msrs,
            tsc: self.meter.tsc(0),
            fx: self.regs.fx_image(),
            extended: ExtendedState {
                xcr0: self.control.xcr0,
                ymm_high: self.regs.ymm_high,
            },
            interruptibility: self.events.interruptibility(self.meter.retired()),
        }
    }

    /// Replaces the state. Outside the engine.
    pub fn restore(&mut self, state: &CpuState) {
        self.regs.gprs.set_all(&state.regs.gpr);
        self.regs.rip = state.regs.rip;
        self.control.segments = [state.es, state.cs, state.ss, state.ds, state.fs, state.gs];
        self.control.ldt = state.ldt;
        self.control.tr = state.tr;
        self.control.gdt = state.gdt;
        self.control.idt = state.idt;
        self.control.cr0 = state.cr0;
        self.control.cr2 = state.cr2;
        self.control.cr3 = state.cr3;
        self.control.cr4 = state.cr4;
        self.control.cr8 = state.cr8;
        self.control.efer = state.efer;
        self.control.debug.0 = state.debug.0;
        // They are not part of the state: what CR3 points to is as good.
        self.control.pdptes = read_pdptes(&self.mmu.ram, state.cr3).unwrap_or_default();
        self.control.msrs = state.msrs;
        self.set_tsc(state.tsc, 0);
        self.regs.set_fx_image(&state.fx);
        self.regs.ymm_high = state.extended.ymm_high;
        self.control.xcr0 = state.extended.xcr0;
        self.outside.replies.clear();
        self.outside.exit.kind = ExitKind::None;
        self.events.injected = None;
        let retired = self.meter.retired();
        self.events
            .set_interruptibility(state.interruptibility, retired);
        // As processors do, take the privilege from SS, but in real mode.
        let cpl = match self.control.real_mode() {
            true => 0,
            false => dpl(&self.control.segments[SS]),
        };
        self.set_cpl(cpl, retired);
        self.set_rflags(state.regs.rflags);
        self.code.clear();
        self.check_mode();
        self.code_segment_changed();
        self.flush_tlb(false);
        self.select_tlb();
    }
}
