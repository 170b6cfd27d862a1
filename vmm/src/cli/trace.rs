//! `vmm trace`: one guest, and every event of it.

use std::fs::File;
use std::io::{self, BufWriter, LineWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use vmm::Vm;
use vmm::html::HtmlSink;
use vmm::output::Output;
use vmm::trace::{Class, Filter, PerfettoSink, SummarySink, TextSink, Trace, TraceSink, Unit};

use super::files::SaveArgs;
use super::machine::{CpuArgs, MachineArgs, ProgramArgs};
use super::sandbox::SandboxArgs;
use super::usage::Misuse;
use super::{CliError, CliResult, run, stop_signals};

/// Run a guest program and print each event, one a line, in time order.
///
/// Events are VM exits, and in the guest system calls as strace shows them, traps with
/// what the CPU pushes, page faults with what the kernel does about them, timer ticks,
/// context switches, and beginnings and ends of processes. Times are in seconds since the
/// machine was made. What the guest prints goes to standard output, the trace to standard
/// error. Exits as `vmm run` does.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show these events only: exits, syscalls, traps, faults, ticks, sched, procs, and
    /// translations, which show by no other way: blocks of code that the emulator translates,
    /// beside what becomes of them; they imply --accel emu
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = class)]
    only: Vec<Class>,
    /// Show what one process does only, and what is done to it; the first has number 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pid: Option<u32>,
    /// At the end, write a table of system calls to standard error, as strace -c has it: how much
    /// guest time each has had a CPU (with --deterministic instructions), how often it was made,
    /// and how often in vain; then there is no other text unless --output asks for it
    #[arg(long)]
    summary: bool,
    /// Write the trace to PATH instead of standard error
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Write the trace to PATH for ui.perfetto.dev (Chrome's Trace Event JSON); then there
    /// is no text unless --output asks for it
    #[arg(long, value_name = "PATH")]
    perfetto: Option<PathBuf>,
    /// Write the trace to PATH as a page with a timeline, in one file that any browser opens; then
    /// there is no text unless --output asks for it
    #[arg(long, value_name = "PATH")]
    html: Option<PathBuf>,
    #[command(flatten)]
    cpu: CpuArgs,
    #[command(flatten)]
    machine: MachineArgs,
    #[command(flatten)]
    saves: SaveArgs,
    #[command(flatten)]
    sandbox: SandboxArgs,
    #[command(flatten)]
    program: ProgramArgs,
}

/// What is wrong with `--summary` beside an `--only` that leaves its events out.
const SUMMARY_NEEDS: &str = "--summary needs syscalls among the events of --only";

fn class(name: &str) -> Result<Class, vmm::trace::UnknownClass> {
    name.parse()
}

pub fn run(args: Args, started: Instant) -> CliResult {
    let sandbox = args.sandbox.sandbox(true);
    let stop = stop_signals::catch(args.machine.deadline(started)?.as_ref(), sandbox)?;
    let mut config = args.machine.config(args.program)?;
    args.cpu.apply(&mut config)?;
    (config.started, config.stop) = (started, stop);
    (config.saves, config.sandbox) = (args.saves.saves(), sandbox);
    let mut filter = Filter::all();
    filter.pid = args.pid;
    if !args.only.is_empty() {
        filter.classes = args.only;
    }
    if filter.has_translations() {
        args.cpu.translate(&mut config, "--only translations")?;
    }
    let traces = args.output.is_some() || args.perfetto.is_some() || args.html.is_some();
    if args.summary {
        match filter.classes.contains(&Class::Syscalls) {
            false => return Err(Misuse(SUMMARY_NEEDS.to_owned()).into()),
            // The kernel need not tell what nobody reads.
            true if !traces => filter.classes = vec![Class::Syscalls],
            true => {}
        }
    }
    let mut sinks: Vec<Box<dyn TraceSink>> = Vec::new();
    if let Some(path) = &args.perfetto {
        sinks.push(Box::new(PerfettoSink::new(create(path)?)));
    }
    if let Some(path) = &args.html {
        sinks.push(Box::new(HtmlSink::new(create(path)?, &config.words())));
    }
    let mut text: Option<Box<dyn Write + Send>> = match &args.output {
        Some(path) => Some(Box::new(create(path)?)),
        None => None,
    };
    let with_durations = !args.cpu.deterministic;
    let report = run::on_this_terminal(config, args.sandbox, |machine| {
        if args.summary {
            let unit = match with_durations {
                true => Unit::Time,
                false => Unit::Instructions,
            };
            sinks.push(Box::new(SummarySink::new(standard_error(machine)?, unit)));
        } else if text.is_none() && sinks.is_empty() {
            text = Some(standard_error(machine)?);
        }
        sinks.extend(text.map(|writer| -> Box<dyn TraceSink> {
            Box::new(TextSink::new(writer, with_durations))
        }));
        Ok(Some(Trace { filter, sinks }))
    })?;
    Ok(report.outcome.exit_status())
}

/// Standard error, for a trace of `machine`.
fn standard_error(machine: &Vm) -> io::Result<Box<dyn Write + Send>> {
    let output = Output::stderr()?;
    let is_terminal = output.is_terminal();
    let writer = machine.writer(output)?;
    // The guest's output may go to the same terminal: lines must not be delayed.
    Ok(match is_terminal {
        true => Box::new(LineWriter::new(writer)),
        false => Box::new(BufWriter::new(writer)),
    })
}

fn create(path: &Path) -> Result<BufWriter<File>, CliError> {
    match File::create(path) {
        Ok(file) => Ok(BufWriter::new(file)),
        Err(error) => Err(format!("{}: {error}", path.display()).into()),
    }
}
