//! `vmm run`: one guest from start to end.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use vmm::events::{ESCAPE_KEYS, InputSource};
use vmm::html;
use vmm::output::Outputs;
use vmm::report::{OutcomeKind, Report};
use vmm::trace::Trace;
use vmm::vm::{Vm, VmConfig};

use super::files::SaveArgs;
use super::machine::{CpuArgs, MachineArgs, ProgramArgs};
use super::report_sink::{ReportArgs, Stream};
use super::sandbox::SandboxArgs;
use super::{CliError, CliResult, stop_signals, terminal, urgent};

/// Run a guest program and report its VM exits.
///
/// Exits with the program's status; 128+n if signal n killed it; 124 on --timeout or
/// --max-instructions; 125 if the machine or the VMM failed. Standard input, output and
/// error are the guest's; the kernel's own lines and the report go to standard error too.
/// At a terminal all keys are the guest's, but for Ctrl-A x, which ends the machine, and
/// Ctrl-A ?, which shows what keys there are.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    cpu: CpuArgs,
    #[command(flatten)]
    machine: MachineArgs,
    #[command(flatten)]
    saves: SaveArgs,
    #[command(flatten)]
    sandbox: SandboxArgs,
    #[command(flatten)]
    report: ReportArgs,
    #[command(flatten)]
    program: ProgramArgs,
}

pub fn run(args: Args, started: Instant) -> CliResult {
    let sandbox = args.sandbox.sandbox(true);
    let stop = stop_signals::catch(args.machine.deadline(started)?.as_ref(), sandbox)?;
    let mut config = args.machine.config(args.program)?;
    args.cpu.apply(&mut config)?;
    (config.started, config.stop) = (started, stop);
    (config.saves, config.sandbox) = (args.saves.saves(), sandbox);
    let destination = args.report.open(Stream::Error)?;
    let what = config.words();
    let report = on_this_terminal(config, args.sandbox, |_| Ok(None))?;
    destination.write(
        || report.to_string(),
        || report.to_json(),
        || html::run(&report, &what),
    )?;
    Ok(report.outcome.exit_status())
}

/// Runs a machine whose standard streams are this process's, until it ends or is stopped.
/// `trace` makes what is to be told of it, if anything is.
pub fn on_this_terminal(
    mut config: VmConfig,
    sandbox: SandboxArgs,
    trace: impl FnOnce(&Vm) -> Result<Option<Trace>, CliError>,
) -> Result<Report, CliError> {
    config.input = standard_input()?;
    config.resized = Some(stop_signals::resizes()?);
    terminal::catch_signals()?;
    let confinement = config.sandbox;
    let mut machine = Vm::new(config, Outputs::standard()?)?;
    if let Some(why) = machine.fallback() {
        super::complain(&format_args!("running in the emulator: {why}"));
    }
    if let Some(trace) = trace(&machine)? {
        machine.trace(trace);
    }
    sandbox.prepare()?;
    terminal::acquire(confinement)?;
    stop_signals::running();
    let report = machine.run();
    terminal::restore();
    let report = report?;
    for warning in &report.warnings {
        super::complain(warning);
    }
    if !matches!(
        report.outcome.kind,
        OutcomeKind::Exited | OutcomeKind::PoweredOff
    ) {
        super::complain(&report.outcome);
    }
    Ok(report)
}

/// Shows what keys there are, unless the terminal is stopped: nothing waits for that.
fn help() {
    for line in ESCAPE_KEYS.lines() {
        urgent::say(&line);
    }
}

fn standard_input() -> io::Result<InputSource> {
    let stdin = io::stdin();
    let fd = Arc::new(stdin.as_fd().try_clone_to_owned()?);
    Ok(match stdin.is_terminal() {
        true => InputSource::Terminal {
            fd,
            help,
            end: stop_signals::interrupt,
        },
        false => InputSource::Descriptor(fd),
    })
}
