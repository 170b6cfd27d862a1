//! The self-tests, on every machine that this host has.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::Serialize;

use crate::compare::{Column, CompareError, Comparison, Machine, Plan};
use crate::events::StopSource;
use crate::output::Output;
use crate::program::Program;
use crate::report::OutcomeKind;
use crate::vm::VmConfig;

/// The bundled program that tries what programs rely on; its last line counts tests and failures.
const SELF_TESTS: &str = "usertests";
/// Most time on one machine: some 20 times what they take where KVM emulates ring 0.
const LIMIT: Duration = Duration::from_secs(600);

/// How the self-tests ended on one machine.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Which.
    pub machine: Machine,
    /// Whether all passed.
    pub passed: bool,
    /// The last line that they printed, or what ended the machine.
    pub says: String,
}

impl Check {
    fn of(column: &Column) -> Self {
        let (outcome, output) = (&column.first.report.outcome, column.first.output.text());
        let last = output.lines().next_back().unwrap_or_default();
        let exited = outcome.kind == OutcomeKind::Exited;
        Self {
            machine: column.machine,
            passed: exited && outcome.exit_status() == 0,
            says: match exited {
                true => last.to_owned(),
                false => outcome.to_string(),
            },
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.passed { "passed" } else { "failed" };
        write!(f, "{} {verdict} ({})", self.machine, self.says)
    }
}

/// One run of them on each machine, until `stop`.
pub fn plan(stop: Vec<StopSource>) -> Plan {
    let program = Program::find(SELF_TESTS).expect("it is bundled");
    let mut config = VmConfig::new(program);
    config.timeout = Some(LIMIT);
    config.stop = stop;
    Plan {
        runs: NonZeroU32::MIN,
        ..Plan::new(config)
    }
}

/// Runs them as planned; `progress` is told the machine before.
///
/// # Errors
/// The host has no room for a machine, or the signal that stopped it.
pub fn run(plan: &Plan, progress: &mut dyn FnMut(Machine)) -> Result<Vec<Check>, CompareError> {
    let comparison =
        Comparison::measure(plan, Output::discard(), &mut |machine, _| progress(machine))?;
    Ok(comparison.columns.iter().map(Check::of).collect())
}

#[cfg(test)]
mod tests {
    use super::Check;
    use crate::compare::Machine;
    use crate::compare::tests::{column, run};
    use crate::report::Outcome;

    #[test]
    fn only_status_zero_passes() {
        let outcomes = [
            (Outcome::exited(0), "passed (2 tests, 0 failed)"),
            (Outcome::exited(1), "failed (2 tests, 0 failed)"),
            (Outcome::killed(9), "failed (killed by signal 9)"),
            (Outcome::timeout(), "failed (timeout)"),
        ];
        for (outcome, expected) in outcomes {
            let mut run = run(Machine::Emu, &[], 1, "a: ok\n2 tests, 0 failed\n");
            run.report.outcome = outcome;
            let check = Check::of(&column(Machine::Emu, vec![run]));
            assert_eq!(check.to_string(), format!("emu {expected}"));
            assert_eq!(check.passed, expected.starts_with("passed"));
        }
    }
}
