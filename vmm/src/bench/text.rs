//! The figures for people.

use std::fmt;

use super::{Bench, Figure, Measured};
use crate::compare::Machine;
use crate::printable::{printable, wrap};
use crate::report::table::{self, duration, ratio};

/// What stands for a figure that there is none of.
const UNKNOWN: &str = "-";

impl fmt::Display for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_head(f)?;
        let name = |measured: &Measured| [measured.name.to_owned()];
        let has = |part: fn(&Figure) -> bool| {
            move |measured: &Measured| measured.figures.iter().any(part)
        };
        self.write_by_machine(f, ["Time of an operation"], has(|_| true), name, |figure| {
            Some(duration(figure.ns.median))
        })?;
        self.write_by_machine(
            f,
            ["Of it in the VMM, where it exits"],
            has(exits),
            name,
            |figure| figure.counts.vmm_ns.map(duration),
        )?;
        let has_one_cpu = has(|figure| figure.one_cpu_ns.is_some());
        self.write_by_machine(f, ["On one CPU"], has_one_cpu, name, |figure| {
            figure.one_cpu_ns.map(duration)
        })?;
        let heading = format!("On {} CPUs against one", self.cpus);
        self.write_by_machine(f, [&heading], has_one_cpu, name, |figure| {
            Some(ratio(figure.ns.median / figure.one_cpu_ns?) + "x")
        })?;
        self.write_by_machine(
            f,
            ["Against the host, which runs the same"],
            has(|figure| figure.host_ns.is_some()),
            name,
            |figure| Some(ratio(figure.ns.median / figure.host_ns?) + "x"),
        )?;
        self.write_by_machine(
            f,
            ["Against the baseline"],
            has(|figure| figure.baseline_ratio.is_some()),
            name,
            |figure| Some(ratio(figure.baseline_ratio?) + "x"),
        )?;
        self.write_by_machine(
            f,
            ["VM exits of an operation"],
            has(|_| true),
            name,
            |figure| figure.counts.exits.map(count),
        )?;
        self.write_guest_counts(f)?;
        self.write_absent(f)
    }
}

/// Whether an operation is an exit or has some.
fn exits(figure: &Figure) -> bool {
    const SOME: f64 = 0.5;
    figure.counts.vmm_ns.is_some() && figure.counts.exits.is_some_and(|exits| exits > SOME)
}

impl Bench {
    fn write_head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = &self.host;
        let known = |text: &Option<String>| text.clone().unwrap_or_else(|| UNKNOWN.to_owned());
        let cpu = format!("{} ({} usable)", known(&host.cpu), host.cpus);
        f.write_str(&wrap("Host     ", &cpu))?;
        f.write_str(&wrap("Kernel   ", &known(&host.kernel)))?;
        match host.kvm {
            Some(kind) => writeln!(f, "KVM      {kind}: {}", kind.explanation())?,
            None => writeln!(f, "KVM      none")?,
        }
        writeln!(f, "Samples  {} of each, medians", self.samples)?;
        if self.cpus > 1 {
            let cpus = self.cpus;
            writeln!(f, "CPUs     {cpus} for measures that take several, else 1")?;
        }
        for missing in &self.missing {
            let reason = format!("not on this host: {}", missing.reason);
            f.write_str(&wrap(&format!("{}  ", missing.machine), &reason))?;
        }
        match &self.stopped {
            Some(outcome) => writeln!(f, "Stopped  early: {outcome}"),
            None => Ok(()),
        }
    }

    /// A table of the measures that are `wanted`: what `labels` says of each, and a cell
    /// for each machine.
    fn write_by_machine<const N: usize>(
        &self,
        f: &mut fmt::Formatter<'_>,
        heading: [&str; N],
        wanted: impl Fn(&Measured) -> bool,
        labels: impl Fn(&Measured) -> [String; N],
        cell: impl Fn(&Figure) -> Option<String>,
    ) -> fmt::Result {
        let names = self.machines.iter().map(Machine::to_string);
        let mut lines = vec![heading.map(String::from).into_iter().chain(names).collect()];
        for measured in self.measures.iter().filter(|measured| wanted(measured)) {
            let cells = self.machines.iter().map(|&machine| {
                let figure = measured.of(machine).and_then(&cell);
                figure.unwrap_or_else(|| UNKNOWN.to_owned())
            });
            lines.push(
                labels(measured)
                    .into_iter()
                    .chain(cells)
                    .collect::<Vec<_>>(),
            );
        }
        if lines.len() == 1 {
            return Ok(());
        }
        writeln!(f)?;
        table::write(f, &lines, N)
    }

    /// What the guest itself counts, by the first machine that knows.
    fn write_guest_counts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heading = [
            "Counts of an operation",
            "port exits",
            "system calls",
            "ring 0",
            "ring 3",
        ];
        let mut lines = vec![heading.map(String::from)];
        let measures = self.measures.iter();
        for measured in measures.filter(|measured| !measured.figures.is_empty()) {
            let known = |part: fn(&Figure) -> Option<f64>| {
                let counted = measured.figures.iter().find_map(part);
                counted.map_or_else(|| UNKNOWN.to_owned(), count)
            };
            lines.push([
                measured.name.to_owned(),
                known(|figure| figure.counts.port_exits),
                known(|figure| figure.counts.syscalls),
                known(|figure| figure.counts.ring0_instructions),
                known(|figure| figure.counts.ring3_instructions),
            ]);
        }
        writeln!(f)?;
        table::write(f, &lines, 1)
    }

    /// A line for each reason that a measure is absent, with all machines that it is true of.
    fn write_absent(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self
            .measures
            .iter()
            .any(|measured| !measured.absent.is_empty())
        {
            writeln!(f, "\nNot measured")?;
        }
        for measured in &self.measures {
            for alike in measured.absent.chunk_by(|a, b| a.reason == b.reason) {
                let machines: Vec<_> = alike.iter().map(|absent| absent.machine.name()).collect();
                let what = format!("  {} on {}  ", measured.name, machines.join(", "));
                f.write_str(&wrap(&what, &printable(&alike[0].reason)))?;
            }
        }
        Ok(())
    }
}

impl Measured {
    fn of(&self, machine: Machine) -> Option<&Figure> {
        let mut figures = self.figures.iter();
        figures.find(|figure| figure.machine == machine)
    }
}

/// A count of an operation: whole where that is near enough.
fn count(count: f64) -> String {
    const DECIMALS_BELOW: f64 = 100.0;
    if count >= DECIMALS_BELOW || (count - count.round()).abs() < 0.005 {
        format!("{count:.0}")
    } else {
        format!("{count:.2}")
    }
}
