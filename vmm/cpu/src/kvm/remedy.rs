//! Instructions that software-backed KVM cannot execute in ring 0 (`xorps`, shuffles,
//! `popcnt`, `stac` and more), completed one at a time by the VMM's own emulator.
//!
//! KVM_RUN ends with KVM_EXIT_INTERNAL_ERROR and the state as before the instruction. On
//! hardware the same exit means that the guest executed something unsupported, so the
//! remedy is confined to software-backed hosts.

use crate::emu::{EmuConfig, Emulator};
use crate::exit::VmExit;
use crate::memory::GuestRam;
use crate::{CpuError, CpuState, HostKind, Vcpu};

/// The result of an instruction that KVM could not emulate.
pub enum Helped {
    /// The state after it, or at the handler of the exception that it raised.
    State(Box<CpuState>),
    /// It ends the run.
    Ended(VmExit<'static>),
}

/// Executes single instructions that KVM could not emulate.
pub struct Remedy {
    ram: GuestRam,
    applies: bool,
    /// Made when first needed: most runs never do.
    emulator: Option<Emulator>,
    completed: u64,
    copies: u64,
    yields: u64,
}

impl Remedy {
    /// A remedy for a guest with this RAM on a host of this kind.
    pub fn new(ram: GuestRam, host: HostKind) -> Self {
        Self {
            ram,
            applies: host == HostKind::Software,
            emulator: None,
            completed: 0,
            copies: 0,
            yields: 0,
        }
    }

    /// Whether this is a host that needs remedies.
    pub fn applies(&self) -> bool {
        self.applies
    }

    /// Counts a copy that the VMM has made.
    pub fn count_copy(&mut self) {
        self.copies += 1;
    }

    /// Counts a wait of the guest for another CPU, in which others have run.
    pub fn count_yield(&mut self) {
        self.yields += 1;
    }

    /// Executes the instruction at `state.regs.rip`, or delivers the exception that it
    /// raises. No more than that: the next instruction is KVM's again, which also serves
    /// kicks.
    ///
    /// # Errors
    /// Failures of the accelerator only.
    pub fn complete(&mut self, state: &CpuState) -> Result<Helped, CpuError> {
        let at = state.regs.rip;
        if !self.applies {
            let message = format!("KVM cannot emulate the instruction at {at:#x}");
            return Ok(Helped::Ended(VmExit::Failed { message }));
        }
        let emulator = self
            .emulator
            .get_or_insert_with(|| Emulator::new(self.ram.clone(), EmuConfig::default()));
        emulator.set_state(state)?;
        let why = match emulator.step() {
            None => {
                self.completed += 1;
                return Ok(Helped::State(Box::new(emulator.state()?)));
            }
            Some(VmExit::TripleFault) => return Ok(Helped::Ended(VmExit::TripleFault)),
            Some(VmExit::MmioRead { gpa, .. } | VmExit::MmioWrite { gpa, .. }) => {
                format!("it uses physical address {gpa:#x}, where the guest has no memory")
            }
            Some(VmExit::Failed { message }) => message,
            Some(other) => format!("it ends in an exit ({})", other.key().0.name()),
        };
        let message =
            format!("KVM cannot emulate the instruction at {at:#x}, nor can the VMM: {why}");
        Ok(Helped::Ended(VmExit::Failed { message }))
    }

    /// How often each remedy was needed, by name.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("emulated_instructions", self.completed),
            ("copies", self.copies),
            ("yields", self.yields),
        ]
    }
}
