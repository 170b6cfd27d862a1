//! Whether the machines agree on what must not depend on them.

use serde::Serialize;

use super::{Column, Run};
use crate::exit::ExitReason;
use crate::report::{ExitDetail, OutcomeKind};

/// Differing ports that are named one by one.
const NAMED_PORTS: usize = 8;

/// The judgement on a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Why the program's runs cannot be compared with each other; null for a program that
    /// does the same in every run.
    pub not_deterministic: Option<String>,
    /// What differs between machines although it should not: port I/O, output, outcome.
    pub differences: Vec<String>,
}

impl Verdict {
    /// Whether the machines agree: a deterministic program did the same on all of them, or
    /// the program is not deterministic.
    pub fn agrees(&self) -> bool {
        self.not_deterministic.is_some() || self.differences.is_empty()
    }

    pub(super) fn of(columns: &[Column]) -> Self {
        let not_deterministic = columns.iter().find_map(|column| {
            variation(column).map(|what| format!("{what} on {}", column.machine))
        });
        let not_deterministic = not_deterministic.or_else(|| reordering(columns));
        let mut differences = Vec::new();
        if let Some((reference, others)) = columns.split_first() {
            for other in others {
                let found = compare(&reference.first, &other.first);
                let names = format!("{} and {}", reference.machine, other.machine);
                differences.extend(found.iter().map(|what| format!("{names}: {what}")));
            }
        }
        Self {
            not_deterministic,
            differences,
        }
    }
}

/// How runs on one machine vary, if they do, or why they must.
fn variation(column: &Column) -> Option<String> {
    let timed_out = |run: &Run| run.report.outcome.kind == OutcomeKind::Timeout;
    if column.runs().any(timed_out) {
        return Some("the time limit ended a run".to_owned());
    }
    column
        .more
        .iter()
        .flat_map(|run| compare(&column.first, run))
        .next()
        .map(|what| format!("two runs differ ({what})"))
}

/// Where several CPUs have printed the same lines in another order: which is first is up to nobody.
fn reordering(columns: &[Column]) -> Option<String> {
    let (reference, others) = columns.split_first()?;
    if reference.first.report.cpus == 1 {
        return None;
    }
    let output = &reference.first.output;
    let other = others
        .iter()
        .find(|other| output.is_reordered(&other.first.output))?;
    let [one, other] = [reference.machine, other.machine];
    Some(format!(
        "several CPUs print the same lines in another order on {one} than on {other}"
    ))
}

/// Differences between two runs in what should be the same.
fn compare(one: &Run, other: &Run) -> Vec<String> {
    let mut differences = Vec::new();
    let [a, b] = [one, other].map(|run| &run.report.outcome);
    if a != b {
        differences.push(format!("outcome: {a}, {b}"));
    }
    if let Some(difference) = one.output.difference(&other.output) {
        differences.push(format!("output: {difference}"));
    }
    let ports = port_differences(one, other);
    if ports.len() > NAMED_PORTS {
        differences.push(format!(
            "counts differ for {} kinds of port I/O",
            ports.len()
        ));
    } else {
        differences.extend(ports);
    }
    differences
}

fn port_differences(one: &Run, other: &Run) -> Vec<String> {
    let mut keys: Vec<(ExitReason, ExitDetail)> = [one, other]
        .iter()
        .flat_map(|run| run.report.exits.rows())
        .map(|row| (row.reason, row.detail))
        .filter(|(reason, _)| matches!(reason, ExitReason::PioIn | ExitReason::PioOut))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter()
        .filter_map(|(reason, detail)| {
            let [a, b] = [one, other].map(|run| run.report.exits.items_of(reason, detail));
            (a != b).then(|| format!("{} {detail}: {a} and {b} items", reason.name()))
        })
        .collect()
}
