//! Counting exits, on the run loop's fast path.
//!
//! A count is found in two steps: the reason selects a table, and the port, address or MSR
//! a row of it. Rejected: an array by port, which for 65,536 ports in both directions is
//! 2 MiB that a guest could make the VMM touch, and does not help with addresses.
//!
//! A guest can exit for any number of different ports and addresses. Each reason keeps
//! [`DETAIL_LIMIT`] of them and counts the others together, so memory stays bounded.

use std::collections::hash_map::Entry;
use std::fmt;

use foldhash::HashMap;
use serde::{Serialize, Serializer};

use crate::exit::ExitReason;

/// Different ports, addresses or MSRs that are counted apart, for each reason.
pub const DETAIL_LIMIT: usize = 1024;

/// Exits so far, by reason and detail.
#[derive(Debug, Default)]
pub struct ExitCounts {
    /// By port: items that came with another one, in the same exit. KVM fetches those of a
    /// string input ahead.
    fetched: Vec<(u64, u64)>,
    reasons: [ReasonCounts; ExitReason::ALL.len()],
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    count: u64,
    ticks: u64,
}

#[derive(Debug, Default)]
struct ReasonCounts {
    /// Exits without a detail.
    plain: Tally,
    /// Exits whose detail came after the table was full.
    other: Tally,
    rows: HashMap<u64, Tally>,
}

impl ExitCounts {
    /// No exits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts an exit with [`key`](crate::exit::VmExit::key) `(reason, detail)` that took
    /// `ticks` of any clock.
    #[inline]
    pub fn record(&mut self, reason: ExitReason, detail: Option<u64>, ticks: u64) {
        let reason = &mut self.reasons[reason as usize];
        let tally = match detail {
            Some(detail) => reason.tally(detail),
            None => &mut reason.plain,
        };
        tally.count += 1;
        tally.ticks = tally.ticks.wrapping_add(ticks);
    }

    /// Counts `items` of input from `port` that came in one exit, beside the exit itself.
    #[inline]
    pub fn record_items(&mut self, port: u64, items: u64) {
        if items > 1 {
            self.add_fetched(port, items - 1);
        }
    }

    fn add_fetched(&mut self, port: u64, items: u64) {
        let known = self.fetched.iter().position(|&(known, _)| known == port);
        match known {
            Some(place) => self.fetched[place].1 += items,
            None if self.fetched.len() < DETAIL_LIMIT => self.fetched.push((port, items)),
            None => {}
        }
    }

    /// The exits counted so far, where a tick of [`record`](Self::record)'s clock is
    /// `ns_per_tick` nanoseconds.
    pub fn finish(&self, ns_per_tick: f64) -> ExitTable {
        let mut rows = Vec::new();
        for (reason, counts) in ExitReason::ALL.iter().copied().zip(&self.reasons) {
            let mut details: Vec<_> = counts
                .rows
                .iter()
                .map(|(key, tally)| (*key, *tally))
                .collect();
            details.sort_unstable_by_key(|&(detail, _)| detail);
            let details = details
                .into_iter()
                .map(|(detail, tally)| (ExitDetail::new(reason, detail), tally));
            let all = [(ExitDetail::None, counts.plain)]
                .into_iter()
                .chain(details)
                .chain([(ExitDetail::Other, counts.other)]);
            rows.extend(
                all.filter(|(_, tally)| tally.count != 0)
                    .map(|(detail, tally)| ExitRow {
                        reason,
                        detail,
                        count: tally.count,
                        ns: (tally.ticks as f64 * ns_per_tick).round() as u64,
                    }),
            );
        }
        ExitTable {
            fetched: self.fetched.clone(),
            ..ExitTable::new(rows)
        }
    }
}

impl ReasonCounts {
    #[inline]
    fn tally(&mut self, detail: u64) -> &mut Tally {
        let is_full = self.rows.len() >= DETAIL_LIMIT;
        match self.rows.entry(detail) {
            Entry::Occupied(row) => row.into_mut(),
            Entry::Vacant(_) if is_full => &mut self.other,
            Entry::Vacant(row) => row.insert(Tally::default()),
        }
    }
}

/// What an exit was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExitDetail {
    /// Nothing more than its reason.
    None,
    /// A port.
    Port(u64),
    /// A guest-physical address.
    Gpa(u64),
    /// An MSR.
    Msr(u64),
    /// A number of a reason that has none of these.
    Number(u64),
    /// One of those past [`DETAIL_LIMIT`].
    Other,
}

impl ExitDetail {
    /// `detail` as exits of `reason` have it.
    pub(crate) fn new(reason: ExitReason, detail: u64) -> Self {
        match reason {
            ExitReason::PioIn | ExitReason::PioOut => Self::Port(detail),
            ExitReason::MmioRead | ExitReason::MmioWrite => Self::Gpa(detail),
            ExitReason::MsrRead | ExitReason::MsrWrite => Self::Msr(detail),
            _ => Self::Number(detail),
        }
    }
}

impl fmt::Display for ExitDetail {
    /// As in "port 0x3f8"; nothing for [`ExitDetail::None`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Port(port) => write!(f, "port {port:#x}"),
            Self::Gpa(gpa) => write!(f, "gpa {gpa:#x}"),
            Self::Msr(index) => write!(f, "msr {index:#x}"),
            Self::Number(number) => write!(f, "{number:#x}"),
            Self::Other => f.write_str("other"),
        }
    }
}

impl Serialize for ExitDetail {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_none(),
            detail => serializer.collect_str(detail),
        }
    }
}

/// Exits of one reason and detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ExitRow {
    /// Why.
    pub reason: ExitReason,
    /// What about.
    pub detail: ExitDetail,
    /// How often.
    pub count: u64,
    /// How long it took in all, in nanoseconds.
    pub ns: u64,
}

/// All exits of a run, in the order of reason and detail, and their number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ExitTable {
    #[serde(rename = "exits")]
    rows: Vec<ExitRow>,
    #[serde(rename = "exits_total")]
    total: u64,
    #[serde(skip)]
    fetched: Vec<(u64, u64)>,
}

impl ExitTable {
    fn new(rows: Vec<ExitRow>) -> Self {
        let total = rows.iter().map(|row| row.count).sum();
        Self {
            rows,
            total,
            fetched: Vec::new(),
        }
    }

    /// Those of several vCPUs together.
    pub fn sum(tables: &[Self]) -> Self {
        if let [only] = tables {
            return only.clone();
        }
        let mut rows: Vec<_> = tables.iter().flat_map(|table| table.rows.clone()).collect();
        rows.sort_by_key(|row| (row.reason, row.detail));
        rows.dedup_by(|row, sum| {
            let same = (row.reason, row.detail) == (sum.reason, sum.detail);
            if same {
                sum.count += row.count;
                sum.ns = sum.ns.saturating_add(row.ns);
            }
            same
        });
        let fetched = tables.iter().flat_map(|table| &table.fetched);
        let mut all = ExitCounts::new();
        for &(port, items) in fetched {
            all.add_fetched(port, items);
        }
        Self {
            fetched: all.fetched,
            ..Self::new(rows)
        }
    }

    /// The exits by reason and detail.
    pub fn rows(&self) -> &[ExitRow] {
        &self.rows
    }

    /// How many exits there were.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How long all exits took, in nanoseconds.
    pub fn total_ns(&self) -> u64 {
        self.rows
            .iter()
            .fold(0, |sum, row| row.ns.saturating_add(sum))
    }

    /// How many exits of `reason` with `detail` there were.
    pub fn count_of(&self, reason: ExitReason, detail: ExitDetail) -> u64 {
        let mut rows = self.rows.iter();
        rows.find(|row| (row.reason, row.detail) == (reason, detail))
            .map_or(0, |row| row.count)
    }

    /// How many items went through a port in these exits: more than exits where string
    /// input was fetched ahead.
    pub fn items_of(&self, reason: ExitReason, detail: ExitDetail) -> u64 {
        let mut fetched = self.fetched.iter();
        let fetched = fetched
            .find(|(port, _)| reason == ExitReason::PioIn && detail == ExitDetail::Port(*port));
        self.count_of(reason, detail) + fetched.map_or(0, |&(_, items)| items)
    }

    /// How many exits of `reason` there were.
    pub fn count(&self, reason: ExitReason) -> u64 {
        let rows = self.rows.iter().filter(|row| row.reason == reason);
        rows.map(|row| row.count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::{DETAIL_LIMIT, ExitCounts, ExitDetail, ExitRow, ExitTable};
    use crate::exit::ExitReason;

    #[test]
    fn rows_come_in_order_with_ticks_as_time() {
        let mut counts = ExitCounts::new();
        counts.record(ExitReason::Hlt, None, 7);
        for (port, ticks) in [(0x3f8, 10), (0xf4, 1), (0x3f8, 21)] {
            counts.record(ExitReason::PioOut, Some(port), ticks);
        }
        counts.record(ExitReason::MsrWrite, Some(0x838), 3);
        counts.record(ExitReason::MmioRead, Some(0xfee0_00b0), 0);
        let row = |reason, detail, count, ns| ExitRow {
            reason,
            detail,
            count,
            ns,
        };
        let table = counts.finish(0.5);
        assert_eq!(
            table.rows(),
            [
                row(ExitReason::PioOut, ExitDetail::Port(0xf4), 1, 1),
                row(ExitReason::PioOut, ExitDetail::Port(0x3f8), 2, 16),
                row(ExitReason::MmioRead, ExitDetail::Gpa(0xfee0_00b0), 1, 0),
                row(ExitReason::MsrWrite, ExitDetail::Msr(0x838), 1, 2),
                row(ExitReason::Hlt, ExitDetail::None, 1, 4),
            ]
        );
        assert_eq!((table.total(), table.total_ns()), (6, 23));
        assert_eq!(table.count(ExitReason::PioOut), 3);
        assert_eq!(table.count(ExitReason::PioIn), 0);
    }

    #[test]
    fn input_that_is_fetched_ahead_is_as_many_items() {
        let mut counts = ExitCounts::new();
        for items in [1, 4, 3] {
            counts.record(ExitReason::PioIn, Some(0x60), 1);
            counts.record_items(0x60, items);
        }
        let table = counts.finish(1.0);
        let items = |reason| table.items_of(reason, ExitDetail::Port(0x60));
        assert_eq!(table.count(ExitReason::PioIn), 3);
        assert_eq!(
            (items(ExitReason::PioIn), items(ExitReason::PioOut)),
            (8, 0)
        );
    }

    #[test]
    fn exits_of_several_vcpus_add_up() {
        let mut one = ExitCounts::new();
        one.record(ExitReason::Hlt, None, 1);
        one.record(ExitReason::PioIn, Some(0x60), 2);
        one.record_items(0x60, 5);
        let mut other = ExitCounts::new();
        other.record(ExitReason::PioIn, Some(0x60), 3);
        other.record_items(0x60, 2);
        other.record(ExitReason::PioIn, Some(0x20), 4);
        let both = ExitTable::sum(&[one.finish(1.0), other.finish(1.0)]);
        let rows = both.rows().iter();
        let rows: Vec<_> = rows.map(|row| (row.detail, row.count, row.ns)).collect();
        assert_eq!(
            rows,
            [
                (ExitDetail::Port(0x20), 1, 4),
                (ExitDetail::Port(0x60), 2, 5),
                (ExitDetail::None, 1, 1)
            ]
        );
        assert_eq!(both.total(), 4);
        assert_eq!(both.items_of(ExitReason::PioIn, ExitDetail::Port(0x60)), 7);
    }

    #[test]
    fn a_guest_that_touches_every_port_is_folded() {
        let mut counts = ExitCounts::new();
        for port in 0..=0xffff {
            counts.record(ExitReason::PioIn, Some(port), 1);
            counts.record(ExitReason::PioIn, Some(port % 4), 1);
        }
        counts.record(ExitReason::PioOut, Some(0xf4), 1);
        let table = counts.finish(1.0);
        let limit = DETAIL_LIMIT as u64;
        assert_eq!(table.rows().len(), DETAIL_LIMIT + 2);
        assert_eq!(table.rows()[0].count, 0x4001);
        let other = &table.rows()[DETAIL_LIMIT];
        assert_eq!(other.detail, ExitDetail::Other);
        assert_eq!(other.count, 0x1_0000 - limit);
        assert_eq!(
            table.rows()[DETAIL_LIMIT + 1].detail,
            ExitDetail::Port(0xf4)
        );
        assert_eq!(table.total(), 0x2_0001);
    }

    #[test]
    fn ticks_may_wrap_and_ratios_may_be_nonsense() {
        let mut counts = ExitCounts::new();
        counts.record(ExitReason::Hlt, None, u64::MAX);
        counts.record(ExitReason::Hlt, None, 3);
        assert_eq!(counts.finish(1.0).rows()[0].ns, 2);
        assert_eq!(counts.finish(f64::NAN).rows()[0].ns, 0);
        assert_eq!(counts.finish(-1.0).rows()[0].ns, 0);
    }
}
