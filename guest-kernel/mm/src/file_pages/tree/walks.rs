//! Walks through all of a tree, or a range of its pages.

use core::mem;
use core::ops::Range;

use super::{FANOUT, Slot, pages};
use crate::frames::FRAME_SIZE;

/// A place in a group: that of a page counted from its first, or its end.
fn place_from(page: u64) -> usize {
    page.min(FANOUT) as usize
}

/// Counts pages from `first` on, counted from the tree's own first.
pub(super) fn count(slot: &Slot, height: u32, first: u64) -> u64 {
    match slot {
        Slot::Empty => 0,
        Slot::Page(_) => (first == 0).into(),
        Slot::Together(shares) => shares.count_from(place_from(first)) as u64,
        Slot::Table(table) => {
            let below = pages(height - 1);
            let slots = (0..FANOUT).zip(&table.0);
            let counts = slots
                .filter(|(number, _)| first < (number + 1) * below)
                .map(|(number, slot)| {
                    count(slot, height - 1, first.saturating_sub(number * below))
                });
            counts.sum()
        }
    }
}

/// The first page from `from` on, both counted from the tree's own first.
pub(super) fn next(slot: &Slot, height: u32, from: u64) -> Option<u64> {
    match slot {
        Slot::Empty => None,
        Slot::Page(_) => (from == 0).then_some(0),
        Slot::Together(shares) => {
            let next = from + shares.gap(place_from(from)) as u64;
            (next < FANOUT).then_some(next)
        }
        Slot::Table(table) => {
            let below = pages(height - 1);
            let slots = (0..FANOUT).zip(&table.0);
            let mut slots = slots.filter(|(number, _)| from < (number + 1) * below);
            slots.find_map(|(number, slot)| {
                let first = number * below;
                Some(first + next(slot, height - 1, from.saturating_sub(first))?)
            })
        }
    }
}

/// The first page from `from` on of which nothing is kept, if there is one in this part of the
/// tree; both counted from its own first.
pub(super) fn next_gap(slot: &Slot, height: u32, from: u64) -> Option<u64> {
    match slot {
        Slot::Empty => Some(from),
        Slot::Page(_) => None,
        Slot::Together(shares) => {
            let gap = from + shares.run(place_from(from)) as u64;
            (gap < FANOUT).then_some(gap)
        }
        Slot::Table(table) => {
            let below = pages(height - 1);
            let mut slots = (0..FANOUT).zip(&table.0).skip((from / below) as usize);
            slots.find_map(|(number, slot)| {
                let first = number * below;
                Some(first + next_gap(slot, height - 1, from.saturating_sub(first))?)
            })
        }
    }
}

/// Gives back pages in a range, counted from the tree's own first, and says how many; tables
/// that are empty then go too.
pub(super) fn remove(slot: &mut Slot, height: u32, range: Range<u64>) -> u64 {
    if range.start == 0 && range.end >= pages(height) {
        return count(&mem::take(slot), height, 0);
    }
    if let Slot::Together(shares) = slot {
        let removed = shares.remove(place_from(range.start)..place_from(range.end));
        if shares.first().is_none() {
            *slot = Slot::Empty;
        }
        return removed as u64;
    }
    let Slot::Table(table) = slot else {
        return 0;
    };
    let below = pages(height - 1);
    let mut removed = 0;
    for (number, slot) in (0..FANOUT).zip(&mut table.0) {
        let first = number * below;
        let start = range.start.saturating_sub(first);
        let end = range.end.saturating_sub(first).min(below);
        if start < end {
            removed += remove(slot, height - 1, start..end);
        }
    }
    if table.0.iter().all(Slot::is_empty) {
        *slot = Slot::Empty;
    }
    removed
}

/// Visits pages in a range, counted from the tree's own first.
pub(super) fn visit(
    slot: &mut Slot,
    height: u32,
    range: Range<u64>,
    each: &mut dyn FnMut(&mut [u8]),
) {
    match slot {
        Slot::Page(kept) if range.contains(&0) => each(kept.bytes_mut()),
        Slot::Together(shares) => {
            let mut first = place_from(range.start);
            let end = place_from(range.end);
            while first < end {
                first += shares.gap(first);
                let bytes = shares.bytes_mut(first, end.saturating_sub(first));
                first += bytes.len() / FRAME_SIZE;
                each(bytes);
            }
        }
        Slot::Empty | Slot::Page(_) => {}
        Slot::Table(table) => {
            let below = pages(height - 1);
            for (number, slot) in (0..FANOUT).zip(&mut table.0) {
                let first = number * below;
                let start = range.start.saturating_sub(first);
                let end = range.end.saturating_sub(first).min(below);
                if start < end {
                    visit(slot, height - 1, start..end, each);
                }
            }
        }
    }
}
