//! Sequences that once ended differently: files in `cases/`, each with the processor's
//! result. Every engine must give the same.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use libtest_mimic::Failed;

use super::case::{Case, Image, Patch};
use super::compare::{self, Difference, Scope};
use super::explain;
use super::layout::WRITABLE;
use super::load::page_of;
use super::machine::Machine;
use super::pair::Engine;
use super::text::{self, Expected, Kept, ROW};
use super::vendor;
use super::watchdog::Watchdog;

/// Runs every kept sequence on `engine`.
///
/// # Errors
/// Those that end differently, and in what.
pub fn check_all(engine: Engine, watchdog: &Watchdog) -> Result<(), Failed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/equivalence/cases");
    let mut machine = Machine::of(engine, watchdog)?;
    let (mut failures, mut count) = (String::new(), 0);
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.display();
        let kept = text::read(&fs::read_to_string(&path)?);
        let kept = kept.map_err(|error| format!("{name}: {error}"))?;
        count += 1;
        let actual = run(&mut machine, &kept.case, kept.missing);
        let Some(expected) = &kept.expected else {
            let found = Kept {
                expected: Some(actual),
                ..kept
            };
            let _ = writeln!(failures, "{name} expects nothing; {engine:?} does this:");
            failures += &text::write(&found);
            continue;
        };
        let differences = differences(engine, &kept, expected, &actual);
        if !differences.is_empty() {
            let _ = writeln!(failures, "{name}: found, expected");
        }
        for difference in differences {
            let _ = writeln!(failures, "  {difference}");
        }
    }
    if count == 0 {
        return Err("no sequence is kept".into());
    }
    match failures.is_empty() {
        true => Ok(()),
        false => Err(failures.into()),
    }
}

/// What `case` does on `machine`, by itself.
pub fn run(machine: &mut Machine, case: &Case, missing: Option<usize>) -> Expected {
    let cases = std::slice::from_ref(case);
    let ending = match missing {
        Some(missing) => machine.run_serving(case, missing).0,
        None => machine.run(cases).remove(0),
    };
    let before = case.data();
    let mut memory = Vec::new();
    for page in WRITABLE {
        let bytes = machine.page(case.slot, page);
        let start = page * bytes.len();
        for (at, row) in (start..).step_by(ROW).zip(bytes.chunks(ROW)) {
            if row != &before[at..at + ROW] {
                memory.push(Patch {
                    offset: at,
                    bytes: row.to_vec(),
                });
            }
        }
    }
    machine.clean(cases);
    Expected { ending, memory }
}

fn differences(
    engine: Engine,
    kept: &Kept,
    expected: &Expected,
    actual: &Expected,
) -> Vec<Difference> {
    let Kept { case, missing, .. } = kept;
    let (left, right) = (&actual.ending, &expected.ending);
    let by_kvm = engine == Engine::Kvm;
    let another = by_kvm && vendor::is_another();
    let lenient = || explain::is_leniently_executed(case, &left.end, &right.end);
    if by_kvm && lenient() || another && vendor::excuses(case, left, right) {
        return Vec::new();
    }
    let scope = Scope {
        pointers: missing.is_none() && !another,
        by_kvm,
        undefined: false,
    };
    let mut differences = compare::endings(case, left, right, scope);
    let unspecified = compare::unspecified(case, left);
    let (left, right) = (after(case, actual), after(case, expected));
    for page in WRITABLE {
        let [left, right] = [&left, &right].map(|image| page_of(image, page));
        differences.extend(compare::page(case.slot, page, left, right, &unspecified));
    }
    differences
}

/// The data of `case` when it has ended.
fn after(case: &Case, expected: &Expected) -> Box<Image> {
    let mut data = case.data();
    for Patch { offset, bytes } in &expected.memory {
        data[*offset..*offset + bytes.len()].copy_from_slice(bytes);
    }
    data
}
