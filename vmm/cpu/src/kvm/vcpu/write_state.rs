//! Replacing the state of a vCPU.

use kvm_bindings::kvm_xcrs;
use x86::RFlags;

use super::super::failed;
use super::super::registers::{msrs_to_write, sregs_of, update_events, update_sregs};
use super::super::xsave::{update_xsave, update_ymm_high};
use super::KvmVcpu;
use crate::{CpuError, CpuState};

impl KvmVcpu {
    /// Replaces the state, which is `old` if that is known: the parts that stay as they are
    /// cost nothing then.
    pub(super) fn write_state(
        &mut self,
        state: &CpuState,
        old: Option<&CpuState>,
    ) -> Result<(), CpuError> {
        let fd = &mut self.fd;
        if old.is_none_or(|old| sregs_of(old) != sregs_of(state)) {
            let mut sregs = fd.get_sregs().map_err(failed("KVM_GET_SREGS"))?;
            update_sregs(&mut sregs, state);
            fd.set_sregs(&sregs).map_err(failed("KVM_SET_SREGS"))?;
        }
        fd.set_regs(&(&state.regs).into())
            .map_err(failed("KVM_SET_REGS"))?;
        // KVM says the one at exits only, and takes the other when the guest goes on.
        let run = fd.get_kvm_run();
        run.if_flag = u8::from(state.regs.rflags & RFlags::INTERRUPT_FLAG.bits() != 0);
        run.cr8 = state.cr8;
        self.cr8 = state.cr8 as u8;
        if old.is_none_or(|old| old.debug != state.debug) {
            fd.set_debug_regs(&(&state.debug).into())
                .map_err(failed("KVM_SET_DEBUGREGS"))?;
        }
        if old.is_none_or(|old| old.msrs != state.msrs) {
            let msrs = msrs_to_write(state.msrs).ok_or(CpuError::Unsupported("too many MSRs"))?;
            fd.set_msrs(&msrs).map_err(failed("KVM_SET_MSRS"))?;
        }
        if old.is_none_or(|old| old.interruptibility != state.interruptibility) {
            let events = fd.get_vcpu_events();
            let mut events = events.map_err(failed("KVM_GET_VCPU_EVENTS"))?;
            update_events(&mut events, state.interruptibility);
            if old.is_none() {
                // One that KVM has not delivered yet was for the state before.
                events.interrupt.injected = 0;
            }
            fd.set_vcpu_events(&events)
                .map_err(failed("KVM_SET_VCPU_EVENTS"))?;
        }
        let (new, old) = (&state.extended, old.map(|old| (&old.fx, &old.extended)));
        if self.has_xcr0 && old.is_none_or(|(_, old)| old.xcr0 != new.xcr0) {
            fd.set_xcrs(&xcrs(new.xcr0))
                .map_err(failed("KVM_SET_XCRS"))?;
        }
        if old.is_none_or(|(fx, old)| *fx != state.fx || old.ymm_high != new.ymm_high) {
            let mut xsave = fd.get_xsave().map_err(failed("KVM_GET_XSAVE"))?;
            update_xsave(&mut xsave, &state.fx);
            update_ymm_high(&mut xsave, &new.ymm_high);
            // SAFETY: no feature is enabled by arch_prctl, so KVM reads the 4,096 bytes
            // that `xsave` has, and it came from KVM_GET_XSAVE of the same vCPU.
            unsafe { fd.set_xsave(&xsave) }.map_err(failed("KVM_SET_XSAVE"))?;
        }
        Ok(())
    }
}

/// XCR0 as KVM takes it.
fn xcrs(xcr0: u64) -> kvm_xcrs {
    let mut xcrs = kvm_xcrs {
        nr_xcrs: 1,
        ..kvm_xcrs::default()
    };
    xcrs.xcrs[0].value = xcr0;
    xcrs
}
