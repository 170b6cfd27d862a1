//! The figures of a comparison: what the table shows and the JSON holds.

use serde::Serialize;

use super::{Cause, Column, Comparison, Machine, Missing, Spread, Verdict};
use crate::cpu::{Accel, HostKind};
use crate::devices::ApicMode;
use crate::exit::ExitReason;
use crate::report::{self, ExitDetail, GuestCpu, Outcome, OutcomeKind, Report};

/// A comparison in figures. Lists by machine are in the order of `machines`.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The program's name.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// CPUs of each machine.
    pub cpus: u8,
    /// Runs on each machine.
    pub runs: usize,
    /// Whether the machines agree.
    pub verdict: Verdict,
    /// The machines that ran the program.
    pub machines: Vec<MachineSummary>,
    /// The machines that this host does not have.
    pub missing: Vec<Missing>,
    /// Exits by reason and detail, in the order of reports.
    pub exits: Vec<ExitComparison>,
    /// The guest's own counters.
    pub guest: Vec<GuestComparison>,
}

/// One machine. Times are in nanoseconds; of counts and times that are not known, null.
#[derive(Clone, Debug, Serialize)]
pub struct MachineSummary {
    /// Which.
    pub machine: Machine,
    /// What ran the guest.
    pub accel: Accel,
    /// Who kept the local APIC.
    pub apic: ApicMode,
    /// What is behind the accelerator.
    pub host_kind: HostKind,
    /// How the first run ended.
    pub outcome: Outcome,
    /// Bytes that the guest printed in the first run.
    pub output_bytes: u64,
    /// All exits.
    pub exits_total: Spread,
    /// From making the machine to the guest's end.
    pub wall_ns: Spread,
    /// From making the machine to the first instruction in ring 3.
    pub boot_ns: Option<Spread>,
    /// Making the machine and ending it.
    pub setup_ns: Spread,
    /// In the guest: see [`crate::report::Times`].
    pub guest_ns: Spread,
    /// In the VMM.
    pub vmm_ns: Spread,
    /// Halted.
    pub idle_ns: Spread,
    /// Time in guest and VMM against the fastest machine's: 1 for that one; null for a
    /// machine that failed.
    pub slowdown: Option<f64>,
    /// Guest instructions in ring 0, where they are counted.
    pub ring0_instructions: Option<Spread>,
    /// Guest instructions in ring 3, where they are counted.
    pub ring3_instructions: Option<Spread>,
    /// The host's instructions on the vCPU's thread.
    pub host_instructions: Option<Spread>,
    /// Why these are not known.
    pub host_instructions_error: Option<String>,
    /// The host's instructions for each one of the guest.
    pub host_per_guest: Option<f64>,
    /// Every run as `vmm run` reports it.
    pub reports: Vec<Report>,
}

/// Exits of one reason and detail on each machine.
#[derive(Clone, Debug, Serialize)]
pub struct ExitComparison {
    /// Why.
    pub reason: ExitReason,
    /// What about.
    pub detail: ExitDetail,
    /// How many on each machine.
    pub counts: Vec<Spread>,
    /// What makes them differ; null where they are the same everywhere.
    pub cause: Option<Cause>,
}

/// One of the guest's own counters on each machine.
#[derive(Clone, Debug, Serialize)]
pub struct GuestComparison {
    /// As in the guest's part of a report.
    pub name: &'static str,
    /// Its value on each machine, where known.
    pub counts: Vec<Option<Spread>>,
    /// What makes it differ; null where it is the same everywhere.
    pub cause: Option<Cause>,
}

/// A guest counter's name, its value in a report, and what makes it differ.
type GuestCounter = (&'static str, fn(&Report) -> Option<u64>, Cause);

const GUEST_COUNTERS: [GuestCounter; 6] = [
    ("syscalls", |report| report.guest.syscalls, Cause::Program),
    (
        "context_switches",
        |report| report.guest.context_switches,
        Cause::Timer,
    ),
    (
        "timer_ticks",
        |report| report.guest.timer_ticks,
        Cause::Timer,
    ),
    (
        "page_faults",
        |report| report.guest.page_faults,
        Cause::Program,
    ),
    ("forks", |report| report.guest.forks, Cause::Program),
    ("frames", |report| report.guest.frames, Cause::Software),
];

/// Those of several CPUs.
const CPU_COUNTERS: [GuestCounter; 3] = [
    (
        "wake_ipis",
        |report| of_all_cpus(report, |cpu| cpu.wake_ipis),
        Cause::Cpus,
    ),
    (
        "flush_ipis",
        |report| of_all_cpus(report, |cpu| cpu.flush_ipis),
        Cause::Cpus,
    ),
    (
        "shootdowns",
        |report| of_all_cpus(report, |cpu| cpu.shootdowns),
        Cause::Cpus,
    ),
];

/// A figure of all CPUs together, if the guest's kernel says it.
fn of_all_cpus(report: &Report, figure: fn(GuestCpu) -> u64) -> Option<u64> {
    let mut figures = report.vcpus.iter().map(|vcpu| vcpu.guest.map(figure));
    figures.try_fold(0_u64, |sum, figure| Some(sum.saturating_add(figure?)))
}

/// CPUs of each machine.
fn cpus(columns: &[Column]) -> u8 {
    columns.first().map_or(1, |column| column.first.report.cpus)
}

impl Summary {
    pub(super) fn new(comparison: &Comparison) -> Self {
        let columns = &comparison.columns;
        let mut machines: Vec<_> = columns.iter().map(MachineSummary::new).collect();
        compare_speed(&mut machines);
        Self {
            program: comparison.program.clone(),
            args: comparison.args.clone(),
            cpus: cpus(columns),
            runs: columns.first().map_or(0, |column| column.runs().count()),
            verdict: Verdict::of(columns),
            machines,
            missing: comparison.missing.clone(),
            exits: compare_exits(columns),
            guest: compare_guest_counters(columns),
        }
    }

    /// The summary as one JSON object, indented, with a newline at its end.
    pub fn to_json(&self) -> String {
        report::json(self)
    }
}

impl MachineSummary {
    fn new(column: &Column) -> Self {
        let first = &column.first.report;
        Self {
            machine: column.machine,
            accel: first.accel,
            apic: first.apic,
            host_kind: first.host_kind,
            outcome: first.outcome.clone(),
            output_bytes: column.first.output.len(),
            exits_total: column.spread(|report| report.exits.total()),
            wall_ns: column.spread(|report| report.wall_ns),
            boot_ns: column.known(|report| report.boot_ns),
            setup_ns: column.spread(|report| report.time.setup_ns),
            guest_ns: column.spread(|report| report.time.guest_ns),
            vmm_ns: column.spread(|report| report.time.vmm_ns),
            idle_ns: column.spread(|report| report.time.idle_ns),
            slowdown: None,
            ring0_instructions: column.known(|report| report.ring_instructions().0),
            ring3_instructions: column.known(|report| report.ring_instructions().1),
            host_instructions: column.known(|report| report.host_instructions.as_ref()?.total),
            host_instructions_error: column
                .reports()
                .find_map(|report| report.host_instructions.as_ref()?.error.clone()),
            host_per_guest: None,
            reports: column.reports().cloned().collect(),
        }
    }

    /// Time in guest and VMM, if it ran the guest.
    fn busy_ns(&self) -> Option<u64> {
        let ran = self.outcome.kind != OutcomeKind::Error;
        ran.then(|| self.guest_ns.median.saturating_add(self.vmm_ns.median))
    }

    /// Guest instructions in both rings, the median.
    fn instructions(&self) -> Option<u64> {
        let (ring0, ring3) = (self.ring0_instructions?, self.ring3_instructions?);
        Some(ring0.median.saturating_add(ring3.median))
    }
}

/// Fills in what depends on the other machines. Where a machine does not count guest
/// instructions, the emulator's count of the same program stands in.
fn compare_speed(machines: &mut [MachineSummary]) {
    let fastest = machines.iter().filter_map(MachineSummary::busy_ns).min();
    let fastest = fastest.unwrap_or(0).max(1);
    let emulated = machines
        .iter()
        .find(|machine| machine.accel == Accel::Emu)
        .and_then(MachineSummary::instructions);
    for machine in machines {
        machine.slowdown = machine.busy_ns().map(|busy| busy as f64 / fastest as f64);
        let guest = machine
            .instructions()
            .or(emulated)
            .filter(|&count| count > 0);
        machine.host_per_guest = machine
            .host_instructions
            .zip(guest)
            .map(|(host, guest)| host.median as f64 / guest as f64);
    }
}

fn compare_exits(columns: &[Column]) -> Vec<ExitComparison> {
    let mut keys: Vec<(ExitReason, ExitDetail)> = columns
        .iter()
        .flat_map(Column::reports)
        .flat_map(|report| report.exits.rows())
        .map(|row| (row.reason, row.detail))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    let are_several = cpus(columns) > 1;
    keys.into_iter()
        .map(|(reason, detail)| {
            let count = |report: &Report| report.exits.count_of(reason, detail);
            let counts: Vec<_> = columns.iter().map(|column| column.spread(count)).collect();
            let items = |report: &Report| report.exits.items_of(reason, detail);
            let items: Vec<_> = columns.iter().map(|column| column.spread(items)).collect();
            let cause = (!all_equal(&counts)).then(|| match all_equal(&items) {
                true => Cause::Input,
                false => on_cpus(
                    Cause::of_exit(reason, detail),
                    are_several && is_mmio(reason),
                ),
            });
            ExitComparison {
                reason,
                detail,
                counts,
                cause,
            }
        })
        .collect()
}

/// Whether it is about a device, such as the virtio consoles, that takes as much as there is at once.
fn is_mmio(reason: ExitReason) -> bool {
    matches!(reason, ExitReason::MmioRead | ExitReason::MmioWrite)
}

/// What makes a count differ that has this cause on one CPU: of several each may come first.
fn on_cpus(cause: Cause, are_several: bool) -> Cause {
    match cause {
        Cause::Program | Cause::Software if are_several => Cause::Cpus,
        cause => cause,
    }
}

fn compare_guest_counters(columns: &[Column]) -> Vec<GuestComparison> {
    let are_several = cpus(columns) > 1;
    let mut kinds = columns.iter().map(|column| column.first.report.host_kind);
    let is_software = kinds.any(|kind| kind == HostKind::Software);
    let of_cpus = CPU_COUNTERS.into_iter().filter(|_| are_several);
    GUEST_COUNTERS
        .into_iter()
        .chain(of_cpus)
        .map(|(name, value, cause)| {
            let counts: Vec<_> = columns.iter().map(|column| column.known(value)).collect();
            let known: Vec<_> = counts.iter().flatten().copied().collect();
            let cause = match cause {
                Cause::Software if !is_software => Cause::Program,
                cause => cause,
            };
            GuestComparison {
                name,
                counts,
                cause: cause_of(&known, on_cpus(cause, are_several)),
            }
        })
        .collect()
}

/// What makes a guest counter differ, if it does: where it varies on one machine already,
/// the time that passes.
fn cause_of(counts: &[Spread], usual: Cause) -> Option<Cause> {
    let varies = counts.iter().any(|spread| spread.constant().is_none());
    match usual {
        _ if all_equal(counts) => None,
        Cause::Program | Cause::Software if varies => Some(Cause::Timer),
        usual => Some(usual),
    }
}

/// Whether every run on every machine gave the same.
fn all_equal(counts: &[Spread]) -> bool {
    counts.iter().all(|spread| spread.constant().is_some())
        && counts.windows(2).all(|pair| pair[0] == pair[1])
}

#[cfg(test)]
mod tests {
    use super::{Cause, HostKind, compare_guest_counters};
    use crate::compare::Machine;
    use crate::compare::tests::{column, run};

    #[test]
    fn a_kind_of_kvm_takes_frames_of_its_own() {
        let cause = |kind, frames: &[u64]| {
            let runs = |machine, frames: &[u64]| {
                let one = |&frames| {
                    let mut run = run(machine, &[], 1, "");
                    run.report.guest.frames = Some(frames);
                    if machine == Machine::Kvm {
                        run.report.host_kind = kind;
                    }
                    run
                };
                column(machine, frames.iter().map(one).collect())
            };
            let columns = [runs(Machine::Kvm, frames), runs(Machine::Emu, &[17, 17])];
            let rows = compare_guest_counters(&columns).into_iter();
            let mut rows = rows.filter(|row| row.name == "frames");
            rows.next().expect("it is there").cause
        };
        use HostKind::{Hardware, Software};
        assert_eq!(cause(Software, &[17, 17]), None);
        assert_eq!(cause(Software, &[18, 18]), Some(Cause::Software));
        assert_eq!(cause(Software, &[18, 19]), Some(Cause::Timer));
        assert_eq!(cause(Hardware, &[18, 18]), Some(Cause::Program));
    }
}
