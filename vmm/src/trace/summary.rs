//! A table of the system calls of a trace, as `strace -c` writes it.
//!
//! Time is that for which a call's thread had a CPU, so that waiting for others counts for
//! nothing. It is the time between the records of call and return, in which the kernel has
//! written one and may have served an interrupt.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};

use super::TraceSink;
use super::arguments::{call_name, error};
use super::event::{Call, Event, What};
use crate::report::table::{self, duration};

/// Numbers of calls that are told apart; a guest may call any.
const MOST_CALLS: usize = 1024;

/// What guest time is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds.
    Time,
    /// Instructions of all CPUs: a nanosecond each, as with
    /// [`deterministic`](crate::VmConfig::deterministic).
    Instructions,
}

/// Counts system calls, and writes a table of them at the end.
pub struct SummarySink<W> {
    writer: W,
    unit: Unit,
    calls: BTreeMap<u64, Tally>,
    /// Those past [`MOST_CALLS`].
    others: Tally,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    calls: u64,
    errors: u64,
    ran_ns: u64,
}

impl<W: Write + Send> SummarySink<W> {
    /// A table to `writer`, in this unit.
    pub fn new(writer: W, unit: Unit) -> Self {
        Self {
            writer,
            unit,
            calls: BTreeMap::new(),
            others: Tally::default(),
        }
    }

    fn count(&mut self, call: &Call, result: Option<u64>) {
        // A child returns from a call that its parent has made.
        if call.arguments.is_none() {
            return;
        }
        let has_room = self.calls.len() < MOST_CALLS || self.calls.contains_key(&call.number);
        let tally = match has_room {
            true => self.calls.entry(call.number).or_default(),
            false => &mut self.others,
        };
        tally.calls += 1;
        tally.errors += u64::from(result.and_then(error).is_some());
        tally.ran_ns = tally.ran_ns.saturating_add(call.ran_ns);
    }
}

impl<W: Write + Send> TraceSink for SummarySink<W> {
    fn event(&mut self, event: &Event<'_>) -> io::Result<()> {
        match event.what {
            What::Return { call, result } => self.count(call, Some(result)),
            What::Abandoned(call) => self.count(call, None),
            What::Note(note) => writeln!(self.writer, "vmm: {note}")?,
            _ => {}
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self, _ns: u64) -> io::Result<()> {
        let calls = self.calls.iter();
        let mut rows: Vec<_> = calls
            .map(|(&number, &tally)| (call_name(number), tally))
            .collect();
        if self.others.calls > 0 {
            rows.push(("others".to_owned(), self.others));
        }
        rows.sort_by(|(name, a), (other, b)| {
            (b.ran_ns, b.calls, name).cmp(&(a.ran_ns, a.calls, other))
        });
        let table = Table {
            rows,
            unit: self.unit,
        };
        write!(self.writer, "{table}")?;
        self.writer.flush()
    }
}

/// Calls by name, those that took most first.
struct Table {
    rows: Vec<(String, Tally)>,
    unit: Unit,
}

impl Table {
    fn line(&self, name: &str, tally: Tally, total: Tally) -> [String; 6] {
        let share = 100.0 * tally.ran_ns as f64 / total.ran_ns.max(1) as f64;
        let mean = tally.ran_ns as f64 / tally.calls.max(1) as f64;
        let (took, mean) = match self.unit {
            Unit::Time => (duration(tally.ran_ns as f64), duration(mean)),
            Unit::Instructions => (tally.ran_ns.to_string(), format!("{mean:.1}")),
        };
        [
            name.to_owned(),
            format!("{share:.2}"),
            took,
            tally.calls.to_string(),
            tally.errors.to_string(),
            mean,
        ]
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Time => "time",
            Unit::Instructions => "instructions",
        };
        let total = self
            .rows
            .iter()
            .fold(Tally::default(), |sum, (_, tally)| Tally {
                calls: sum.calls + tally.calls,
                errors: sum.errors + tally.errors,
                ran_ns: sum.ran_ns.saturating_add(tally.ran_ns),
            });
        let heads = ["system call", "%", unit, "calls", "errors", "mean"];
        let mut lines = vec![heads.map(ToOwned::to_owned)];
        let rows = self.rows.iter();
        lines.extend(rows.map(|(name, tally)| self.line(name, *tally, total)));
        lines.push(self.line("total", total, total));
        table::write(f, &lines, 1)
    }
}
