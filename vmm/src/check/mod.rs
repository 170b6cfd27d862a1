//! Does what guests cost still hold? A file says it, in CI and for a review.
//!
//! ```text
//!   CheckFile ── measure ──► Checked    each guest on each machine, figure by figure
//!      │                        ├─ Display, to_json, markdown, annotations, junit
//!      └────────────────────────┴─ Update    the file with what was measured
//! ```
//!
//! The emulator's machines are deterministic, so all of it can be held to exactly there, on any
//! host. Under KVM time has a part in counts: a file says less of it, or with a margin. Rejected:
//! a margin that the check finds by itself in several runs, which would hide what it is to show.

mod bound;
mod file;
mod judge;
mod junit;
mod text;
mod update;

pub use bound::Bound;
pub use file::{CheckFile, Ending, Exits, Figures, FileError, Guest, Place};
pub use judge::{Found, Judgement, judge};
pub use update::Update;

use serde::Serialize;

use crate::accel;
use crate::compare::{self, CompareError, Machine, Missing, Plan};
use crate::output::Output;
use crate::report::{self, Outcome, OutcomeKind};

/// One guest on one machine.
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    /// Its words.
    pub guest: String,
    /// Where it ran.
    pub machine: Machine,
    /// How long it ran, in nanoseconds.
    pub wall_ns: u64,
    /// Whether the VMM or its host failed.
    pub failed: bool,
    /// What the file says of it.
    pub figures: Vec<Judgement>,
}

impl Case {
    /// Figures that do not hold.
    pub fn broken(&self) -> impl Iterator<Item = &Judgement> {
        self.figures.iter().filter(|figure| !figure.holds)
    }
}

/// Everything that a file says, held against what was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// The file's path.
    pub file: String,
    /// Why instructions are not held to exactly, if they are not.
    pub note: Option<String>,
    /// Each guest on each of its machines that this host has, in the order of the file.
    pub cases: Vec<Case>,
    /// The machines that it does not have.
    pub missing: Vec<Missing>,
}

/// Why nothing is known.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The host sent this signal.
    #[error("{0}")]
    Stopped(Outcome),
    /// A guest cannot run.
    #[error(transparent)]
    Failed(#[from] FileError),
}

impl Checked {
    /// Runs each guest of `file` once on each of its machines, by the plan for it; `progress` is
    /// told its words and the machine before.
    ///
    /// # Errors
    /// A machine that the host has no room for, a stop.
    pub fn measure(
        file: &CheckFile,
        plans: &[Plan],
        progress: &mut dyn FnMut(&str, Machine),
    ) -> Result<Self, CheckError> {
        let mut checked = Self {
            file: file.path().display().to_string(),
            note: file.note(),
            cases: Vec::new(),
            missing: Vec::new(),
        };
        if let Some(why) = accel::kvm_error() {
            let reason = why.to_string();
            let kvm = Machine::ALL
                .iter()
                .copied()
                .filter(|machine| machine.is_kvm());
            let wanted = kvm.filter(|machine| file.wants(*machine));
            checked.missing.extend(wanted.map(|machine| Missing {
                machine,
                reason: reason.clone(),
            }));
        }
        for (number, (guest, plan)) in file.guests.iter().zip(plans).enumerate() {
            for &machine in &guest.machines {
                if checked
                    .missing
                    .iter()
                    .any(|missing| missing.machine == machine)
                {
                    continue;
                }
                progress(&guest.run, machine);
                let run = match compare::run_once(plan, machine, Output::discard().into()) {
                    Ok(run) => run,
                    Err(CompareError::Stopped(outcome)) => {
                        return Err(CheckError::Stopped(outcome));
                    }
                    Err(error) => {
                        return Err(file
                            .error(number, &format_args!("{machine}: {error}"))
                            .into());
                    }
                };
                checked.cases.push(Case {
                    guest: guest.run.clone(),
                    machine,
                    wall_ns: run.report.wall_ns,
                    failed: run.report.outcome.kind == OutcomeKind::Error,
                    figures: judge(file, number, machine, &run),
                });
            }
        }
        Ok(checked)
    }

    /// Whether everything holds.
    pub fn holds(&self) -> bool {
        self.cases.iter().all(|case| case.broken().next().is_none())
    }

    /// The machines that ran something.
    pub fn machines(&self) -> Vec<Machine> {
        let ran = |machine: &Machine| self.cases.iter().any(|case| case.machine == *machine);
        Machine::ALL.iter().copied().filter(ran).collect()
    }

    /// All of it as one JSON object.
    pub fn to_json(&self) -> String {
        report::json(self)
    }
}

#[cfg(test)]
mod tests;
