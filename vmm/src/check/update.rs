//! The file again, with what was measured where that does not hold.

use std::collections::BTreeMap;

use toml_edit::{DocumentMut, Item, TableLike, Value};

use super::file::replace;
use super::judge::{Found, Judgement};
use super::{Bound, Case, CheckFile, Place};
use crate::compare::Machine;

/// A file that says what was measured.
#[derive(Clone, Debug)]
pub struct Update {
    /// Its text; comments, order and what holds are as they were.
    pub text: String,
    /// What stays as it was although it does not hold, and why: a line each.
    pub left: Vec<String>,
}

/// One place of the file, and what each machine has measured for it.
type Places<'a> = BTreeMap<&'a Place, Vec<(Machine, &'a Judgement)>>;

impl Update {
    /// The text of `file` after what `cases` have measured.
    pub fn of(file: &CheckFile, cases: &[Case]) -> Self {
        let mut places = Places::new();
        for case in cases {
            for figure in &case.figures {
                let measured = places.entry(&figure.place).or_default();
                measured.push((case.machine, figure));
            }
        }
        let mut document = file.document();
        let mut left = Vec::new();
        for (place, measured) in places {
            let Some((_, first)) = measured.iter().find(|(_, figure)| !figure.holds) else {
                continue;
            };
            let written = match value(&measured) {
                Some(value) => set(&mut document, place, value),
                None => None,
            };
            if written.is_none() {
                let path = file.path().display();
                let all: Vec<_> = measured
                    .iter()
                    .map(|(machine, figure)| format!("{} on {machine}", figure.measured))
                    .collect();
                left.push(format!(
                    "{path}:{}: {}: no one value says all of it: {}",
                    first.line,
                    first.figure,
                    all.join(", ")
                ));
            }
        }
        let text = document.to_string();
        Self { text, left }
    }
}

/// What holds on every machine that has measured it, if anything does.
fn value(measured: &[(Machine, &Judgement)]) -> Option<Value> {
    let mut found = measured.iter().map(|(_, figure)| &figure.found);
    let first = found.clone().next()?;
    match first {
        Found::Count(bound, _) => {
            let counts: Option<Vec<_>> = found
                .map(|found| match found {
                    Found::Count(_, count) => Some(*count),
                    _ => None,
                })
                .collect();
            let counts = counts?;
            let new = bound.about(counts.iter().copied().max()?);
            counts.iter().all(|&count| new.holds(count)).then_some(())?;
            match new {
                Bound::Exactly(count) => Some(i64::try_from(count).ok()?.into()),
                other => Some(other.to_string().into()),
            }
        }
        Found::Status(status) => found
            .all(|other| other == first)
            .then(|| i64::from(*status).into()),
        Found::Words(words) => found.all(|other| other == first).then(|| words.into()),
        Found::Unknown => None,
    }
}

/// Puts `value` at `place`, with the comments and blanks that are there.
fn set(document: &mut DocumentMut, place: &Place, value: Value) -> Option<()> {
    let (last, tables) = place.keys.split_last()?;
    let guest = document.get_mut("guest")?.get_mut(place.guest)?;
    let mut tables = tables.iter();
    let table = tables.try_fold(guest, |table: &mut Item, key| table.get_mut(key))?;
    let table: &mut dyn TableLike = table.as_table_like_mut()?;
    match table.get_mut(last) {
        Some(Item::Value(old)) => replace(old, value),
        _ => {
            table.insert(last, Item::Value(value));
        }
    }
    Some(())
}
