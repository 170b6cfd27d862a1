//! Whether the machines agree on what must not depend on them.

use abi::ports;
use serde::Serialize;

use super::{Column, Run};
use crate::exit::ExitReason;
use crate::report::{ExitDetail, OutcomeKind};

/// Differing ports that are named one by one.
const NAMED_PORTS: usize = 8;
/// Where a guest's first bytes of output and of errors go.
const CONSOLES: [ExitDetail; 2] = [
    ExitDetail::Port(ports::SERIAL as u64),
    ExitDetail::Port(ports::ERRORS as u64),
];

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

/// Why machines with several CPUs are not held against each other: each that differs has printed the
/// same lines in another order, which is up to nobody, and done nothing else in another way.
fn reordering(columns: &[Column]) -> Option<String> {
    let (reference, others) = columns.split_first()?;
    if reference.first.report.cpus == 1 {
        return None;
    }
    let mut reordered = None;
    for other in others {
        let [one, two] = [&reference.first, &other.first];
        if compare(one, two).is_empty() {
            continue;
        }
        if !differ_in_order(one, two) {
            return None;
        }
        reordered.get_or_insert(other.machine);
    }
    let [one, other] = [reference.machine, reordered?];
    Some(format!(
        "several CPUs print the same lines in another order on {one} than on {other}"
    ))
}

/// Whether two runs differ in the order of lines alone, and in how many bytes went through ports
/// before the virtio consoles took over, which do so between two writes.
fn differ_in_order(one: &Run, other: &Run) -> bool {
    one.report.outcome == other.report.outcome
        && one.output.is_reordered(&other.output)
        && differing_ports(one, other)
            .all(|(reason, detail, _)| reason == ExitReason::PioOut && CONSOLES.contains(&detail))
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
    let ports = differing_ports(one, other)
        .map(|(reason, detail, [a, b])| format!("{} {detail}: {a} and {b} items", reason.name()));
    let ports: Vec<_> = ports.collect();
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

/// Kinds of port I/O that the runs did not do equally often, with how many items each had.
fn differing_ports(
    one: &Run,
    other: &Run,
) -> impl Iterator<Item = (ExitReason, ExitDetail, [u64; 2])> {
    let mut keys: Vec<(ExitReason, ExitDetail)> = [one, other]
        .iter()
        .flat_map(|run| run.report.exits.rows())
        .map(|row| (row.reason, row.detail))
        .filter(|(reason, _)| matches!(reason, ExitReason::PioIn | ExitReason::PioOut))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter().filter_map(move |(reason, detail)| {
        let items = [one, other].map(|run| run.report.exits.items_of(reason, detail));
        (items[0] != items[1]).then_some((reason, detail, items))
    })
}
