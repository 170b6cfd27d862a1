//! The report of a run: its outcome, every VM exit, and the counters of KVM, the emulator
//! and the guest.
//!
//! The run loop counts into an [`ExitCounts`]; at the end a [`Report`] is filled in once
//! and shown as text ([`std::fmt::Display`]) or as JSON ([`Report::to_json`]). The JSON's
//! fields and their order are those of the structures here, and are stable; what does not
//! apply to a run is null, never absent.

mod counters;
mod counts;
mod outcome;
mod state;
pub(crate) mod table;
pub(crate) mod text;
mod times;

use serde::Serialize;

use crate::cpu::{Accel, EmulatorCounts, HostKind, InstructionCounts};
use crate::devices::ApicMode;
pub use crate::host_instructions::HostInstructions;
use crate::sandbox::InForce;
pub use counters::Counters;
pub use counts::{DETAIL_LIMIT, ExitCounts, ExitDetail, ExitRow, ExitTable};
pub use outcome::{FAILURE_STATUS, LIMIT_STATUS, Outcome, OutcomeKind};
pub use state::{Images, Instruction, Namer, Registers, State, Symbol};
pub use times::{LoopTimes, Times};

/// What the emulator has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EmuCounters {
    /// Instructions that it retired.
    pub instructions: u64,
    /// Those at CPL 0 to 2.
    pub ring0: u64,
    /// Those at CPL 3.
    pub ring3: u64,
    /// What else there is to count: fields of its own in JSON.
    #[serde(flatten)]
    pub counts: EmulatorCounts,
}

impl EmuCounters {
    /// From what the vCPUs have counted.
    pub fn new(retired: InstructionCounts, counts: EmulatorCounts) -> Self {
        Self {
            instructions: retired.ring0.saturating_add(retired.ring3),
            ring0: retired.ring0,
            ring3: retired.ring3,
            counts,
        }
    }
}

/// The guest kernel's own counters, from the page that it shares with the VMM. `None`
/// where nobody knows: an image without that page, or no count of boot instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GuestCounters {
    /// System calls served, by either entry.
    pub syscalls: Option<u64>,
    /// Switches from one thread to another.
    pub context_switches: Option<u64>,
    /// Timer ticks taken.
    pub timer_ticks: Option<u64>,
    /// Page faults of programs.
    pub page_faults: Option<u64>,
    /// Processes made.
    pub forks: Option<u64>,
    /// Frames of 4 KiB that it has given out for the first time: its memory at its largest.
    pub frames: Option<u64>,
    /// Instructions before the first one in ring 3.
    pub boot_instructions: Option<u64>,
}

/// What a CPU of several does because there are others, as the guest's kernel counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GuestCpu {
    /// Interrupts that it has sent to have another CPU take a thread, or see to the one it runs.
    pub wake_ipis: u64,
    /// Interrupts that it has sent to have another CPU flush its TLB, or synchronize.
    pub flush_ipis: u64,
    /// How often it has asked others for that, by an interrupt or not, and waited for them.
    pub shootdowns: u64,
    /// How long it has waited for others to leave the kernel, in nanoseconds of guest time.
    pub lock_wait_ns: u64,
    /// How long it has had nothing to do, likewise.
    pub idle_ns: u64,
}

/// One vCPU of several.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct VcpuReport {
    /// Fields `exits` and `exits_total`.
    #[serde(flatten)]
    pub exits: ExitTable,
    /// What the guest's kernel has counted of it; `None` where nobody knows.
    pub guest: Option<GuestCpu>,
}

/// One run, as reported.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// What ran the guest.
    pub accel: Accel,
    /// Who kept the local APICs.
    pub apic: ApicMode,
    /// CPUs of the machine.
    pub cpus: u8,
    /// What is behind the accelerator.
    pub host_kind: HostKind,
    /// What confined the VMM's threads.
    pub sandbox: InForce,
    /// How the run ended.
    pub outcome: Outcome,
    /// Where the vCPU was, if the run ended otherwise than its guest wanted.
    pub state: Option<State>,
    /// What a person should know of the run that did not end it, a line each.
    pub warnings: Vec<String>,
    /// The whole run, in nanoseconds.
    pub wall_ns: u64,
    /// From the start of the VMM's process to the first instruction in ring 3, in
    /// nanoseconds; `None` if there was none.
    pub boot_ns: Option<u64>,
    /// What the time was spent on.
    pub time: Times,
    /// Fields `exits` and `exits_total`.
    #[serde(flatten)]
    pub exits: ExitTable,
    /// Each vCPU, by number, where there are several.
    pub vcpus: Vec<VcpuReport>,
    /// KVM's in-kernel statistics of the vCPUs, under KVM's names.
    pub kvm: Option<Counters>,
    /// How often each remedy for a software-backed KVM was applied; with KVM only.
    pub remedies: Option<Counters>,
    /// What the emulator has done, with it only.
    pub emu: Option<EmuCounters>,
    /// What the host executed on the vCPU's thread, if that was to be counted.
    pub host_instructions: Option<HostInstructions>,
    /// The guest's counters.
    pub guest: GuestCounters,
    /// System calls that its kernel does not have, by name, and how often each was made.
    pub unsupported_syscalls: Counters,
}

impl Report {
    /// Guest instructions in ring 0 and in ring 3, by the emulator's count or the host's.
    pub fn ring_instructions(&self) -> (Option<u64>, Option<u64>) {
        match (&self.emu, &self.host_instructions) {
            (Some(emu), _) => (Some(emu.ring0), Some(emu.ring3)),
            (None, Some(host)) => (host.guest_ring0, host.guest_ring3),
            (None, None) => (None, None),
        }
    }

    /// The report as one JSON object, indented, with a newline at its end.
    pub fn to_json(&self) -> String {
        json(self)
    }
}

/// The version of all JSON that the commands write: higher when a field goes or changes
/// its meaning, the same when one is added.
pub const SCHEMA: u32 = 1;

/// A report of any kind as one JSON object, with the version of its schema first, indented,
/// with a newline at its end.
pub fn json(report: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Versioned<'a, T> {
        schema: u32,
        #[serde(flatten)]
        report: &'a T,
    }
    let schema = SCHEMA;
    let mut json = serde_json::to_string_pretty(&Versioned { schema, report })
        .expect("keys are strings and nothing in a report refuses to serialize");
    json.push('\n');
    json
}

#[cfg(test)]
mod tests;
