//! Instructions that software-backed KVM cannot execute in ring 0 (`xorps`, shuffles,
//! `popcnt`, `stac` and more), completed one at a time by the VMM's own emulator.
//!
//! KVM_RUN ends with KVM_EXIT_INTERNAL_ERROR and the state as before the instruction. On
//! hardware the same exit means that the guest did something that no one can execute, so
//! the remedy is confined to software-backed hosts.

use crate::emu::{EmuConfig, Emulator};
use crate::exit::VmExit;
use crate::memory::GuestRam;
use crate::{CpuState, HostKind, Vcpu};

/// Executes single instructions on a state that KVM gave up on.
pub struct Remedy {
    ram: GuestRam,
    applies: bool,
    /// Made when first needed: most runs never do.
    emulator: Option<Emulator>,
    completed: u64,
}

impl Remedy {
    /// A remedy for a guest with this RAM on a host of this kind.
    pub fn new(ram: GuestRam, host: HostKind) -> Self {
        Self {
            ram,
            applies: host == HostKind::Software,
            emulator: None,
            completed: 0,
        }
    }

    /// Whether this is a host that needs remedies.
    pub fn applies(&self) -> bool {
        self.applies
    }

    /// The state after the instruction at `state.regs.rip`, exceptions delivered.
    ///
    /// # Errors
    /// In words, why the instruction cannot be executed here either.
    pub fn complete(&mut self, state: &CpuState) -> Result<CpuState, String> {
        let at = state.regs.rip;
        if !self.applies {
            return Err(format!("KVM cannot emulate the instruction at {at:#x}"));
        }
        let emulator = self
            .emulator
            .get_or_insert_with(|| Emulator::new(self.ram.clone(), EmuConfig::default()));
        let failed = |why: String| format!("the instruction at {at:#x} cannot be executed: {why}");
        let retired = emulator
            .instructions()
            .map_or(0, |count| count.ring0 + count.ring3);
        emulator
            .set_state(state)
            .and_then(|()| emulator.set_instruction_limit(Some(retired + 1)))
            .map_err(|error| failed(error.to_string()))?;
        match emulator.run().map_err(|error| failed(error.to_string()))? {
            VmExit::InstructionLimit => {}
            other => return Err(failed(format!("it ends in {other:?}"))),
        }
        self.completed += 1;
        emulator.state().map_err(|error| failed(error.to_string()))
    }

    /// How often each remedy was needed, by name.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        vec![("emulated_instructions", self.completed)]
    }
}
