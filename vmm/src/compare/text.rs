//! The comparison for people: exits, the guest's counters and times by machine, and the
//! verdict.

use std::fmt;

use super::{Cause, Machine, MachineSummary, Spread, Summary};
use crate::printable::{printable, wrap};
use crate::report::table::{self, duration, ratio};
use crate::report::text;

/// What stands for a figure that is not known.
const UNKNOWN: &str = "-";

/// Where a run's time went: a label, and the figure where it is known.
type Time = (&'static str, fn(&MachineSummary) -> Option<&Spread>);

const TIMES: [Time; 6] = [
    ("wall", |machine| Some(&machine.wall_ns)),
    ("  in the guest", |machine| Some(&machine.guest_ns)),
    ("  in the VMM", |machine| Some(&machine.vmm_ns)),
    ("  idle", |machine| Some(&machine.idle_ns)),
    ("  setting up", |machine| Some(&machine.setup_ns)),
    ("ring 3 after", |machine| machine.boot_ns.as_ref()),
];

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_head(f)?;
        self.write_exits(f)?;
        self.write_guest(f)?;
        self.write_times(f)?;
        self.write_ranges(f)?;
        self.write_why_uncounted(f)?;
        self.write_causes(f)?;
        self.write_verdict(f)
    }
}

impl Summary {
    fn write_head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = vec![printable(&self.program)];
        words.extend(self.args.iter().map(|argument| printable(argument)));
        let how = match self.runs {
            1 => "one run on each machine".to_owned(),
            runs => format!("medians of {runs} runs on each machine"),
        };
        let cpus = match self.cpus {
            1 => String::new(),
            cpus => format!("{cpus} CPUs, "),
        };
        let what = format!("{}, {cpus}{how}", words.join(" "));
        writeln!(f, "{}", wrap("Program  ", &what))?;
        let ran = self.machines.iter().map(|machine| {
            let what = text::machine(machine.accel, machine.host_kind, machine.apic);
            let how = match machine.machine {
                Machine::Interpreter => ", nothing translated",
                Machine::Kvm | Machine::KvmUserApic | Machine::Emu => "",
            };
            (machine.machine, what + how)
        });
        let missing = self.missing.iter().map(|missing| {
            let reason = format!("not on this host: {}", missing.reason);
            (missing.machine, reason)
        });
        let width = Machine::ALL.iter().map(|machine| machine.name().len());
        let width = width.into_iter().max().unwrap_or(0);
        for (machine, what) in ran.chain(missing) {
            f.write_str(&wrap(&format!("  {:width$}  ", machine.name()), &what))?;
        }
        Ok(())
    }

    fn write_exits(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = vec![self.heading(["VM exits", "detail", "device"])];
        for row in &self.exits {
            let device = text::device(row.detail).to_owned();
            let labels = [row.reason.name().to_owned(), row.detail.to_string(), device];
            let counts = row.counts.iter().map(count);
            lines.push(line(labels, counts, row.cause));
        }
        let totals = self
            .machines
            .iter()
            .map(|machine| count(&machine.exits_total));
        lines.push(line(["total", "", ""].map(String::from), totals, None));
        writeln!(f)?;
        table::write(f, &lines, 3)
    }

    fn write_guest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = vec![self.heading(["Guest"])];
        for row in &self.guest {
            let counts = row
                .counts
                .iter()
                .map(|counts| known(counts.as_ref(), count));
            lines.push(line([label(row.name)], counts, row.cause));
        }
        lines.push(self.known_row("instructions, ring 0", |machine| {
            &machine.ring0_instructions
        }));
        lines.push(self.known_row("instructions, ring 3", |machine| {
            &machine.ring3_instructions
        }));
        writeln!(f)?;
        table::write(f, &lines, 1)
    }

    fn write_times(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |label: &str, figure: fn(&MachineSummary) -> String| {
            line([label.to_owned()], self.machines.iter().map(figure), None)
        };
        let mut lines = vec![self.heading(["Time"])];
        for (label, figure) in TIMES {
            let figures = self
                .machines
                .iter()
                .map(|machine| known(figure(machine), time));
            lines.push(line([label.to_owned()], figures, None));
        }
        lines.extend([
            row("slowdown, guest and VMM", |machine| {
                known(machine.slowdown.as_ref(), |slowdown| ratio(*slowdown) + "x")
            }),
            self.known_row("host instructions", |machine| &machine.host_instructions),
            row("  for each of the guest's", |machine| {
                known(machine.host_per_guest.as_ref(), |figure| ratio(*figure))
            }),
        ]);
        writeln!(f)?;
        table::write(f, &lines, 1)
    }

    /// The ranges of what differs between runs on one machine.
    fn write_ranges(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = vec![self.heading(["Ranges"])];
        let mut row =
            |label: String, spreads: Vec<Option<&Spread>>, show: fn(&Spread) -> String| {
                let mut spread = spreads.iter().flatten();
                if spread.any(|spread| spread.constant().is_none()) {
                    let cells = spreads.iter().map(|&spread| known(spread, show));
                    lines.push(line([label], cells, None));
                }
            };
        for exit in &self.exits {
            let label = format!("{} {}", exit.reason.name(), exit.detail);
            let spreads = exit.counts.iter().map(Some).collect();
            row(label.trim_end().to_owned(), spreads, count_range);
        }
        for counter in &self.guest {
            let spreads = counter.counts.iter().map(Option::as_ref).collect();
            row(label(counter.name), spreads, count_range);
        }
        for (label, figure) in TIMES {
            let spreads = self.machines.iter().map(figure).collect();
            row(label.trim_start().to_owned(), spreads, time_range);
        }
        if lines.len() == 1 {
            return Ok(());
        }
        writeln!(f)?;
        table::write(f, &lines, 1)
    }

    /// Why there is no count of host instructions, once for each reason.
    fn write_why_uncounted(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut reasons: Vec<_> = self
            .machines
            .iter()
            .filter_map(|machine| machine.host_instructions_error.as_deref())
            .collect();
        reasons.dedup();
        for reason in reasons {
            f.write_str(&wrap("  host instructions are not counted: ", reason))?;
        }
        Ok(())
    }

    fn write_causes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exits = self.exits.iter().map(|row| row.cause);
        let guest = self.guest.iter().map(|row| row.cause);
        let met: Vec<_> = exits.chain(guest).flatten().collect();
        if met.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nWhy counts differ")?;
        for cause in Cause::ALL.iter().filter(|cause| met.contains(cause)) {
            let mark = format!("  {}  ", cause.mark());
            f.write_str(&wrap(&mark, cause.explanation()))?;
        }
        Ok(())
    }

    fn write_verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.verdict_text();
        write!(f, "\n{}", wrap("Verdict  ", &text))?;
        for difference in &self.verdict.differences {
            f.write_str(&wrap("  ", &printable(difference)))?;
        }
        Ok(())
    }

    /// The judgement in words.
    pub(crate) fn verdict_text(&self) -> String {
        let verdict = &self.verdict;
        if let Some(why) = &verdict.not_deterministic {
            format!("none, the program is not deterministic: {why}")
        } else if self.machines.len() < 2 {
            "none, there is only one machine".to_owned()
        } else if verdict.differences.is_empty() {
            "port I/O, output and outcome are the same on all machines".to_owned()
        } else {
            "the machines DIFFER".to_owned()
        }
    }

    fn heading<const N: usize>(&self, labels: [&str; N]) -> Vec<String> {
        let machines = self
            .machines
            .iter()
            .map(|machine| column(machine.machine).to_owned());
        line(labels.map(String::from), machines, None)
    }

    fn known_row(
        &self,
        label: &str,
        figure: fn(&MachineSummary) -> &Option<Spread>,
    ) -> Vec<String> {
        let figures = self.machines.iter().map(figure);
        let counts = figures.map(|figure| known(figure.as_ref(), count));
        line([label.to_owned()], counts, None)
    }
}

/// What is above a machine's column: the beginning of its name, so that all fit side by side.
fn column(machine: Machine) -> &'static str {
    match machine {
        Machine::KvmUserApic => "kvm_user",
        Machine::Interpreter => "interp",
        Machine::Kvm | Machine::Emu => machine.name(),
    }
}

/// A counter's name in words.
fn label(name: &str) -> String {
    name.replace('_', " ").replace("ipis", "IPIs")
}

/// Labels, a figure a machine, and the mark of a difference.
fn line<const N: usize>(
    labels: [String; N],
    figures: impl Iterator<Item = String>,
    cause: Option<Cause>,
) -> Vec<String> {
    let mark = cause.map_or_else(String::new, |cause| cause.mark().to_string());
    labels.into_iter().chain(figures).chain([mark]).collect()
}

fn known<T>(figure: Option<&T>, text: fn(&T) -> String) -> String {
    figure.map_or_else(|| UNKNOWN.to_owned(), text)
}

fn count(spread: &Spread) -> String {
    spread.median.to_string()
}

fn time(spread: &Spread) -> String {
    duration(spread.median as f64)
}

/// As in "11-14", or "12" where all runs have that.
fn count_range(spread: &Spread) -> String {
    match spread.constant() {
        Some(count) => count.to_string(),
        None => format!("{}-{}", spread.min, spread.max),
    }
}

/// As in "29.7-36.6 ms", "980 us-2.04 ms".
fn time_range(spread: &Spread) -> String {
    let [min, max] = [spread.min, spread.max].map(|ns| duration(ns as f64));
    match (min.split_once(' '), max.split_once(' ')) {
        _ if min == max => min,
        (Some((least, unit)), Some((_, other))) if unit == other => format!("{least}-{max}"),
        _ => format!("{min}-{max}"),
    }
}
