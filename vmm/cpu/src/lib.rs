//! Virtual CPUs: the interface of every accelerator to the run loop.
//!
//! A crate of its own, because the emulator takes longer to compile than all the rest of
//! the VMM, and nothing in it changes when a guest program, a device or a command does.
//!
//! [`Vcpu`] is implemented by [`emu`] (the built-in emulator) and by `kvm`. The run loop
//! knows only this trait; the machine's devices know neither. Interrupts reach a vCPU
//! whose local APIC is outside it by three methods: is it [`ready`](Vcpu::ready),
//! [`inject`](Vcpu::inject), else
//! [`request_interrupt_window`](Vcpu::request_interrupt_window).

#![deny(missing_docs)]

mod clock;
pub mod emu;
pub mod exit;
mod file_window;
mod guarded;
mod kind;
pub mod kvm;
mod kvm_clock;
pub mod memory;
pub mod signals;
pub mod size;
mod state;
mod sync;
mod translations;

pub use clock::{CountedTime, GuestClock};
pub use kind::{Accel, HostKind};
pub use state::{
    AmdMsrs, CpuState, DebugRegs, Dtable, ExtendedState, FxState, Interruptibility, Location, Msrs,
    Mtrrs, Regs, Segment, Shadow,
};

pub use translations::{Piece, TranslatedBlock, Translation, TranslationSink};

use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;

use crate::exit::VmExit;

/// A failure of the accelerator itself, never of the guest.
#[derive(Debug, thiserror::Error)]
pub enum CpuError {
    /// A KVM ioctl failed.
    #[error("{call} failed: {source}")]
    Kvm {
        /// The ioctl's name, as `KVM_RUN`.
        call: &'static str,
        /// The host's reason.
        source: std::io::Error,
    },
    /// This accelerator does not support the operation.
    #[error("{0}")]
    Unsupported(&'static str),
}

/// Makes a running vCPU leave the guest; usable from any thread, any number of times.
pub trait Kick: Send + Sync {
    /// The vCPU's current or next [`Vcpu::run`] returns [`VmExit::Interrupted`] (or
    /// another exit that came first) without further delay.
    fn kick(&self);
}

/// Guest instructions retired since the vCPU was made, by privilege.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InstructionCounts {
    /// Retired at CPL 0 to 2.
    pub ring0: u64,
    /// Retired at CPL 3.
    pub ring3: u64,
    /// Retired at CPL 0 before the first one at CPL 3; `None` while there is none.
    pub boot: Option<u64>,
}

/// Counts that only one kind of accelerator has, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcceleratorCounters {
    /// KVM's own counters of the VM and the vCPU; `None` where KVM does not run it.
    pub kvm: Option<Vec<(String, u64)>>,
    /// How often the VMM completed what software-backed KVM cannot execute; all zero on
    /// hardware, `None` where KVM does not run it.
    pub remedies: Option<Vec<(&'static str, u64)>>,
    /// What the emulator has counted; `None` where it does not run it.
    pub emulator: Option<EmulatorCounts>,
    /// Nanoseconds for which the vCPU has waited inside KVM to be started, which KVM does not
    /// count.
    pub unstarted_ns: u64,
}

/// What the emulator has done beside executing instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EmulatorCounts {
    /// Page walks for accesses to memory: what the software TLB did not have.
    pub tlb_misses: u64,
    /// Look-ups of a block of code that the table of jumps did not have.
    pub jump_misses: u64,
    /// Blocks translated into host code, each as often as it was; without the translator none.
    pub translated_blocks: u64,
    /// Bytes of that code.
    pub translated_bytes: u64,
    /// Nanoseconds that it took, with attempts that came to nothing.
    pub translating_ns: u64,
    /// Times that translated code left an instruction, or the end of a slice, to the interpreter.
    pub translation_exits: u64,
}

impl EmulatorCounts {
    /// Those of two vCPUs together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            tlb_misses: self.tlb_misses + other.tlb_misses,
            jump_misses: self.jump_misses + other.jump_misses,
            translated_blocks: self.translated_blocks + other.translated_blocks,
            translated_bytes: self.translated_bytes + other.translated_bytes,
            translating_ns: self.translating_ns + other.translating_ns,
            translation_exits: self.translation_exits + other.translation_exits,
        }
    }
}

/// One virtual CPU. Not `Sync`: it belongs to the thread that runs it.
pub trait Vcpu: Send {
    /// Runs guest code until something needs the VMM. Replies to the exit are written
    /// through its borrowed payload and take effect on the next call.
    ///
    /// # Errors
    /// Only failures of the accelerator; guest behaviour is always a [`VmExit`].
    fn run(&mut self) -> Result<VmExit<'_>, CpuError>;

    /// Frees the vCPU from the thread that has run it, so that the thread may end and
    /// another run it. Until then only that thread may run it.
    fn detach(&mut self) {}

    /// The whole architectural state. Only between exits whose replies are consumed
    /// (KVM: after a completed instruction).
    ///
    /// # Errors
    /// A failed ioctl.
    fn state(&mut self) -> Result<CpuState, CpuError>;

    /// Where the guest is, at any exit: at the instruction that caused it, or behind it
    /// where the accelerator has finished that already.
    ///
    /// # Errors
    /// A failed ioctl.
    fn location(&mut self) -> Result<Location, CpuError>;

    /// Replaces the whole architectural state, but for the time-stamp counter where the
    /// accelerator does not let it be set.
    ///
    /// # Errors
    /// A failed ioctl, or a state that the accelerator refuses.
    fn set_state(&mut self, state: &CpuState) -> Result<(), CpuError>;

    /// Whether [`inject`](Self::inject) would be taken at the next instruction: RFLAGS.IF
    /// is set, no interrupt shadow, nothing else being injected.
    fn ready(&mut self) -> bool;

    /// Whether RFLAGS.IF is set, at any exit.
    ///
    /// # Errors
    /// A failed ioctl.
    fn interrupts_enabled(&mut self) -> Result<bool, CpuError>;

    /// Whether the vCPU has halted, or not been started yet, where that is no exit: it waits
    /// inside the accelerator, which keeps its local APIC, and continues to wait when it runs
    /// again.
    ///
    /// # Errors
    /// A failed ioctl.
    fn halted(&mut self) -> Result<bool, CpuError>;

    /// Injects external interrupt `vector` (16 to 255) before the next instruction. Call
    /// only when [`ready`](Self::ready).
    ///
    /// # Errors
    /// A failed ioctl.
    fn inject(&mut self, vector: u8) -> Result<(), CpuError>;

    /// Something else than the vCPU has written to these guest-physical addresses of RAM, which
    /// may have held code.
    fn ram_written(&mut self, range: Range<u64>);

    /// Sends an NMI, which the CPU takes as soon as nothing blocks it: see
    /// [`Interruptibility`]. At any exit; one that comes while another waits is lost.
    ///
    /// # Errors
    /// A failed ioctl.
    fn inject_nmi(&mut self) -> Result<(), CpuError>;

    /// While `wanted`, [`run`](Self::run) returns [`VmExit::InterruptWindow`] as soon as
    /// the vCPU is [`ready`](Self::ready).
    fn request_interrupt_window(&mut self, wanted: bool);

    /// CR8 from the next instruction on, 0 to 15: for a task priority that the guest wrote to
    /// the local APIC, where the VMM keeps that. The other way there is
    /// [`VmExit::Cr8Write`].
    fn set_cr8(&mut self, value: u8);

    /// From now on [`run`](Self::run) returns [`VmExit::InstructionLimit`] when exactly
    /// `limit` instructions have been retired since the vCPU was made; `None` lifts it.
    /// A limit already reached makes the next `run` return at once.
    ///
    /// # Errors
    /// [`CpuError::Unsupported`] where instructions cannot be counted.
    fn set_instruction_limit(&mut self, limit: Option<u64>) -> Result<(), CpuError>;

    /// The same for a limit that need not be met exactly: [`run`](Self::run) returns up to 63
    /// instructions before it, where that is faster, and never after it.
    ///
    /// # Errors
    /// [`CpuError::Unsupported`] where instructions cannot be counted.
    fn set_turn(&mut self, limit: u64) -> Result<(), CpuError>;

    /// Whether `pause` ends [`run`](Self::run) as a limit does: while other vCPUs wait for the
    /// thread that runs this one, which may wait for them. Without effect where each has its own.
    fn set_pause_exits(&mut self, wanted: bool);

    /// Guest instructions retired, where the accelerator counts them.
    fn instructions(&self) -> Option<InstructionCounts>;

    /// Counts by name that only this accelerator has.
    ///
    /// # Errors
    /// A failed read of the host's counters.
    fn counters(&mut self) -> Result<AcceleratorCounters, CpuError>;

    /// From now on `to` is told of each translation of the guest's code into the host's, where
    /// there are any. Before the vCPU runs, and before its thread is confined.
    fn tell_translations(&mut self, _to: Arc<dyn TranslationSink>) {}

    /// Hands a message-signalled interrupt to the local APIC inside the accelerator.
    ///
    /// # Errors
    /// A failed ioctl; [`CpuError::Unsupported`] where the accelerator has no local APIC.
    fn signal_msi(&mut self, address: u64, data: u32) -> Result<(), CpuError>;

    /// From now on [`run`](Self::run) returns [`VmExit::Eoi`] when the guest ends an
    /// interrupt that one of `messages` (address and data, at most as many as an I/O APIC has
    /// pins) has raised: level-triggered ones, which their source may have to raise again.
    ///
    /// # Errors
    /// As of [`signal_msi`](Self::signal_msi).
    fn report_eoi(&mut self, messages: &[(u64, u32)]) -> Result<(), CpuError>;

    /// The clock that a local APIC kept by the VMM goes by. The time-stamp counter goes as
    /// fast, but from where software set it: see [`tsc`](Self::tsc).
    fn clock(&self) -> GuestClock;

    /// The time-stamp counter as the guest would read it now.
    ///
    /// # Errors
    /// A failed ioctl.
    fn tsc(&mut self) -> Result<u64, CpuError>;

    /// How far the guest's time-stamp counter is ahead of the host's, modulo 2^64, where both
    /// go as fast and the accelerator says so.
    fn tsc_offset(&self) -> Option<u64>;

    /// Frequency of the time-stamp counter in kHz.
    fn tsc_khz(&self) -> u32;

    /// A handle that makes [`run`](Self::run) return.
    fn kicker(&self) -> Arc<dyn Kick>;
}
