//! The cost of operations of a machine, its kernel and the VMM, on every machine of the
//! host.
//!
//! ```text
//!   Plan ── measure ──► Bench      host, machines, and of each measure a figure a machine
//!            │            ├─ Display   the tables
//!            │            └─ to_json ──► Earlier, the baseline of a later run
//!            ├─ exits     machine code that does nothing but exit
//!            ├─ guest     the programs `operations`, `between`, `loops` and `scale`
//!            └─ starter   another process, which starts what is no guest:
//!                 ├─ cold      a process of the VMM
//!                 └─ native    a bundled program on the host
//! ```
//!
//! Times are the guest's own or the host's, whichever sees the operation alone, and
//! medians over samples. Counts are differences between a run with many operations and
//! one with fewer, so that booting does not count; but a tick of the guest's timer during
//! an operation does, in all but port exits and system calls.

mod baseline;
mod cold;
mod exits;
mod guest;
mod host;
mod measures;
mod native;
mod starter;
mod text;

pub use baseline::{BaselineError, Earlier};
pub use exits::Exit;
pub use host::Host;
pub use measures::{Kind, MEASURES, Measure, UnknownMeasure};
pub use starter::{Starter, serve};

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::accel;
use crate::compare::{Machine, Missing, Spread};
use crate::events::{StopSource, stop_within};
use crate::report::{self, Outcome};
use crate::vm::VmError;

/// The measures and machines of a run.
#[derive(Debug)]
pub struct Plan {
    /// Which measures.
    pub measures: Vec<&'static Measure>,
    /// On which machines.
    pub machines: Vec<Machine>,
    /// How many samples of each.
    pub samples: NonZeroU32,
    /// CPUs of the machines for measures that take several; with one these are absent. The
    /// machines for others have one.
    pub cpus: u8,
    /// The host, which is told with the figures.
    pub host: Host,
    /// Figures to compare with.
    pub baseline: Option<Earlier>,
    /// Descriptors that stop the measuring when they become readable.
    pub stop: Vec<StopSource>,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A machine cannot be made or its run not be finished.
    #[error(transparent)]
    Vm(#[from] VmError),
    /// The host has requested a stop.
    #[error("{0}")]
    Stopped(Outcome),
    /// There is no such figure, and why.
    #[error("{0}")]
    Absent(String),
}

/// What an operation counts; null where that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Nanoseconds in the VMM: exits served.
    pub vmm_ns: Option<f64>,
    /// VM exits.
    pub exits: Option<f64>,
    /// Those by port I/O, which do not depend on time.
    pub port_exits: Option<f64>,
    /// System calls.
    pub syscalls: Option<f64>,
    /// Guest instructions in ring 0.
    pub ring0_instructions: Option<f64>,
    /// Guest instructions in ring 3.
    pub ring3_instructions: Option<f64>,
}

/// One measurement, of one operation.
#[derive(Serialize, Deserialize)]
struct Sample {
    ns: f64,
    one_cpu_ns: Option<f64>,
    host_ns: Option<f64>,
    counts: Counts,
}

/// The figures of one machine for one operation of a measure.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// The machine.
    pub machine: Machine,
    /// Time in nanoseconds.
    pub ns: Spread<f64>,
    /// The same of each sample, in the order in which they were taken.
    pub samples_ns: Vec<f64>,
    /// The time in a machine of one CPU, where it is to depend on them.
    pub one_cpu_ns: Option<f64>,
    /// The time that the host itself takes for the same, where it can do it.
    pub host_ns: Option<f64>,
    /// Median against the baseline's: above 1 is slower now.
    pub baseline_ratio: Option<f64>,
    /// Counts, the first sample's.
    #[serde(flatten)]
    pub counts: Counts,
}

/// A measure that a machine has no figure for.
#[derive(Clone, Debug, Serialize)]
pub struct Absent {
    /// The machine.
    pub machine: Machine,
    /// Why.
    pub reason: String,
}

/// One measure on all machines.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Its name.
    pub name: &'static str,
    /// What an operation is.
    pub about: &'static str,
    /// One figure a machine.
    pub figures: Vec<Figure>,
    /// The machines without one.
    pub absent: Vec<Absent>,
}

/// All figures.
#[derive(Clone, Debug, Serialize)]
pub struct Bench {
    /// The library's version.
    pub version: &'static str,
    /// Where this was measured.
    pub host: Host,
    /// Samples of each measure.
    pub samples: NonZeroU32,
    /// CPUs that measures of several had.
    pub cpus: u8,
    /// The machines that were measured.
    pub machines: Vec<Machine>,
    /// The machines that this host does not have.
    pub missing: Vec<Missing>,
    /// What ended the measuring early, if it did: then the last measure may lack samples
    /// and machines, and others are missing.
    pub stopped: Option<Outcome>,
    /// The figures, in the order of the plan.
    pub measures: Vec<Measured>,
}

impl Bench {
    /// Takes all samples of the plan; `progress` is told the measure, the machine and the
    /// sample's number, from 1, before each. A measure that fails on a machine is absent
    /// there, with the reason.
    ///
    /// # Errors
    /// A host that lacks what every machine needs. A stop ends the measuring early.
    pub fn measure(
        plan: &Plan,
        starter: &mut Starter,
        progress: &mut dyn FnMut(&Measure, Machine, u32),
    ) -> Result<Self, BenchError> {
        let (machines, missing) = here(&plan.machines);
        let (mut measures, mut stopped) = (Vec::new(), None);
        for measure in &plan.measures {
            let (measured, end) = measured(plan, starter, measure, &machines, progress)?;
            if end.is_none() || !measured.figures.is_empty() {
                measures.push(measured);
            }
            stopped = end;
            if stopped.is_some() {
                break;
            }
        }
        Ok(Self {
            version: env!("CARGO_PKG_VERSION"),
            host: plan.host.clone(),
            samples: plan.samples,
            cpus: plan.cpus,
            machines,
            missing,
            stopped,
            measures,
        })
    }

    /// The figures as one JSON object, indented, with a newline at its end.
    pub fn to_json(&self) -> String {
        report::json(self)
    }
}

impl Figure {
    fn of(plan: &Plan, measure: &Measure, machine: Machine, samples: &[Sample]) -> Option<Self> {
        let (first, others) = samples.split_first()?;
        let ns = Spread::of(first.ns, others.iter().map(|sample| sample.ns));
        let median = |part: fn(&Sample) -> Option<f64>| {
            Some(Spread::of(part(first)?, others.iter().filter_map(part)).median)
        };
        let baseline = plan.baseline.as_ref();
        let earlier = baseline.and_then(|baseline| baseline.ns(measure.name, machine));
        Some(Self {
            machine,
            ns,
            samples_ns: samples.iter().map(|sample| sample.ns).collect(),
            one_cpu_ns: median(|sample| sample.one_cpu_ns),
            host_ns: median(|sample| sample.host_ns),
            baseline_ratio: earlier
                .filter(|&earlier| earlier > 0.0)
                .map(|earlier| ns.median / earlier),
            counts: first.counts,
        })
    }
}

/// Which of `wanted` this host has, and which not.
fn here(wanted: &[Machine]) -> (Vec<Machine>, Vec<Missing>) {
    let kvm_error = accel::kvm_error();
    let (mut machines, mut missing) = (Vec::new(), Vec::new());
    for &machine in wanted {
        match &kvm_error {
            Some(why) if machine.is_kvm() => missing.push(Missing {
                machine,
                reason: why.to_string(),
            }),
            _ => machines.push(machine),
        }
    }
    (machines, missing)
}

/// A measure on all machines, or on those until a stop, which is beside it.
fn measured(
    plan: &Plan,
    starter: &mut Starter,
    measure: &Measure,
    machines: &[Machine],
    progress: &mut dyn FnMut(&Measure, Machine, u32),
) -> Result<(Measured, Option<Outcome>), BenchError> {
    let mut measured = Measured {
        name: measure.name,
        about: measure.about,
        figures: Vec::new(),
        absent: Vec::new(),
    };
    for &machine in machines {
        let (samples, end) = samples(plan, starter, measure, machine, progress);
        let stopped = match end {
            None => None,
            Some(BenchError::Stopped(outcome)) => Some(outcome),
            Some(BenchError::Absent(reason)) => {
                measured.absent.push(Absent { machine, reason });
                continue;
            }
            Some(error) => return Err(error),
        };
        let figure = Figure::of(plan, measure, machine, &samples);
        measured.figures.extend(figure);
        if stopped.is_some() {
            return Ok((measured, stopped));
        }
    }
    Ok((measured, None))
}

/// The samples of a measure on a machine; fewer than planned for the reason beside them.
fn samples(
    plan: &Plan,
    starter: &mut Starter,
    measure: &Measure,
    machine: Machine,
    progress: &mut dyn FnMut(&Measure, Machine, u32),
) -> (Vec<Sample>, Option<BenchError>) {
    let mut samples = Vec::new();
    for number in 1..=plan.samples.get() {
        progress(measure, machine, number);
        let sample = sample(plan, starter, measure, machine);
        // A stop may have spoilt it.
        let sample = match stop_within(&plan.stop, Some(Duration::ZERO)) {
            Ok(None) => sample,
            Ok(Some(reason)) => Err(BenchError::Stopped(reason.outcome())),
            Err(error) => Err(VmError::from(error).into()),
        };
        match sample {
            Ok(sample) => samples.push(sample),
            Err(error) => return (samples, Some(error)),
        }
    }
    (samples, None)
}

fn sample(
    plan: &Plan,
    starter: &mut Starter,
    measure: &Measure,
    machine: Machine,
) -> Result<Sample, BenchError> {
    let on_one = guest::Host {
        machine,
        cpus: 1,
        stop: &plan.stop,
    };
    let on_several = guest::Host {
        cpus: plan.cpus,
        ..on_one
    };
    match measure.kind {
        Kind::Between(_) | Kind::Scale { .. } if plan.cpus == 1 => {
            let reason = "it takes several CPUs: see --cpus";
            Err(BenchError::Absent(reason.to_owned()))
        }
        Kind::Exit(exit) => exits::sample(exit, machine, measure.count),
        Kind::Operation { name, parts } => guest::operation(on_one, name, parts, measure.count),
        Kind::Between(name) => guest::between(on_several, name, measure.count),
        Kind::Scale { name, workers } => guest::scale(on_several, starter, name, workers),
        Kind::Loop(name) => guest::ring_3(on_one, starter, name),
        Kind::ColdStart => starter.cold(machine, cold::Until::Ring3),
        Kind::ColdExit => starter.cold(machine, cold::Until::Exit),
    }
}

#[cfg(test)]
mod tests;
