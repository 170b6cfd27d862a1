//! `vmm compare`: one guest on every machine of this host.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Instant;

use vmm::compare::{CompareError, Comparison, Plan};
use vmm::html;
use vmm::output::Outputs;

use super::machine::{MachineArgs, ProgramArgs};
use super::progress::Progress;
use super::report_sink::{ReportArgs, Stream};
use super::require::RequireArgs;
use super::sandbox::{SandboxArgs, confine_maker};
use super::{CliResult, FAILURE, stop_signals};

/// Exit status when machines differ in what they should not.
const DIFFERENCE: u8 = 1;

/// Run the same guest under KVM, under KVM with the VMM's local APIC, in the emulator, and
/// by its interpreter alone, and compare exits, times and instructions.
///
/// Exits with 0 if port I/O, output and outcome are the same on all machines, or if the
/// program itself is not deterministic (its runs differ on one machine, --timeout ended one,
/// or several CPUs print the same lines in another order); 1 if they differ; 125 if the VMM
/// failed. What the guest prints goes to standard output once, the comparison to standard
/// error.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Runs on each machine; the table has medians and ranges
    #[arg(long, value_name = "N", default_value = "3")]
    runs: NonZeroU32,
    /// Regular file that each run has as its console input, or /dev/null
    #[arg(long, value_name = "PATH", default_value = "/dev/null")]
    input: PathBuf,
    #[command(flatten)]
    machine: MachineArgs,
    #[command(flatten)]
    sandbox: SandboxArgs,
    #[command(flatten)]
    required: RequireArgs,
    #[command(flatten)]
    report: ReportArgs,
    #[command(flatten)]
    program: ProgramArgs,
}

pub fn run(args: Args, started: Instant) -> CliResult {
    let mut deadline = args.machine.deadline(started)?;
    let sandbox = args.sandbox.sandbox(false);
    let stop = stop_signals::catch(deadline.as_ref(), sandbox)?;
    let mut config = args.machine.config(args.program)?;
    (config.stop, config.sandbox) = (stop, sandbox);
    let plan = Plan {
        config,
        runs: args.runs,
        input: args.input,
    };
    let destination = args.report.open(Stream::Error)?;
    let outputs = Outputs::standard()?;
    args.sandbox.prepare()?;
    confine_maker(sandbox, plan.needs())?;
    let mut progress = Progress::new();
    stop_signals::running();
    // The limit is one of each run, and of the report.
    let mut begin = || {
        if let (Some(deadline), Some(limit)) = (&mut deadline, plan.config.timeout) {
            stop_signals::move_to(deadline, limit);
        }
    };
    let measured = Comparison::measure(&plan, outputs, &mut |machine, run| {
        begin();
        // In the first run the guest prints.
        if run > 1 {
            progress.show(&format!("run {run} of {} on {machine}", plan.runs));
        }
    });
    begin();
    progress.clear();
    let summary = match measured {
        Ok(comparison) => comparison.summary(),
        Err(CompareError::Stopped(outcome)) => {
            super::complain(&outcome);
            return Ok(outcome.exit_status());
        }
        Err(error) => return Err(error.into()),
    };
    destination.write(
        || summary.to_string(),
        || summary.to_json(),
        || html::compare(&summary),
    )?;
    let ran: Vec<_> = summary.machines.iter().map(|each| each.machine).collect();
    args.required.check(&ran)?;
    if ran.is_empty() {
        return Ok(FAILURE);
    }
    Ok(if summary.verdict.agrees() {
        0
    } else {
        DIFFERENCE
    })
}
