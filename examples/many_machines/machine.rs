//! A machine, and what it does that others could disturb.

use std::time::Duration;

use vmm::accel::AccelChoice;
use vmm::exit::ExitReason;
use vmm::output::{Output, Transcript};
use vmm::report::{ExitRow, Outcome};
use vmm::{Program, Vm, VmConfig, VmError};

pub const SPIN: &str = "spin 3600000";
/// What the one that spins for an hour is given.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Enough for a whole stack, and little, so that the hog soon has all of it.
const MEMORY: u64 = 24 << 20;

/// What a machine does that others could disturb.
#[derive(Debug, PartialEq)]
pub struct Seen {
    pub outcome: Outcome,
    output: Transcript,
    port_exits: Vec<(ExitReason, String, u64)>,
}

/// Runs a program with its arguments on a machine of its own.
pub fn run(choice: AccelChoice, words: &str) -> Result<Seen, VmError> {
    let timeout = (words == SPIN).then_some(TIMEOUT);
    let mut words = words.split_whitespace().map(String::from);
    let mut config = VmConfig::new(Program::find(words.next().unwrap_or_default())?);
    config.args = words.collect();
    config.accel = choice;
    config.memory = MEMORY;
    config.timeout = timeout;
    let (output, transcript) = Output::recorded();
    let report = Vm::new(config, output)?.run()?;
    let is_port = |row: &&ExitRow| matches!(row.reason, ExitReason::PioIn | ExitReason::PioOut);
    let ports = report.exits.rows().iter().filter(is_port);
    Ok(Seen {
        outcome: report.outcome.clone(),
        output: transcript.transcript(),
        port_exits: ports
            .map(|row| (row.reason, row.detail.to_string(), row.count))
            .collect(),
    })
}
