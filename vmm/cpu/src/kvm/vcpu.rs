//! One vCPU inside KVM.

mod requests;
mod startup;
mod write_state;

use std::ops::Range;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use abi::ports::{COPIES, EXTENDED_STATE, YIELD};
use kvm_bindings::{
    KVM_CAP_XCRS, KVM_MP_STATE_HALTED, KVM_MP_STATE_INIT_RECEIVED, KVM_MP_STATE_UNINITIALIZED,
    kvm_interrupt,
};
use kvm_ioctls::VcpuFd;
use vmm_sys_util::ioctl::ioctl_with_ref;
use vmm_sys_util::{errno, ioctl_iow_nr};

use super::cpuid::{guest_cpuid, pkru_word};
use super::kick::KickTarget;
use super::kick_signal;
use super::raw_exit::RawExit;
use super::registers::{msrs_to_read, msrs_to_write, state_from_kvm};
use super::remedy::{Helped, Remedy};
use super::stats::Stats;
use super::{KvmHost, KvmVm, failed, retried, tsc_offset};
use crate::exit::VmExit;
use crate::state::{Place, ring};
use crate::{
    AcceleratorCounters, CpuError, CpuState, ExtendedState, GuestClock, InstructionCounts,
    Interruptibility, Kick, Location, Msrs, Mtrrs, Vcpu,
};

ioctl_iow_nr!(KVM_INTERRUPT, kvm_bindings::KVMIO, 0x86, kvm_interrupt);

/// A vCPU of a [`KvmVm`].
pub struct KvmVcpu {
    fd: VcpuFd,
    kick: Arc<KickTarget>,
    attached: bool,
    tsc_khz: u32,
    vm_stats: Option<Stats>,
    vcpu_stats: Option<Stats>,
    remedy: Remedy,
    /// Which word of an XSAVE area is PKRU, if the guest has it.
    pkru_word: Option<usize>,
    /// Whether there is an XCR0.
    has_xcr0: bool,
    /// CR8 as the VMM last knew it, if it keeps the local APIC.
    cr8: u8,
    /// The last exit of `KVM_RUN`, deferred until the VMM has been told of a new CR8.
    held: Option<RawExit>,
    /// Whether an NMI was sent that may wait still.
    nmi_sent: bool,
    /// Whether KVM's local APIC has got no message to start it yet.
    unstarted: bool,
    /// How long it has waited for one.
    unstarted_for: Duration,
    /// After the fields above, which refer to it.
    vm: Arc<KvmVm>,
}

impl KvmVcpu {
    /// Makes the one vCPU of `vm`, with the CPUID that fits it.
    ///
    /// # Errors
    /// An ioctl that the host refuses.
    pub fn new(host: &KvmHost, vm: &Arc<KvmVm>) -> Result<Self, CpuError> {
        Self::one(host, vm, Place::ONLY)
    }

    /// Makes the `count` vCPUs of `vm`, 1 to [`KvmHost::max_cpus`], for a thread each. All but
    /// the first wait to be started: where KVM keeps the local APICs, by a message there.
    ///
    /// # Errors
    /// An ioctl that the host refuses.
    pub fn several(host: &KvmHost, vm: &Arc<KvmVm>, count: u8) -> Result<Vec<Self>, CpuError> {
        let places = (0..count).map(|id| Place { id, count });
        places.map(|place| Self::one(host, vm, place)).collect()
    }

    fn one(host: &KvmHost, vm: &Arc<KvmVm>, place: Place) -> Result<Self, CpuError> {
        let fd = retried(|| vm.fd.create_vcpu(place.id.into()));
        let fd = fd.map_err(failed("KVM_CREATE_VCPU"))?;
        let tsc_khz = fd.get_tsc_khz().map_err(failed("KVM_GET_TSC_KHZ"))?;
        let cpuid = guest_cpuid(host, vm.has_local_apic, tsc_khz, place)?;
        fd.set_cpuid2(&cpuid).map_err(failed("KVM_SET_CPUID2"))?;
        let is_first = place.id == 0;
        if !is_first {
            // Its start leaves these as they are.
            let mtrrs = Mtrrs::by_firmware();
            let msrs = msrs_to_write(Msrs {
                mtrrs,
                ..Msrs::default()
            });
            let msrs = msrs.ok_or(CpuError::Unsupported("too many MSRs"))?;
            fd.set_msrs(&msrs).map_err(failed("KVM_SET_MSRS"))?;
        }
        Ok(Self {
            vm_stats: if is_first { Stats::open(&vm.fd)? } else { None },
            vcpu_stats: Stats::open(&fd)?,
            remedy: Remedy::new(vm.ram.clone(), host.kind()),
            pkru_word: pkru_word(&cpuid),
            has_xcr0: host.has(KVM_CAP_XCRS),
            cr8: 0,
            held: None,
            nmi_sent: false,
            unstarted: vm.has_local_apic && !is_first,
            unstarted_for: Duration::ZERO,
            fd,
            kick: Arc::default(),
            attached: false,
            tsc_khz,
            vm: Arc::clone(vm),
        })
    }

    /// Binds the vCPU to this thread, unless it is bound to one; true if it was kicked
    /// already.
    fn attach(&mut self) -> Result<bool, CpuError> {
        if self.attached {
            return Ok(false);
        }
        self.attached = true;
        let receiver = kick_signal::admit(&self.fd).map_err(failed("KVM_SET_SIGNAL_MASK"))?;
        Ok(self.kick.attach(receiver))
    }

    /// Runs the guest to the next exit. KVM reports CR8 at every exit, but exits for few
    /// writes of it; here a new CR8 is an exit, before the one at which it is found.
    #[inline]
    fn next_exit(&mut self) -> Result<RawExit, CpuError> {
        if let Some(held) = self.held {
            self.held = None;
            return Ok(held);
        }
        if let Some(files) = self.vm.ram.files() {
            self.vm.back_files(files)?;
        }
        let waited = match self.unstarted {
            true => self.wait_for_start()?,
            false => None,
        };
        let raw = match waited {
            Some(raw) => raw,
            None => RawExit::classify(self.fd.run())?,
        };
        let cr8 = self.fd.get_kvm_run().cr8 as u8;
        if cr8 == self.cr8 || self.vm.has_local_apic {
            return Ok(raw);
        }
        self.cr8 = cr8;
        self.held = Some(raw).filter(|raw| !matches!(raw, RawExit::SetTpr));
        Ok(RawExit::SetTpr)
    }

    /// What to say if `raw` is what KVM makes of a file that was cut while the guest used it:
    /// an error; or, where it emulates the access, an exit as of an address without memory.
    fn cut_file(&self, raw: RawExit) -> Option<String> {
        let files = self.vm.ram.files()?;
        match raw {
            RawExit::MmioRead(gpa, _) => {
                files.host(gpa)?;
                let unknown = || "a file of the host cannot be read any more".to_owned();
                Some(files.cut_file().unwrap_or_else(unknown))
            }
            _ => files.cut_file(),
        }
    }

    /// Whether an NMI that came in an interrupt shadow ends the halt behind that.
    fn nmi_due(&mut self) -> Result<bool, CpuError> {
        self.nmi_sent = false;
        let events = self.fd.get_vcpu_events();
        let events = events.map_err(failed("KVM_GET_VCPU_EVENTS"))?;
        let state = Interruptibility::from(&events);
        Ok(state.nmi_pending && !state.nmi_blocked)
    }

    /// Executes the current instruction, which KVM could not emulate, by the remedy.
    fn complete_instruction(&mut self) -> Result<VmExit<'static>, CpuError> {
        let state = self.state()?;
        let completing = self.vm.completing.lock();
        let completing = completing.unwrap_or_else(PoisonError::into_inner);
        let helped = self.remedy.complete(&state)?;
        drop(completing);
        match helped {
            Helped::State(after) => {
                self.write_state(&after, Some(&state))?;
                Ok(VmExit::Emulated)
            }
            Helped::Ended(exit) => Ok(exit),
        }
    }
}

impl Vcpu for KvmVcpu {
    fn run(&mut self) -> Result<VmExit<'_>, CpuError> {
        if self.attach()? {
            return Ok(VmExit::Interrupted);
        }
        if let Some(files) = self.vm.ram.files()
            && files.is_cut()
            && let Some(message) = files.cut_file()
        {
            // The VMM has read it, for a copy or a device.
            return Ok(VmExit::Failed { message });
        }
        let mut raw = self.next_exit()?;
        while self.nmi_sent && matches!(raw, RawExit::Hlt) && self.nmi_due()? {
            raw = self.next_exit()?;
        }
        match raw {
            RawExit::Out(port @ (COPIES | EXTENDED_STATE | YIELD), data)
                if self.remedy.applies() =>
            {
                // SAFETY: as in `with_payload`: it names bytes of the vCPU's mapping.
                let request = unsafe { &*data }.first_chunk().copied();
                if let Some(request) = request {
                    self.serve_request(port, u32::from_le_bytes(request))?;
                }
                return Ok(VmExit::Emulated);
            }
            RawExit::CannotEmulate => return self.complete_instruction(),
            RawExit::BadAddress | RawExit::MemoryFault(_) | RawExit::MmioRead(..) => {
                if let Some(message) = self.cut_file(raw) {
                    return Ok(VmExit::Failed { message });
                }
            }
            RawExit::Kicked => self.kick.acknowledge(),
            _ => {}
        }
        // SAFETY: `next_exit` returns the last exit of `KVM_RUN`, which is not called while
        // one is held, or `SetTpr`, which has no pointers; the result borrows `self`.
        Ok(unsafe { raw.with_payload(self.fd.get_kvm_run()) })
    }

    fn state(&mut self) -> Result<CpuState, CpuError> {
        let regs = self.fd.get_regs().map_err(failed("KVM_GET_REGS"))?;
        let sregs = self.fd.get_sregs().map_err(failed("KVM_GET_SREGS"))?;
        let debug = self.fd.get_debug_regs();
        let debug = debug.map_err(failed("KVM_GET_DEBUGREGS"))?;
        let xsave = self.fd.get_xsave().map_err(failed("KVM_GET_XSAVE"))?;
        let mut msrs = msrs_to_read().ok_or(CpuError::Unsupported("too many MSRs"))?;
        self.fd
            .get_msrs(&mut msrs)
            .map_err(failed("KVM_GET_MSRS"))?;
        let xcr0 = match self.has_xcr0 {
            true => self.fd.get_xcrs().map_err(failed("KVM_GET_XCRS"))?.xcrs[0].value,
            false => ExtendedState::default().xcr0,
        };
        let events = self.fd.get_vcpu_events();
        let events = events.map_err(failed("KVM_GET_VCPU_EVENTS"))?;
        Ok(state_from_kvm(
            &regs, &sregs, &debug, &msrs, &xsave, xcr0, &events,
        ))
    }

    fn location(&mut self) -> Result<Location, CpuError> {
        let regs = self.fd.get_regs().map_err(failed("KVM_GET_REGS"))?;
        let sregs = self.fd.get_sregs().map_err(failed("KVM_GET_SREGS"))?;
        Ok(Location {
            rip: regs.rip,
            ring: ring(sregs.cr0, sregs.cs.selector),
        })
    }

    fn set_state(&mut self, state: &CpuState) -> Result<(), CpuError> {
        self.write_state(state, None)
    }

    fn interrupts_enabled(&mut self) -> Result<bool, CpuError> {
        Ok(self.fd.get_kvm_run().if_flag != 0)
    }

    fn halted(&mut self) -> Result<bool, CpuError> {
        if !self.vm.has_local_apic {
            return Ok(false);
        }
        Ok(matches!(
            self.mp_state()?,
            KVM_MP_STATE_HALTED | KVM_MP_STATE_UNINITIALIZED | KVM_MP_STATE_INIT_RECEIVED
        ))
    }

    fn ready(&mut self) -> bool {
        // An interrupt must not come before an exit that is held: `hlt` would sleep after it.
        self.held.is_none() && self.fd.get_kvm_run().ready_for_interrupt_injection != 0
    }

    fn inject(&mut self, vector: u8) -> Result<(), CpuError> {
        let interrupt = kvm_interrupt {
            irq: u32::from(vector),
        };
        // SAFETY: the kernel reads one `kvm_interrupt`.
        let result = unsafe { ioctl_with_ref(&self.fd, KVM_INTERRUPT(), &interrupt) };
        if result != 0 {
            return Err(failed("KVM_INTERRUPT")(errno::Error::last()));
        }
        // KVM reports anew when the next may be injected; until then this one is pending.
        self.fd.get_kvm_run().ready_for_interrupt_injection = 0;
        Ok(())
    }

    /// The host's CPU sees it.
    fn ram_written(&mut self, _range: Range<u64>) {}

    fn inject_nmi(&mut self) -> Result<(), CpuError> {
        // It ends a halt that the VMM has not been told of yet.
        self.held.take_if(|held| matches!(held, RawExit::Hlt));
        self.nmi_sent = true;
        self.fd.nmi().map_err(failed("KVM_NMI"))
    }

    fn request_interrupt_window(&mut self, wanted: bool) {
        self.fd.get_kvm_run().request_interrupt_window = u8::from(wanted);
    }

    fn set_cr8(&mut self, value: u8) {
        self.cr8 = value;
        self.fd.get_kvm_run().cr8 = value.into();
    }

    fn set_instruction_limit(&mut self, limit: Option<u64>) -> Result<(), CpuError> {
        match limit {
            None => Ok(()),
            Some(_) => Err(CpuError::Unsupported(
                "KVM does not count instructions: --max-instructions needs --accel emu",
            )),
        }
    }

    fn set_turn(&mut self, _limit: u64) -> Result<(), CpuError> {
        Err(CpuError::Unsupported("KVM does not count instructions"))
    }

    fn set_pause_exits(&mut self, _wanted: bool) {}

    fn instructions(&self) -> Option<InstructionCounts> {
        None
    }

    fn counters(&mut self) -> Result<AcceleratorCounters, CpuError> {
        let mut kvm = Vec::new();
        for stats in [&self.vcpu_stats, &self.vm_stats].into_iter().flatten() {
            kvm.extend(stats.read()?);
        }
        Ok(AcceleratorCounters {
            kvm: Some(kvm),
            remedies: Some(self.remedy.counters()),
            emulator: None,
            unstarted_ns: u64::try_from(self.unstarted_for.as_nanos()).unwrap_or(u64::MAX),
        })
    }

    fn signal_msi(&mut self, address: u64, data: u32) -> Result<(), CpuError> {
        self.vm.signal_msi(address, data)
    }

    fn report_eoi(&mut self, messages: &[(u64, u32)]) -> Result<(), CpuError> {
        self.vm.report_eoi(messages)
    }

    fn clock(&self) -> GuestClock {
        self.vm.clock.clone()
    }

    fn detach(&mut self) {
        self.kick.detach();
        self.attached = false;
    }

    fn tsc(&mut self) -> Result<u64, CpuError> {
        Ok(self.state()?.tsc)
    }

    fn tsc_offset(&self) -> Option<u64> {
        tsc_offset::read(&self.fd)
    }

    fn tsc_khz(&self) -> u32 {
        self.tsc_khz
    }

    fn kicker(&self) -> Arc<dyn Kick> {
        self.kick.clone()
    }
}

impl Drop for KvmVcpu {
    fn drop(&mut self) {
        self.detach();
    }
}
