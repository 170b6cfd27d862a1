//! `vmm run`: one guest from start to end.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use vmm::events::InputSource;
use vmm::output::Output;
use vmm::report::{OutcomeKind, Report};
use vmm::trace::Trace;
use vmm::vm::{Vm, VmConfig};

use super::machine::{CpuArgs, MachineArgs, ProgramArgs};
use super::report_sink::{ReportArgs, Stream};
use super::terminal::GuestTerminal;
use super::{CliError, CliResult, stop_signals};

/// Run a guest program and report its VM exits.
///
/// Exits with the program's status; 128+n if signal n killed it; 124 on --timeout or
/// --max-instructions; 125 if the machine or the VMM failed. What the guest prints goes to
/// standard output, the report to standard error.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    cpu: CpuArgs,
    #[command(flatten)]
    machine: MachineArgs,
    #[command(flatten)]
    report: ReportArgs,
    #[command(flatten)]
    program: ProgramArgs,
}

pub fn run(args: Args, started: Instant) -> CliResult {
    let mut config = args.machine.config(args.program)?;
    args.cpu.apply(&mut config)?;
    config.started = started;
    let destination = args.report.open(Stream::Error)?;
    let report = on_this_terminal(config, None)?;
    destination.write(|| report.to_string(), || report.to_json())?;
    Ok(report.outcome.exit_status())
}

/// Runs a machine whose console is standard input and output, until it ends or a signal
/// stops it.
pub fn on_this_terminal(mut config: VmConfig, trace: Option<Trace>) -> Result<Report, CliError> {
    config.stop = stop_signals::catch()?;
    config.input = InputSource::Descriptor(Arc::new(io::stdin().as_fd().try_clone_to_owned()?));
    let mut machine = Vm::new(config, Output::stdout()?)?;
    if let Some(why) = machine.fallback() {
        super::complain(&format_args!("running in the emulator: {why}"));
    }
    if let Some(trace) = trace {
        machine.trace(trace);
    }
    let terminal = GuestTerminal::acquire()?;
    let report = machine.run();
    drop(terminal);
    let report = report?;
    if report.outcome.kind != OutcomeKind::Exited {
        super::complain(&report.outcome);
    }
    Ok(report)
}
