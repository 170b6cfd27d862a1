//! A virtual CPU with machine code and no kernel, no devices: each exit is the caller's.
//!
//! Without a guest kernel this shows, and `vmm bench` measures, an exit by itself.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use crate::accel::Accelerator;
use crate::boot;
use crate::control::Control;
use crate::cpu::emu::EmuConfig;
use crate::cpu::{CpuError, Vcpu};
use crate::devices::{ApicMode, Devices, DevicesConfig, HostStreams};
use crate::exit::VmExit;
use crate::memory::GuestRam;
use crate::run_loop::RunLoop;
use crate::vm::VmError;

/// Bytes of RAM, from guest-physical address 0.
pub const RAM: u64 = 1 << 20;
/// Where the code lies and starts.
pub const ENTRY: u32 = 0x1000;

/// A machine that runs 32-bit code in ring 0, without paging, in flat segments.
pub struct BareMachine {
    vcpu: Box<dyn Vcpu>,
    apic: ApicMode,
}

impl BareMachine {
    /// Puts `code` at [`ENTRY`]; the local APIC is where `apic` says, if there can be a
    /// choice.
    ///
    /// # Errors
    /// Code that does not fit, or something that the host lacks.
    pub fn new(accelerator: &Accelerator, apic: ApicMode, code: &[u8]) -> Result<Self, VmError> {
        let ram = GuestRam::new(RAM)?;
        ram.write(ENTRY.into(), code)
            .map_err(boot::BootError::from)?;
        let apic = accelerator.apic_mode(apic);
        let mut vcpu = accelerator.create_vcpu(&ram, apic, EmuConfig::default())?;
        vcpu.set_state(&boot::start_state(ENTRY))?;
        Ok(Self { vcpu, apic })
    }

    /// Runs to the next exit; the reply takes effect on the next call.
    ///
    /// # Errors
    /// A failure of the accelerator.
    pub fn run(&mut self) -> Result<VmExit<'_>, CpuError> {
        self.vcpu.run()
    }

    /// The same, but after `limit` without an exit there is [`VmExit::Interrupted`]. That
    /// may be the exit after the next one, if both come at once.
    ///
    /// # Errors
    /// A failure of the accelerator, or no thread to spare on the host.
    pub fn run_for(&mut self, limit: Duration) -> Result<VmExit<'_>, CpuError> {
        let kicker = self.vcpu.kicker();
        let (exited, waiting) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let watch = move || {
                if waiting.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                    kicker.kick();
                }
            };
            thread::Builder::new()
                .spawn_scoped(scope, watch)
                .map_err(|_| CpuError::Unsupported("the host has no thread to spare"))?;
            let exit = self.vcpu.run();
            drop(exited);
            exit
        })
    }

    /// Gives the machine devices, without a console, and has the run loop serve its exits.
    ///
    /// # Errors
    /// The host is out of descriptors.
    pub fn into_run_loop(self) -> Result<RunLoop, VmError> {
        let devices = Devices::new(DevicesConfig {
            apic: self.apic,
            cpus: 1,
            tsc_khz: self.vcpu.tsc_khz(),
            streams: HostStreams::none(),
            virtio: None,
            link: None,
            files: None,
        });
        let control = Control::new([self.vcpu.kicker()], EventFd::new(EFD_NONBLOCK)?)?;
        Ok(RunLoop::new(vec![self.vcpu], devices, control))
    }

    /// The vCPU.
    pub fn vcpu(&mut self) -> &mut dyn Vcpu {
        self.vcpu.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::BareMachine;
    use crate::accel::Accelerator;
    use crate::devices::ApicMode;
    use crate::exit::{ExitReason, VmExit};
    use crate::report::ExitDetail;

    fn machine(code: &[u8]) -> BareMachine {
        BareMachine::new(&Accelerator::Emu, ApicMode::User, code).expect("it fits")
    }

    #[test]
    fn code_runs_to_its_exits() {
        // in al, 0x60 ; out 0x61, al ; hlt
        let mut machine = machine(&[0xe4, 0x60, 0xe6, 0x61, 0xf4]);
        match machine.run() {
            Ok(VmExit::PioIn {
                port: 0x60, data, ..
            }) => data.fill(7),
            other => panic!("{other:?}"),
        }
        let written = VmExit::PioOut {
            port: 0x61,
            size: 1,
            data: &[7],
        };
        assert_eq!(machine.run().expect("it runs"), written);
        assert_eq!(machine.run().expect("it runs"), VmExit::Hlt);
        let counts = machine.vcpu().instructions();
        assert_eq!(counts.map(|counts| counts.ring0), Some(3));
    }

    #[test]
    fn devices_serve_it_on_demand() {
        // mov ecx, 5000 ; again: out 0x80, al ; loop again ; mov al, 3 ; out 0xf4, al
        let code = [
            0xb9, 0x88, 0x13, 0, 0, 0xe6, 0x80, 0xe2, 0xfc, 0xb0, 3, 0xe6, 0xf4,
        ];
        let mut run_loop = machine(&code).into_run_loop().expect("descriptors");
        run_loop.run().expect("it runs");
        let exits = run_loop.counts[0].finish(1.0);
        let port = |port| exits.count_of(ExitReason::PioOut, ExitDetail::Port(port));
        assert_eq!((port(0x80), port(0xf4)), (5000, 1));
    }

    #[test]
    fn an_endless_loop_ends() {
        let mut machine = machine(&[0xeb, 0xfe]);
        let exit = machine.run_for(Duration::from_millis(1));
        assert_eq!(exit.expect("it runs"), VmExit::Interrupted);
    }

    #[test]
    fn code_must_fit() {
        let code = vec![0x90; super::RAM as usize];
        assert!(BareMachine::new(&Accelerator::Emu, ApicMode::User, &code).is_err());
    }
}
