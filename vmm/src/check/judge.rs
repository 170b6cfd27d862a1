//! A run, held against what must hold.

use serde::Serialize;

use super::file::{Ending, Exits, Figures, Guest, Place};
use super::{Bound, CheckFile};
use crate::compare::{Machine, Run};
use crate::output::Transcript;
use crate::report::{ExitTable, Outcome, Report};

/// One figure of one guest on one machine.
#[derive(Clone, Debug, Serialize)]
pub struct Judgement {
    /// Its name, as the file has it: `ring0`, `exits pio_out`.
    pub figure: String,
    /// Line of the file that says what it must be.
    pub line: usize,
    /// What it must be.
    pub expected: String,
    /// What it is.
    pub measured: String,
    /// The same as a number, if it is a count.
    pub count: Option<u64>,
    /// How much it is more than that, where both are counts.
    pub more: Option<i64>,
    /// The same in percent, where that can be said.
    pub more_percent: Option<f64>,
    /// Whether it is as it must be.
    pub holds: bool,
    /// Where the file says it.
    #[serde(skip)]
    pub place: Place,
    /// What the file would have to say.
    #[serde(skip)]
    pub found: Found,
}

/// What was measured, for a file that is to say so.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// A count, and the form in which the file bounds it.
    Count(Bound, u64),
    /// An exit status.
    Status(u8),
    /// Words: an outcome, or all output.
    Words(String),
    /// Nothing that a file could say.
    Unknown,
}

impl Judgement {
    /// Expected and measured, and by how much these differ, as in `expected 2, measured 3 (+1,
    /// +50.0%)`.
    pub fn says(&self) -> String {
        let mut says = format!("expected {}, measured {}", self.expected, self.measured);
        if let (false, Some(more)) = (self.holds, self.more) {
            says.push_str(&match self.more_percent {
                Some(percent) => format!(" ({more:+}, {})", in_percent(percent)),
                None => format!(" ({more:+})"),
            });
        }
        says
    }
}

/// As in `+50.0%`, or `-0.03%`.
pub(super) fn in_percent(percent: f64) -> String {
    let decimals = if percent.abs() < 1.0 { 2 } else { 1 };
    format!("{percent:+.decimals$}%")
}

/// Everything that the file says of the guest with this number on `machine`, in its run there.
pub fn judge(file: &CheckFile, number: usize, machine: Machine, run: &Run) -> Vec<Judgement> {
    let guest = &file.guests[number];
    let place = |keys: &[&str]| Place {
        guest: number,
        keys: keys.iter().map(|&key| key.to_owned()).collect(),
    };
    let judgement = |place: Place, expected, measured, holds, found| Judgement {
        figure: name(&place.keys),
        line: file.line(&place),
        expected,
        measured,
        count: None,
        more: None,
        more_percent: None,
        holds,
        place,
        found,
    };
    let outcome = &run.report.outcome;
    let (expected, holds) = ends(guest.outcome.as_ref(), outcome);
    let found = match guest.outcome {
        Some(Ending::Words(_)) => Found::Words(outcome.to_string()),
        _ => Found::Status(outcome.exit_status()),
    };
    let mut all = vec![judgement(
        place(&["outcome"]),
        expected,
        outcome.to_string(),
        holds,
        found,
    )];
    if let Some(text) = &guest.output {
        let (expected, measured) = differing(&Transcript::of(text.as_bytes()), &run.output);
        let found = run.output.whole().map_or(Found::Unknown, Found::Words);
        let holds = expected == measured;
        all.push(judgement(
            place(&["output"]),
            expected,
            measured,
            holds,
            found,
        ));
    }
    if let Some(text) = &guest.contains {
        let holds = run.output.text().contains(text);
        let measured = if holds { "that" } else { "nothing such" };
        let (expected, measured) = (format!("{text:?}"), measured.to_owned());
        all.push(judgement(
            place(&["contains"]),
            expected,
            measured,
            holds,
            Found::Unknown,
        ));
    }
    for (keys, bound, count) in counts(guest, machine, &run.report) {
        let place = place(&keys.iter().map(String::as_str).collect::<Vec<_>>());
        let Some(count) = count else {
            let measured = "nothing: this machine does not count it".to_owned();
            all.push(judgement(
                place,
                bound.to_string(),
                measured,
                false,
                Found::Unknown,
            ));
            continue;
        };
        let found = Found::Count(bound, count);
        let bound = match (bound, file.margin) {
            (Bound::Exactly(count), Some(percent)) if is_of_compiler(&place) => {
                Bound::Within(count, percent)
            }
            _ => bound,
        };
        let more = i128::from(count) - i128::from(bound.count());
        let holds = bound.holds(count);
        all.push(Judgement {
            count: Some(count),
            more: i64::try_from(more).ok(),
            more_percent: (bound.count() != 0).then(|| 100.0 * more as f64 / bound.count() as f64),
            ..judgement(place, bound.to_string(), count.to_string(), holds, found)
        });
    }
    all
}

/// A figure without the table of its machine.
fn name(keys: &[String]) -> String {
    let of_machine = |key: &&String| Machine::ALL.iter().any(|machine| machine.name() == **key);
    let keys: Vec<_> = keys
        .iter()
        .skip_while(of_machine)
        .map(String::as_str)
        .collect();
    keys.join(" ")
}

/// What an end must be, and whether `outcome` is that.
fn ends(ending: Option<&Ending>, outcome: &Outcome) -> (String, bool) {
    match ending {
        Some(Ending::Words(words)) => {
            let bare = Outcome {
                message: None,
                ..outcome.clone()
            };
            let forms = [outcome, &bare].map(ToString::to_string);
            (words.clone(), forms.contains(words))
        }
        status => {
            let status = match status {
                Some(&Ending::Status(status)) => status,
                _ => 0,
            };
            (format!("status {status}"), outcome.exit_status() == status)
        }
    }
}

/// The first line in which outputs differ, of each; what both have in common, if they do not.
fn differing(expected: &Transcript, measured: &Transcript) -> (String, String) {
    match expected.differing_line(measured) {
        None if expected == measured => {
            let same = format!("{} bytes", measured.len());
            (same.clone(), same)
        }
        Some((number, lines)) => lines.map(|line| format!("line {number} {line}")).into(),
        None => [expected, measured]
            .map(|text| format!("{} bytes that begin alike", text.len()))
            .into(),
    }
}

/// Whether a figure depends on what has made the guest.
fn is_of_compiler(place: &Place) -> bool {
    let last = place.keys.last().map(String::as_str);
    matches!(last, Some("ring0" | "ring3" | "boot_instructions"))
}

type Counted = (Vec<String>, Bound, Option<u64>);

/// Every count that the file bounds, with the keys that lead to it; what a machine's table has
/// hides the same for all machines.
fn counts(guest: &Guest, machine: Machine, report: &Report) -> Vec<Counted> {
    let (table, figures) = match machine {
        Machine::Kvm => ("kvm", &guest.kvm),
        Machine::KvmUserApic => ("kvm_user_apic", &guest.kvm_user_apic),
        Machine::Emu | Machine::Interpreter => ("emu", &guest.emu),
    };
    let mut all = Vec::new();
    let own = named(figures, report).into_iter();
    all.extend(own.filter_map(|(name, bound, count)| {
        Some((vec![table.to_owned(), name.to_owned()], bound?, count))
    }));
    if let (Some(bound), None) = (guest.syscalls, figures.syscalls) {
        all.push((vec!["syscalls".to_owned()], bound, report.guest.syscalls));
    }
    let exits = |kind: Exits| Some(of(kind, &report.exits));
    all.extend(figures.exits.iter().map(|(kind, bound)| {
        let keys = [table, "exits", &kind.to_string()].map(str::to_owned);
        (keys.into(), *bound, exits(*kind))
    }));
    let common = guest.exits.iter();
    let common = common.filter(|(kind, _)| !figures.exits.contains_key(kind));
    all.extend(common.map(|(kind, bound)| {
        let keys = ["exits", &kind.to_string()].map(str::to_owned);
        (keys.into(), *bound, exits(*kind))
    }));
    all
}

/// The figures of a machine's table by their keys, and what a report says of them.
fn named(figures: &Figures, report: &Report) -> [(&'static str, Option<Bound>, Option<u64>); 8] {
    let (ring0, ring3) = report.ring_instructions();
    let guest = &report.guest;
    [
        ("ring0", figures.ring0, ring0),
        ("ring3", figures.ring3, ring3),
        (
            "boot_instructions",
            figures.boot_instructions,
            guest.boot_instructions,
        ),
        ("syscalls", figures.syscalls, guest.syscalls),
        (
            "context_switches",
            figures.context_switches,
            guest.context_switches,
        ),
        ("timer_ticks", figures.timer_ticks, guest.timer_ticks),
        ("page_faults", figures.page_faults, guest.page_faults),
        ("forks", figures.forks, guest.forks),
    ]
}

fn of(kind: Exits, exits: &ExitTable) -> u64 {
    match kind {
        Exits::Total => exits.total(),
        Exits::Of(reason) => exits.count(reason),
        Exits::At(reason, detail) => exits.count_of(reason, detail),
    }
}
