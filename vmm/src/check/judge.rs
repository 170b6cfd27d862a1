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
    let judge = Judge { file, number };
    let mut all = vec![judge.outcome(guest.outcome.as_ref(), &run.report.outcome)];
    all.extend(
        guest
            .output
            .as_ref()
            .map(|text| judge.output(text, &run.output)),
    );
    all.extend(
        guest
            .contains
            .as_ref()
            .map(|text| judge.part(text, &run.output)),
    );
    let counts = counts(guest, machine, &run.report).into_iter();
    all.extend(counts.map(|(keys, bound, count)| judge.count(keys, bound, count)));
    all
}

/// Who judges the guest with this number.
struct Judge<'a> {
    file: &'a CheckFile,
    number: usize,
}

impl Judge<'_> {
    /// What the file says at `keys`, and what was measured in its place.
    fn of(&self, keys: Vec<String>, [expected, measured]: [String; 2], found: Found) -> Judgement {
        let place = Place {
            guest: self.number,
            keys,
        };
        Judgement {
            figure: name(&place.keys),
            line: self.file.line(&place),
            holds: expected == measured,
            expected,
            measured,
            count: None,
            more: None,
            more_percent: None,
            place,
            found,
        }
    }

    fn outcome(&self, ending: Option<&Ending>, outcome: &Outcome) -> Judgement {
        let (expected, holds) = ends(ending, outcome);
        let found = match ending {
            Some(Ending::Words(_)) => Found::Words(outcome.to_string()),
            _ => Found::Status(outcome.exit_status()),
        };
        let words = [expected, outcome.to_string()];
        Judgement {
            holds,
            ..self.of(vec!["outcome".to_owned()], words, found)
        }
    }

    fn output(&self, text: &str, output: &Transcript) -> Judgement {
        let words = differing(&Transcript::of(text.as_bytes()), output);
        let found = output.whole().map_or(Found::Unknown, Found::Words);
        self.of(vec!["output".to_owned()], words, found)
    }

    fn part(&self, text: &str, output: &Transcript) -> Judgement {
        let holds = output.text().contains(text);
        let measured = if holds { "that" } else { "nothing such" };
        let words = [format!("{text:?}"), measured.to_owned()];
        Judgement {
            holds,
            ..self.of(vec!["contains".to_owned()], words, Found::Unknown)
        }
    }

    fn count(&self, keys: Vec<String>, bound: Bound, count: Option<u64>) -> Judgement {
        let Some(count) = count else {
            let words = [
                bound.to_string(),
                "nothing: this machine does not count it".to_owned(),
            ];
            return self.of(keys, words, Found::Unknown);
        };
        let found = Found::Count(bound, count);
        let bound = match (bound, self.file.margin) {
            (Bound::Exactly(count), Some(percent)) if is_of_compiler(&keys) => {
                Bound::Within(count, percent)
            }
            _ => bound,
        };
        let more = i128::from(count) - i128::from(bound.count());
        let words = [bound.to_string(), count.to_string()];
        Judgement {
            holds: bound.holds(count),
            count: Some(count),
            more: i64::try_from(more).ok(),
            more_percent: (bound.count() != 0).then(|| 100.0 * more as f64 / bound.count() as f64),
            ..self.of(keys, words, found)
        }
    }
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
fn differing(expected: &Transcript, measured: &Transcript) -> [String; 2] {
    match expected.differing_line(measured) {
        None if expected == measured => {
            let same = format!("{} bytes", measured.len());
            [same.clone(), same]
        }
        Some((number, lines)) => lines.map(|line| format!("line {number} {line}")),
        None => [expected, measured].map(|text| format!("{} bytes that begin alike", text.len())),
    }
}

/// Whether a figure depends on what has made the guest.
fn is_of_compiler(keys: &[String]) -> bool {
    let last = keys.last().map(String::as_str);
    matches!(
        last,
        Some("ring0" | "ring3" | "boot_instructions" | "frames")
    )
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
fn named(figures: &Figures, report: &Report) -> [(&'static str, Option<Bound>, Option<u64>); 9] {
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
        ("frames", figures.frames, guest.frames),
    ]
}

fn of(kind: Exits, exits: &ExitTable) -> u64 {
    match kind {
        Exits::Total => exits.total(),
        Exits::Of(reason) => exits.count(reason),
        Exits::At(reason, detail) => exits.count_of(reason, detail),
    }
}
