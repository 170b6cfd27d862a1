//! The architectural state as the VMM sees it, in and out, and the modes it may be in.

use super::cpu::{CS, Cpu, bits};
use super::exit::ExitKind;
use super::segment::{attribute as a, dpl};
use crate::{CpuState, Regs};

impl Cpu {
    /// The state now. Outside the engine.
    pub(super) fn save(&self) -> CpuState {
        let segments = &self.segments;
        CpuState {
            regs: Regs {
                gpr: self.gprs.all(),
                rip: self.rip,
                rflags: self.rflags(),
            },
            es: segments[0],
            cs: segments[1],
            ss: segments[2],
            ds: segments[3],
            fs: segments[4],
            gs: segments[5],
            ldt: self.ldt,
            tr: self.tr,
            gdt: self.gdt,
            idt: self.idt,
            cr0: self.cr0,
            cr2: self.cr2,
            cr3: self.cr3,
            cr4: self.cr4,
            cr8: self.cr8,
            efer: self.efer,
            apic_base: self.msrs.apic_base,
            star: self.msrs.star,
            lstar: self.msrs.lstar,
            cstar: self.msrs.cstar,
            sfmask: self.msrs.sfmask,
            kernel_gs_base: self.msrs.kernel_gs_base,
            tsc: self.tsc(0),
            fx: self.fx_image(),
        }
    }

    /// Replaces the state. Outside the engine.
    pub(super) fn restore(&mut self, state: &CpuState) {
        self.gprs.set_all(&state.regs.gpr);
        self.rip = state.regs.rip;
        self.segments = [state.es, state.cs, state.ss, state.ds, state.fs, state.gs];
        self.ldt = state.ldt;
        self.tr = state.tr;
        self.gdt = state.gdt;
        self.idt = state.idt;
        self.cr0 = state.cr0;
        self.cr2 = state.cr2;
        self.cr3 = state.cr3;
        self.cr4 = state.cr4;
        self.cr8 = state.cr8;
        self.efer = state.efer;
        self.msrs.apic_base = state.apic_base;
        self.msrs.star = state.star;
        self.msrs.lstar = state.lstar;
        self.msrs.cstar = state.cstar;
        self.msrs.sfmask = state.sfmask;
        self.msrs.kernel_gs_base = state.kernel_gs_base;
        self.set_tsc(state.tsc, 0);
        self.set_fx_image(&state.fx);
        self.replies.clear();
        self.exit.kind = ExitKind::None;
        self.injected = None;
        self.shadow = None;
        let retired = self.retired();
        // As processors do, take the privilege from SS.
        self.set_cpl(dpl(&self.segments[super::cpu::SS]), retired);
        self.set_rflags(state.regs.rflags);
        self.code.clear();
        self.check_mode();
        self.code_segment_changed();
        self.flush_tlb(false);
        self.select_tlb();
    }

    /// Follows a change of the control registers, and finds out whether the emulator has
    /// the mode that they ask for.
    pub(super) fn check_mode(&mut self) {
        self.update_fp_mode();
        let paging = self.cr0 & bits::CR0_PG != 0;
        self.unsupported = if self.cr0 & bits::CR0_PE == 0 {
            Some("real mode")
        } else if paging && self.efer & bits::EFER_LMA == 0 {
            Some("paging outside long mode")
        } else if self.segments[CS].attributes & (a::LONG | a::BIG) == 0 {
            Some("16-bit code")
        } else {
            None
        };
    }
}
