//! Measurements by programs in a guest: operations of its kernel, and loops.

use std::time::{Duration, Instant};

use super::native::{Work, Worker};
use super::starter::Starter;
use super::{BenchError, Counts, Sample};
use crate::compare::Machine;
use crate::events::StopSource;
use crate::exit::ExitReason;
use crate::output::Output;
use crate::program::Program;
use crate::report::{OutcomeKind, Report};
use crate::vm::{ConsoleKind, Vm, VmConfig, VmError};

const OPERATIONS: &str = "operations";
const BETWEEN: &str = "between";
/// Enough for the largest loop and the kernel.
const LOOPS_MEMORY: u64 = 128 << 20;
/// Far more than any run takes.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Of two runs that are subtracted, the shorter one does such a part of the work.
const SHORTER: u64 = 5;
/// How long the longer one takes at least, unless it would take too much memory.
const LONG_NS: u64 = 20_000_000;
/// How many times the work it does for that at most.
const MOST: u64 = 10;
/// How long operations are done before those that are timed, and most of them: caches fill by the
/// first ones, and the emulator translates what is done often.
const BEFORE_NS: u64 = 400_000_000;
const MOST_BEFORE: u64 = 200;

/// The machine that programs run in.
#[derive(Clone, Copy, Debug)]
pub struct Host<'a> {
    pub machine: Machine,
    pub cpus: u8,
    /// What ends each run.
    pub stop: &'a [StopSource],
}

/// Runs a bundled program and returns its report and the last line that it printed.
fn run(
    on: Host,
    program: &str,
    args: &[&str],
    memory: Option<u64>,
) -> Result<(Report, String), BenchError> {
    let mut config = VmConfig::new(Program::find(program).map_err(VmError::from)?);
    (config.accel, config.apic) = on.machine.choice();
    config.cpus = on.cpus;
    config.args = args.iter().map(ToString::to_string).collect();
    config.memory = memory.unwrap_or(config.memory);
    config.timeout = Some(TIMEOUT);
    // A byte of output is to be an exit, and costs to set up are no part of what is measured.
    config.console = ConsoleKind::Serial;
    config.stop = on.stop.to_vec();
    config.count_host_instructions = true;
    config.started = Instant::now();
    let (output, recorder) = Output::recorded();
    let report = Vm::new(config, output)?.run()?;
    let text = recorder.transcript().text();
    let last = text.lines().last().unwrap_or_default().trim().to_owned();
    match report.outcome.kind {
        OutcomeKind::Exited if report.outcome.code == Some(0) => Ok((report, last)),
        _ => Err(BenchError::Absent(report.outcome.to_string())),
    }
}

/// Takes a sample of an operation: `count` of them or more, less a run with fewer, so that
/// making, booting and ending the machine does not count, nor what the first ones take longer.
pub fn operation(on: Host, name: &str, parts: u64, count: u64) -> Result<Sample, BenchError> {
    warm(on, OPERATIONS, name, parts, count)
}

/// The same of an operation between two CPUs.
pub fn between(on: Host, name: &str, count: u64) -> Result<Sample, BenchError> {
    warm(on, BETWEEN, name, 1, count)
}

/// What an operation of `program` takes by two runs, the shorter with a part of `count`, and a first
/// one that says how many to do before.
fn warm(on: Host, program: &str, name: &str, parts: u64, count: u64) -> Result<Sample, BenchError> {
    let few_count = (count / SHORTER).max(1);
    let (_, cold_ns) = timed(on, program, name, few_count, 0)?;
    let before = (few_count.saturating_mul(BEFORE_NS) / cold_ns.max(1)).min(MOST_BEFORE);
    let (few, few_ns) = timed(on, program, name, few_count, before)?;
    let long_count = few_count.saturating_mul(LONG_NS) / few_ns.max(1);
    let many_count = long_count.clamp(count.max(few_count + 1), count * MOST);
    let (many, many_ns) = timed(on, program, name, many_count, before)?;
    let operations = (many_count - few_count) * parts;
    let each = |few: u64, many: u64| many.saturating_sub(few) as f64 / operations as f64;
    Ok(Sample {
        ns: each(few_ns, many_ns),
        one_cpu_ns: None,
        host_ns: None,
        counts: Counts::of(|figure| Some(each(figure(&few)?, figure(&many)?))),
    })
}

/// A run of `program` with its operation `name`, so many times after those `before`, and how many
/// nanoseconds these took.
fn timed(
    on: Host,
    program: &str,
    name: &str,
    count: u64,
    before: u64,
) -> Result<(Report, u64), BenchError> {
    let args = [name, &count.to_string(), "time", &before.to_string()];
    let (report, last) = run(on, program, &args, None)?;
    let ns = last.parse();
    ns.map(|ns| (report, ns))
        .map_err(|_| BenchError::Absent(format!("{program} printed {last:?}")))
}

/// Takes a sample of a loop: as the guest's only process, and as a process of the host.
pub fn ring_3(on: Host, starter: &mut Starter, name: &str) -> Result<Sample, BenchError> {
    let native = starter.native(Worker::Loops, &[name])?;
    against(&native, on, Worker::Loops, &[name], Some(LOOPS_MEMORY))
}

/// Takes a sample of work that is divided among all CPUs: in a machine that has them, in one of
/// one CPU, and on the host.
pub fn scale(
    on: Host,
    starter: &mut Starter,
    name: &str,
    workers: u32,
) -> Result<Sample, BenchError> {
    let workers = (workers * u32::from(on.cpus)).to_string();
    let args = [name, &workers];
    let native = starter.native(Worker::Scale, &args)?;
    let several = against(&native, on, Worker::Scale, &args, None)?;
    let one = against(&native, Host { cpus: 1, ..on }, Worker::Scale, &args, None)?;
    Ok(Sample {
        one_cpu_ns: Some(one.ns),
        ..several
    })
}

/// Runs a program in a guest, where it must come to the same as it did on the host.
fn against(
    native: &Work,
    on: Host,
    worker: Worker,
    args: &[&str],
    memory: Option<u64>,
) -> Result<Sample, BenchError> {
    let (report, last) = run(on, worker.name(), args, memory)?;
    let guest = Work::parse(worker, &last)?;
    if native.sum != guest.sum {
        let (guest, host) = (guest.sum, &native.sum);
        let text = format!("the guest computes {guest} and the host {host}");
        return Err(BenchError::Absent(text));
    }
    Ok(Sample {
        ns: guest.ns,
        one_cpu_ns: None,
        host_ns: Some(native.ns),
        counts: Counts::of(|figure| figure(&report).map(|count| count as f64)),
    })
}

/// A count in a report.
type Figure = fn(&Report) -> Option<u64>;

impl Counts {
    /// Each count by what `each` makes of it.
    fn of(each: impl Fn(Figure) -> Option<f64>) -> Self {
        Self {
            vmm_ns: each(|report| Some(report.time.vmm_ns)),
            exits: each(|report| Some(report.exits.total())),
            port_exits: each(|report| {
                let exits = &report.exits;
                Some(exits.count(ExitReason::PioIn) + exits.count(ExitReason::PioOut))
            }),
            syscalls: each(|report| report.guest.syscalls),
            ring0_instructions: each(|report| report.ring_instructions().0),
            ring3_instructions: each(|report| report.ring_instructions().1),
        }
    }
}
