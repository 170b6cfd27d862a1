//! Whether the processor or KVM executes a guest's ring 0, found out by a small guest: a
//! container may have no /sys.

use x86::Cr0Flags;
use x86::segment::FLAT_CODE_32;

use super::{KvmHost, KvmVcpu, KvmVm};
use crate::exit::VmExit;
use crate::memory::GuestRam;
use crate::{CpuError, Segment, Vcpu};

/// `popcnt eax, ecx ; hlt`: software-backed KVM lacks the first, processors have it.
const CODE: [u8; 5] = [0xf3, 0x0f, 0xb8, 0xc1, 0xf4];
const CODE_AT: u64 = 0x1000;
const RAM: u64 = 0x2000;

/// Whether KVM itself, not the processor, executes ring 0 on `host`.
///
/// # Errors
/// The machine cannot be made.
pub fn runs_ring_0_in_software(host: &KvmHost) -> Result<bool, CpuError> {
    let no_room = CpuError::Unsupported("no memory to find out what kind of KVM this is");
    let Ok(ram) = GuestRam::new(RAM) else {
        return Err(no_room);
    };
    if ram.write(CODE_AT, &CODE).is_err() {
        return Err(no_room);
    }
    let vm = KvmVm::new(host, ram, false)?;
    let mut vcpu = KvmVcpu::new(host, &vm)?;
    // What a processor has after reset, but in 32-bit protected mode.
    let mut state = vcpu.state()?;
    state.cs = Segment::flat(8, FLAT_CODE_32);
    state.cr0 |= Cr0Flags::PROTECTED_MODE_ENABLE.bits();
    state.regs.rip = CODE_AT;
    vcpu.set_state(&state)?;
    // A host that is not known to be software-backed gets no remedy.
    Ok(matches!(
        vcpu.run()?,
        VmExit::Failed { .. } | VmExit::Emulated
    ))
}
