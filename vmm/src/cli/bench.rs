//! `vmm bench`: what operations cost on every machine of this host.

use std::env;
use std::fs;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use vmm::bench::{self, Bench, Earlier, Host, MEASURES, Measure, Plan, Starter};
use vmm::compare::Machine;
use vmm::html;
use vmm::printable::wrap;
use vmm::sandbox::{Needs, Sandbox};

use super::machine;
use super::progress::Progress;
use super::report_sink::{ReportArgs, Stream};
use super::require::RequireArgs;
use super::sandbox::{confine_maker, say_what_is_missing};
use super::{CliResult, FAILURE, print, stop_signals, units, write_error};

const SAMPLES: NonZeroU32 = NonZeroU32::new(5).unwrap();

/// Measure what VM exits, system calls, processes, pipes, page faults and machines cost.
///
/// Each measure is taken on every machine of this host: KVM, KVM with the VMM's local APIC,
/// and the emulator. Its figures are nanoseconds, VM exits, system calls and guest
/// instructions of one operation. The report goes to standard output, or see
/// --report-file. Exits with 0; 125 if nothing could be measured; 128+n if signal n ended
/// it, after a report of what there is.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Measures to take, by name; all if there is none. With --html, files
    #[arg(value_name = "MEASURE")]
    measures: Vec<String>,
    /// List the measures and end
    #[arg(long)]
    list: bool,
    /// End after this time, with a report of what there is (status 124)
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    timeout: Option<Duration>,
    /// Machines to measure
    #[arg(long, value_enum, value_delimiter = ',', value_name = "MACHINE,...",
          default_values_t = [On::Kvm, On::KvmUserApic, On::Emu])]
    on: Vec<On>,
    /// Samples of each measure (5): the figure is their median
    #[arg(long, value_name = "N")]
    samples: Option<NonZeroU32>,
    /// CPUs of the machines for measures that take several, 1 to 32, as far as KVM has so many, or
    /// auto for the host's; with 1 these are absent
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = units::cpus)]
    cpus: u8,
    /// One sample of each measure
    #[arg(long, conflicts_with = "samples")]
    quick: bool,
    /// Also print the ratio to the figures of an earlier `vmm bench --report json`
    #[arg(long, value_name = "PATH")]
    baseline: Option<PathBuf>,
    /// Measure nothing, and write a page about earlier reports of `vmm bench --report json`, given
    /// by their paths in place of measures: others are held against the first
    #[arg(long, value_name = "PATH", requires = "measures")]
    #[arg(conflicts_with_all = ["list", "on", "timeout", "samples", "cpus", "quick", "baseline"])]
    #[arg(conflicts_with_all = ["require", "report", "report_file"])]
    html: Option<PathBuf>,
    /// Start what another process of `vmm bench` asks for
    #[arg(long, hide = true)]
    starter: bool,
    #[command(flatten)]
    required: RequireArgs,
    #[command(flatten)]
    report: ReportArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum On {
    Kvm,
    KvmUserApic,
    Emu,
}

impl From<On> for Machine {
    fn from(on: On) -> Self {
        match on {
            On::Kvm => Self::Kvm,
            On::KvmUserApic => Self::KvmUserApic,
            On::Emu => Self::Emu,
        }
    }
}

pub fn run(args: Args, started: Instant) -> CliResult {
    if args.list {
        return list();
    }
    if let Some(page) = &args.html {
        return page_of_earlier(page, &args.measures);
    }
    let vmm = env::current_exe()?;
    if args.starter {
        bench::serve(&vmm, io::stdin().lock(), io::stdout().lock())?;
        return Ok(0);
    }
    let deadline = machine::deadline(args.timeout, started)?;
    let sandbox = Sandbox::default();
    let stop = stop_signals::catch(deadline.as_ref(), sandbox)?;
    let names = args.measures.iter();
    let named: Vec<_> = names
        .map(|name| Measure::find(name))
        .collect::<Result<_, _>>()?;
    let wanted = |measure: &&Measure| named.is_empty() || named.contains(measure);
    let plan = Plan {
        measures: MEASURES.iter().filter(wanted).collect(),
        machines: Machine::ALL
            .iter()
            .copied()
            .filter(|&machine| args.on.iter().any(|&on| Machine::from(on) == machine))
            .collect(),
        samples: match args.quick {
            true => NonZeroU32::MIN,
            false => args.samples.unwrap_or(SAMPLES),
        },
        cpus: args.cpus,
        host: Host::here(),
        baseline: args.baseline.as_deref().map(Earlier::read).transpose()?,
        stop,
    };
    let required = args.required;
    let destination = args.report.open(Stream::Output)?;
    let starter = Starter::start(&vmm);
    let mut starter = starter.map_err(|error| format!("{}: {error}", vmm.display()))?;
    say_what_is_missing(sandbox);
    confine_maker(sandbox, Needs::NONE)?;
    let mut progress = Progress::new();
    stop_signals::running();
    let measured = Bench::measure(&plan, &mut starter, &mut |measure, machine, number| {
        let name = measure.name;
        progress.show(&format!(
            "{name} on {machine}, {number} of {}",
            plan.samples
        ));
    });
    progress.clear();
    let bench = measured?;
    let now = Earlier::now("now", &bench)?;
    let reports: Vec<_> = plan.baseline.into_iter().chain([now]).collect();
    destination.write(
        || bench.to_string(),
        || bench.to_json(),
        || html::bench(&reports),
    )?;
    if let Some(outcome) = &bench.stopped {
        super::complain(outcome);
        return Ok(outcome.exit_status());
    }
    required.check(&bench.machines)?;
    Ok(if bench.machines.is_empty() {
        FAILURE
    } else {
        0
    })
}

/// Writes a page about reports of earlier runs.
fn page_of_earlier(page: &Path, reports: &[String]) -> CliResult {
    let reports = reports.iter().map(|path| Earlier::read(Path::new(path)));
    let reports: Vec<_> = reports.collect::<Result<_, _>>()?;
    let written = fs::write(page, html::bench(&reports));
    written.map_err(|error| write_error(&page.display().to_string(), error))?;
    Ok(0)
}

fn list() -> CliResult {
    let width = MEASURES.iter().map(|measure| measure.name.len()).max();
    let width = width.unwrap_or(0);
    let lines = MEASURES
        .iter()
        .map(|measure| wrap(&format!("{:width$}  ", measure.name), measure.about));
    print(&lines.collect::<String>())?;
    Ok(0)
}
