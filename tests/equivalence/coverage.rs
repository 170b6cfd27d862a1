//! Which instruction forms sequences have had, and how far they came.

use std::collections::BTreeMap;
use std::fmt;

use iced_x86::{Code, FlowControl};

use super::case::Case;
use super::ending::End;
use super::forms::{self, Excluded};

/// How often a form occurred.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    generated: u64,
    /// Executed to its end; less than in fact, because what comes after a taken branch is
    /// not followed.
    completed: u64,
    faulted: u64,
    /// Page faults that were served.
    served: u64,
}

/// Counts by form.
#[derive(Clone, Debug, Default)]
pub struct Coverage(BTreeMap<Code, Count>);

impl Coverage {
    /// Notes a sequence that ended in `end` after faults at the addresses `served`.
    pub fn note(&mut self, case: &Case, end: &End, served: &[u64]) {
        let stop = match end {
            End::Completed => None,
            End::Fault(fault) => Some(fault.rip),
            End::Stuck | End::Broken(_) | End::NotRun => Some(case.address()),
        };
        let mut straight = true;
        for instruction in case.instructions() {
            let count = self.0.entry(instruction.code()).or_default();
            count.generated += 1;
            count.served += u64::from(served.contains(&instruction.ip()));
            if stop == Some(instruction.ip()) {
                count.faulted += u64::from(matches!(end, End::Fault(_)));
                straight = false;
            }
            let leaves = instruction.flow_control() != FlowControl::Next;
            // A branch is complete if anything else ends the sequence.
            count.completed += u64::from(straight);
            straight &= !leaves;
        }
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: Self) {
        for (code, more) in other.0 {
            let count = self.0.entry(code).or_default();
            count.generated += more.generated;
            count.completed += more.completed;
            count.faulted += more.faulted;
            count.served += more.served;
        }
    }

    /// How often `code` was in a sequence.
    pub fn generated(&self, code: Code) -> u64 {
        self.0.get(&code).map_or(0, |count| count.generated)
    }

    /// How often a page fault in `code` was served.
    pub fn served(&self, code: Code) -> u64 {
        self.0.get(&code).map_or(0, |count| count.served)
    }
}

/// The table that a person reads: every form that was generated, then those that were not.
pub struct Table<'a> {
    pub coverage: &'a Coverage,
    /// Whether the engine under test executes a form.
    pub implements: fn(Code) -> bool,
}

impl Table<'_> {
    /// Forms that the engine executes and no sequence had, but for those that are left
    /// out on purpose.
    pub fn missed(&self) -> Vec<Code> {
        Code::values()
            .filter(|&code| (self.implements)(code) && self.coverage.generated(code) == 0)
            .filter(|&code| matches!(forms::exclusion(code), None | Some(Excluded::NoFeature)))
            .collect()
    }

    /// Forms that the emulator has where the host's processor does.
    pub fn absent(&self) -> Vec<Code> {
        self.excluded(Excluded::Absent)
    }

    /// Forms that use memory and never had a page fault served.
    pub fn never_served(&self) -> Vec<Code> {
        Code::values()
            .filter(|&code| (self.implements)(code) && self.coverage.served(code) == 0)
            .filter(|&code| forms::exclusion(code).is_none() && forms::may_page_fault(code))
            .filter(|&code| !forms::shows_x87_pointers(code))
            .collect()
    }

    /// Forms that are left out for `reason` though the engine executes them.
    fn excluded(&self, reason: Excluded) -> Vec<Code> {
        Code::values()
            .filter(|&code| (self.implements)(code) && forms::exclusion(code) == Some(reason))
            .collect()
    }

    /// Forms that could be generated if the engine executed them.
    fn not_implemented(&self) -> Vec<Code> {
        Code::values()
            .filter(|&code| forms::exclusion(code).is_none() && !(self.implements)(code))
            .collect()
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = ["form", "generated", "completed", "faulted"];
        let [form, rest @ ..] = columns;
        writeln!(
            f,
            "{form:32} {:>10} {:>10} {:>10}",
            rest[0], rest[1], rest[2]
        )?;
        for (code, count) in &self.coverage.0 {
            let Count {
                generated,
                completed,
                faulted,
                ..
            } = count;
            let name = format!("{code:?}");
            writeln!(f, "{name:32} {generated:>10} {completed:>10} {faulted:>10}")?;
        }
        writeln!(f, "never generated: {:?}", self.missed())?;
        writeln!(f, "not implemented: {:?}", self.not_implemented())?;
        for reason in Excluded::ALL {
            let (text, codes) = (reason.text(), self.excluded(reason));
            writeln!(f, "implemented and left out, {text}: {codes:?}")?;
        }
        Ok(())
    }
}
