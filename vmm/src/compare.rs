//! The same guest on every machine that this host has, side by side.
//!
//! ```text
//!   Plan ── measure ──► Comparison   every run's report and what the guest printed
//!                           │ summary
//!                           ▼
//!                        Summary     exits by machine with the cause of each difference,
//!                           │        times, instructions, the verdict
//!                           ├─ Display   the table
//!                           └─ to_json
//! ```
//!
//! A program's device accesses do not depend on the accelerator: for a deterministic
//! program port I/O, output and outcome must be the same everywhere, and the verdict says
//! whether they are. Everything else may differ, and each difference is attributed to its
//! [`Cause`]. A program is taken for deterministic unless two runs on one machine differ,
//! a limit ended it, or several CPUs print the same lines in another order on another machine:
//! asking the user was rejected, for users guess.

mod cause;
mod spread;
mod summary;
mod text;
mod verdict;

pub use cause::Cause;
pub use spread::Spread;
pub use summary::{ExitComparison, MachineSummary, Summary};
pub use verdict::Verdict;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};

use crate::accel::{self, AccelChoice};
use crate::cpu::emu::Engine;
use crate::devices::ApicMode;
use crate::events::InputSource;
use crate::image::{self, ImageError};
use crate::output::{Outputs, Recorder, Transcript};
use crate::report::{Outcome, Report};
use crate::sandbox::Needs;
use crate::vm::{Vm, VmConfig, VmError};

/// A way to run a guest: a column of the comparison.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Deserialize, Display, IntoStaticStr, Serialize, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Machine {
    /// KVM with its own local APIC.
    Kvm,
    /// KVM with the VMM's local APIC.
    KvmUserApic,
    /// The emulator, which always has the VMM's local APIC.
    Emu,
    /// The emulator's interpreter alone, which translates nothing.
    Interpreter,
}

impl Machine {
    /// All of them, in the order of columns.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// What runs the guest there, and where its local APIC is.
    pub const fn choice(self) -> (AccelChoice, ApicMode) {
        match self {
            Self::Kvm => (AccelChoice::Kvm, ApicMode::Kernel),
            Self::KvmUserApic => (AccelChoice::Kvm, ApicMode::User),
            Self::Emu | Self::Interpreter => (AccelChoice::Emu, ApicMode::User),
        }
    }

    /// Whether KVM runs the guest there.
    pub const fn is_kvm(self) -> bool {
        matches!(self, Self::Kvm | Self::KvmUserApic)
    }

    /// What executes code there that the emulator runs.
    pub fn engine(self) -> Engine {
        match self {
            Self::Interpreter => Engine::Interpreter,
            Self::Kvm | Self::KvmUserApic | Self::Emu => Engine::default(),
        }
    }
}

/// What to compare.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The guest. What runs it, its input and whether instructions are counted are the
    /// comparison's to choose; it is deterministic, if it is to be, where that is possible.
    pub config: VmConfig,
    /// Runs on each machine.
    pub runs: NonZeroU32,
    /// File that each run has as its console input, from its beginning: a regular one, or
    /// `/dev/null`.
    pub input: PathBuf,
}

impl Plan {
    /// Three runs of `config` on each machine, without input.
    pub fn new(config: VmConfig) -> Self {
        const RUNS: NonZeroU32 = NonZeroU32::new(3).unwrap();
        Self {
            config,
            runs: RUNS,
            input: image::NULL.into(),
        }
    }

    /// What the thread that measures needs of the host.
    pub fn needs(&self) -> Needs {
        let files = &self.config.files;
        let mut reads = Vec::from_iter(files.paths().map(PathBuf::from));
        reads.push(self.input.clone());
        Needs {
            files: !files.is_empty(),
            reads,
            ..Needs::NONE
        }
    }
}

/// A machine that this host does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Which.
    pub machine: Machine,
    /// Why.
    pub reason: String,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Run {
    /// What was counted.
    pub report: Report,
    /// What the guest printed.
    pub output: Transcript,
}

/// All runs on one machine, at least one.
#[derive(Clone, Debug)]
pub struct Column {
    /// The machine.
    pub machine: Machine,
    /// The first run.
    pub first: Run,
    /// The others, in order.
    pub more: Vec<Run>,
}

impl Column {
    /// All runs, in order.
    pub fn runs(&self) -> impl Iterator<Item = &Run> {
        std::iter::once(&self.first).chain(&self.more)
    }

    /// All reports, in order.
    pub fn reports(&self) -> impl Iterator<Item = &Report> {
        self.runs().map(|run| &run.report)
    }

    /// A figure of every run.
    fn spread(&self, figure: impl Fn(&Report) -> u64) -> Spread {
        let others = self.more.iter().map(|run| figure(&run.report));
        Spread::of(figure(&self.first.report), others)
    }

    /// A figure that is known of every run.
    fn known(&self, figure: impl Fn(&Report) -> Option<u64>) -> Option<Spread> {
        let others = self.more.iter().map(|run| figure(&run.report));
        let others: Option<Vec<_>> = others.collect();
        Some(Spread::of(figure(&self.first.report)?, others?))
    }
}

/// Runs of one guest on all machines.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The program's name.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// The machines that ran it.
    pub columns: Vec<Column>,
    /// The machines that this host does not have.
    pub missing: Vec<Missing>,
}

/// Why there is no comparison.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The machine cannot be made or its run not be finished.
    #[error(transparent)]
    Vm(#[from] VmError),
    /// The file with the input cannot be opened.
    #[error(transparent)]
    Input(#[from] ImageError),
    /// The host sent this signal.
    #[error("{0}")]
    Stopped(Outcome),
}

impl Comparison {
    /// Runs the guest as often as planned on each machine in turn, so that other load of
    /// the host affects all alike. The first run's output also goes to `outputs`;
    /// `progress` is told the machine and the run's number, from 1, before each run.
    ///
    /// # Errors
    /// A configuration that no machine takes, input that cannot be opened, a stop.
    pub fn measure(
        plan: &Plan,
        outputs: impl Into<Outputs>,
        progress: &mut dyn FnMut(Machine, u32),
    ) -> Result<Self, CompareError> {
        let outputs = outputs.into();
        // Every run has the same lines, whoever sees them.
        let nowhere = outputs.nowhere();
        let mut shown = Some(outputs);
        let mut outputs = move || shown.take().unwrap_or_else(|| nowhere.nowhere());
        let mut comparison = Self {
            program: match &plan.config.program {
                Some(program) => program.name.clone(),
                None => "kernel".to_owned(),
            },
            args: plan.config.args.clone(),
            columns: Vec::new(),
            missing: Vec::new(),
        };
        let kvm_error = accel::kvm_error();
        for &machine in Machine::ALL {
            if let (true, Some(why)) = (machine.is_kvm(), &kvm_error) {
                let reason = why.to_string();
                comparison.missing.push(Missing { machine, reason });
                continue;
            }
            progress(machine, 1);
            match run_once(plan, machine, outputs()) {
                Ok(first) => comparison.columns.push(Column {
                    machine,
                    first,
                    more: Vec::new(),
                }),
                Err(CompareError::Vm(error @ (VmError::Cpu(_) | VmError::Kvm(_)))) => {
                    let reason = error.to_string();
                    comparison.missing.push(Missing { machine, reason });
                }
                Err(error) => return Err(error),
            }
        }
        for number in 2..=plan.runs.get() {
            for column in &mut comparison.columns {
                progress(column.machine, number);
                column.more.push(run_once(plan, column.machine, outputs())?);
            }
        }
        Ok(comparison)
    }

    /// What the runs have in common and where they differ.
    pub fn summary(&self) -> Summary {
        Summary::new(self)
    }
}

/// One run on `machine`, whose output also goes to `outputs`.
pub(crate) fn run_once(
    plan: &Plan,
    machine: Machine,
    outputs: Outputs,
) -> Result<Run, CompareError> {
    let mut config = plan.config.clone();
    (config.accel, config.apic) = machine.choice();
    config.engine = machine.engine();
    config.deterministic &= !machine.is_kvm();
    let input = image::open_or_null(&plan.input)?;
    config.input = InputSource::Descriptor(Arc::new(input.into()));
    config.count_host_instructions = true;
    config.started = Instant::now();
    let recorder = Recorder::default();
    let report = Vm::new(config, outputs.copied_to(&recorder))?.run()?;
    match report.outcome.stop_signal() {
        Some(_) => Err(CompareError::Stopped(report.outcome)),
        None => Ok(Run {
            report,
            output: recorder.transcript(),
        }),
    }
}

#[cfg(test)]
pub(crate) mod tests;
