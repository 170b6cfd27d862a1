//! A virtual CPU with machine code and no kernel, no devices: each exit is the caller's.
//!
//! What a guest kernel does is not in the way here, so this shows, and `vmm bench`
//! measures, what an exit is by itself.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::accel::Accelerator;
use crate::boot;
use crate::cpu::emu::EmuConfig;
use crate::cpu::{CpuError, Vcpu};
use crate::devices::ApicMode;
use crate::exit::VmExit;
use crate::memory::GuestRam;
use crate::vm::VmError;

/// Bytes of RAM, from guest-physical address 0.
pub const RAM: u64 = 1 << 20;
/// Where the code lies and starts.
pub const ENTRY: u32 = 0x1000;

/// A machine that runs 32-bit code in ring 0, without paging, in flat segments.
pub struct BareMachine {
    vcpu: Box<dyn Vcpu>,
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
        Ok(Self { vcpu })
    }

    /// Runs to the next exit; what it is answered takes effect on the next call.
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
    /// A failure of the accelerator.
    ///
    /// # Panics
    /// The host has no thread to spare.
    pub fn run_for(&mut self, limit: Duration) -> Result<VmExit<'_>, CpuError> {
        let kicker = self.vcpu.kicker();
        let (exited, waiting) = mpsc::channel::<()>();
        thread::scope(|scope| {
            scope.spawn(move || {
                if waiting.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                    kicker.kick();
                }
            });
            let exit = self.vcpu.run();
            drop(exited);
            exit
        })
    }

    /// The vCPU, for what else it can say.
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
    use crate::exit::VmExit;

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
