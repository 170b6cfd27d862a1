//! The comparison for people: exits, the guest's counters and times by machine, and the
//! verdict.

use std::fmt;

use super::{Cause, MachineSummary, Spread, Summary};
use crate::report::table::{self, duration, ratio};
use crate::report::text;

/// What stands for a figure that is not known.
const UNKNOWN: &str = "-";

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_head(f)?;
        self.write_exits(f)?;
        self.write_guest(f)?;
        self.write_times(f)?;
        self.write_causes(f)?;
        self.write_verdict(f)
    }
}

impl Summary {
    fn write_head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Program  {}", self.program)?;
        for argument in &self.args {
            write!(f, " {argument}")?;
        }
        match self.runs {
            1 => writeln!(f, ", one run on each machine\n")?,
            runs => writeln!(f, ", medians and ranges of {runs} runs on each machine\n")?,
        }
        let mut lines: Vec<_> = self
            .machines
            .iter()
            .map(|machine| {
                let what = text::machine(machine.accel, machine.host_kind, machine.apic);
                [machine.machine.to_string(), what]
            })
            .collect();
        lines.extend(self.missing.iter().map(|missing| {
            let reason = format!("not on this host: {}", missing.reason);
            [missing.machine.to_string(), reason]
        }));
        table::write(f, &lines, 2)
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
            lines.push(line([row.name.replace('_', " ")], counts, row.cause));
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
        let lines = [
            self.heading(["Time"]),
            row("wall", |machine| time(&machine.wall_ns)),
            row("  in the guest", |machine| time(&machine.guest_ns)),
            row("  in the VMM", |machine| time(&machine.vmm_ns)),
            row("  idle", |machine| time(&machine.idle_ns)),
            row("  setting up", |machine| time(&machine.setup_ns)),
            row("ring 3 after", |machine| {
                known(machine.boot_ns.as_ref(), time)
            }),
            row("slowdown, guest and VMM", |machine| {
                known(machine.slowdown.as_ref(), |slowdown| ratio(*slowdown) + "x")
            }),
            self.known_row("host instructions", |machine| &machine.host_instructions),
            row("  for each of the guest's", |machine| {
                known(machine.host_per_guest.as_ref(), |figure| ratio(*figure))
            }),
        ];
        writeln!(f)?;
        table::write(f, &lines, 1)?;
        self.write_why_uncounted(f)
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
            writeln!(f, "  host instructions are not counted: {reason}")?;
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
        for cause in Cause::ALL.into_iter().filter(|cause| met.contains(cause)) {
            writeln!(f, "  {}  {}", cause.mark(), cause.explanation())?;
        }
        Ok(())
    }

    fn write_verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = &self.verdict;
        writeln!(f)?;
        if let Some(why) = &verdict.not_deterministic {
            writeln!(f, "Verdict  none, the program is not deterministic: {why}")?;
        } else if self.machines.len() < 2 {
            writeln!(f, "Verdict  none, there is only one machine")?;
        } else if verdict.differences.is_empty() {
            writeln!(
                f,
                "Verdict  port I/O, output and outcome are the same on all machines"
            )?;
        } else {
            writeln!(f, "Verdict  the machines DIFFER")?;
        }
        for difference in &verdict.differences {
            writeln!(f, "  {difference}")?;
        }
        Ok(())
    }

    fn heading<const N: usize>(&self, labels: [&str; N]) -> Vec<String> {
        let machines = self
            .machines
            .iter()
            .map(|machine| machine.machine.to_string());
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

/// As in "12", or "12 (11 to 14)" where runs differ.
fn count(spread: &Spread) -> String {
    match spread.constant() {
        Some(count) => count.to_string(),
        None => format!("{} ({} to {})", spread.median, spread.min, spread.max),
    }
}

/// As in "1.23 ms", or "1.23 ms (980 us to 2.04 ms)" where runs differ.
fn time(spread: &Spread) -> String {
    let [median, min, max] = [spread.median, spread.min, spread.max].map(|ns| duration(ns as f64));
    match spread.constant() {
        Some(_) => median,
        None => format!("{median} ({min} to {max})"),
    }
}
