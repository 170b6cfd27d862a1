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
/// Most time on one machine: 20 times what they take where all of the kernel is emulated.
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

/// Runs them once on each machine, until `stop`; `progress` is told the machine before.
///
/// # Errors
/// The host has no room for a machine, or the signal that stopped it.
pub fn self_tests(
    stop: Vec<StopSource>,
    progress: &mut dyn FnMut(Machine),
) -> Result<Vec<Check>, CompareError> {
    let program = Program::find(SELF_TESTS).expect("it is bundled");
    let mut config = VmConfig::new(program);
    config.timeout = Some(LIMIT);
    config.stop = stop;
    let plan = Plan {
        runs: NonZeroU32::MIN,
        ..Plan::new(config)
    };
    let comparison = Comparison::measure(&plan, Output::discard(), &mut |machine, _| {
        progress(machine)
    })?;
    Ok(comparison.columns.iter().map(Check::of).collect())
}
