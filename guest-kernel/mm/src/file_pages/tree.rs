//! Which frame holds which page of a file: a radix tree that is no higher than the last
//! page needs, so that a small file takes one frame and nothing else.

use core::ops::Range;
use core::{mem, slice};

use crate::frames::{FRAME_SIZE, FrameRun, FrameShare};
use crate::{OutOfMemory, Owned};

/// Entries of a table, and the bits of a page's number that select one.
const FANOUT: u64 = 1 << FANOUT_BITS;
const FANOUT_BITS: u32 = 5;

/// Highest tree. Dropping one recurses this deep.
const MAX_HEIGHT: u32 = 6;

/// Pages past which there are none.
pub const LIMIT: u64 = 1 << (FANOUT_BITS * MAX_HEIGHT);

#[derive(Default)]
enum Slot {
    #[default]
    Empty,
    Page(FrameShare),
    Table(Owned<Table>),
}

impl Slot {
    fn share(&self) -> Option<&FrameShare> {
        match self {
            Self::Page(kept) => Some(kept),
            _ => None,
        }
    }

    fn share_mut(&mut self) -> Option<&mut FrameShare> {
        match self {
            Self::Page(kept) => Some(kept),
            _ => None,
        }
    }
}

/// What there is from a page on.
pub enum Run<'a> {
    /// These bytes, of whole pages.
    Kept(&'a [u8]),
    /// Nothing, for at least so many pages.
    Gap(u64),
}

#[derive(Default)]
struct Table([Slot; FANOUT as usize]);

/// Frames by page number.
#[derive(Default)]
pub struct PageTree {
    root: Slot,
    /// Tables between the root's slot and a page's.
    height: u32,
    /// Frames in it.
    count: u64,
}

/// The slot of `page` in a table of the tree `height` above the pages.
fn index(page: u64, height: u32) -> usize {
    (page >> (FANOUT_BITS * (height - 1)) & (FANOUT - 1)) as usize
}

/// Pages in a tree of this height.
fn pages(height: u32) -> u64 {
    1 << (FANOUT_BITS * height)
}

impl PageTree {
    /// No pages.
    pub const fn new() -> Self {
        Self {
            root: Slot::Empty,
            height: 0,
            count: 0,
        }
    }

    /// What is kept of `page`.
    pub fn get(&self, page: u64) -> Option<&FrameShare> {
        if page >= pages(self.height) {
            return None;
        }
        let mut slot = &self.root;
        for height in (1..=self.height).rev() {
            let Slot::Table(table) = slot else {
                return None;
            };
            slot = &table.0[index(page, height)];
        }
        match slot {
            Slot::Page(kept) => Some(kept),
            _ => None,
        }
    }

    /// What there is of `page` and of up to `most` pages from there on, as far as their frames
    /// follow each other in memory and one table has them.
    pub fn run(&self, page: u64, most: u64) -> Run<'_> {
        if page >= pages(self.height) || matches!(self.root, Slot::Empty) {
            return Run::Gap(LIMIT);
        }
        let mut slots = slice::from_ref(&self.root);
        for height in (1..=self.height).rev() {
            let Slot::Table(table) = &slots[0] else {
                let below = pages(height);
                return Run::Gap(below - page % below);
            };
            slots = &table.0[index(page, height)..];
        }
        let slots = slots.iter().take(most as usize);
        match FrameShare::run(slots.clone().map_while(Slot::share)) {
            [] => Run::Gap(slots.take_while(|slot| slot.share().is_none()).count() as u64),
            bytes => Run::Kept(bytes),
        }
    }

    /// The same of what is kept, to be changed.
    pub fn run_mut(&mut self, page: u64, most: u64) -> &mut [u8] {
        let slots = self.slots_mut(page).iter_mut().take(most as usize);
        FrameShare::run_mut(slots.map_while(Slot::share_mut))
    }

    /// What is kept of `page`, to be changed.
    pub fn get_mut(&mut self, page: u64) -> Option<&mut FrameShare> {
        self.slots_mut(page).first_mut()?.share_mut()
    }

    /// The slots of `page` and of those after it in the same table, if there is one.
    fn slots_mut(&mut self, page: u64) -> &mut [Slot] {
        if page >= pages(self.height) {
            return &mut [];
        }
        let mut slots = slice::from_mut(&mut self.root);
        for height in (1..=self.height).rev() {
            let Slot::Table(table) = &mut slots[0] else {
                return &mut [];
            };
            slots = &mut table.0[index(page, height)..];
        }
        slots
    }

    /// How many of up to `most` pages from `page` on there are in its table, which is made, before
    /// the first of which something is kept.
    ///
    /// # Errors
    /// There is no memory for what leads to them.
    ///
    /// # Panics
    /// Not all of them are below [`LIMIT`].
    pub fn vacant(&mut self, page: u64, most: u64) -> Result<u64, OutOfMemory> {
        let slots = self.make_slots(page, most)?;
        let first = slots.iter().take(most as usize);
        Ok(first.take_while(|slot| matches!(slot, Slot::Empty)).count() as u64)
    }

    /// Keeps these frames for the [vacant](Self::vacant) pages from `page` on. Without frames no
    /// table stays that was made for them.
    pub fn put(&mut self, page: u64, frames: FrameRun) {
        if frames.is_empty() {
            self.remove(page..page + 1);
            return;
        }
        self.count += (frames.len() / FRAME_SIZE) as u64;
        for (slot, frame) in self.slots_mut(page).iter_mut().zip(frames) {
            *slot = Slot::Page(frame.into());
        }
    }

    /// Has something kept of `page`: what `make` gives, if there is nothing.
    ///
    /// # Errors
    /// There is no memory for it or for what leads to it; nothing has changed.
    ///
    /// # Panics
    /// `page` is not below [`LIMIT`].
    pub fn keep(
        &mut self,
        page: u64,
        make: impl FnOnce() -> Option<FrameShare>,
    ) -> Result<(), OutOfMemory> {
        if self.get(page).is_some() {
            return Ok(());
        }
        let made = make().ok_or(OutOfMemory);
        let kept = made.and_then(|made| {
            self.make_slots(page, 1)?[0] = Slot::Page(made);
            Ok(())
        });
        match kept {
            Ok(()) => self.count += 1,
            // Tables that lead nowhere.
            Err(OutOfMemory) => self.remove(page..page + 1),
        }
        kept
    }

    /// The slots of `page` and of those after it in the same table, which is as large as `count`
    /// pages need it.
    #[inline]
    fn make_slots(&mut self, page: u64, count: u64) -> Result<&mut [Slot], OutOfMemory> {
        assert!(page < LIMIT, "page {page} is beyond every file");
        let last = (page | (FANOUT - 1)).min(page + count - 1);
        while last >= pages(self.height) {
            self.grow()?;
        }
        let mut slots = slice::from_mut(&mut self.root);
        for height in (1..=self.height).rev() {
            if let Slot::Empty = slots[0] {
                slots[0] = Slot::Table(Owned::new(Table::default())?);
            }
            let Slot::Table(table) = &mut slots[0] else {
                unreachable!("pages are at the bottom of the tree");
            };
            slots = &mut table.0[index(page, height)..];
        }
        Ok(slots)
    }

    /// Puts a table on top.
    fn grow(&mut self) -> Result<(), OutOfMemory> {
        if !matches!(self.root, Slot::Empty) {
            let mut table = Owned::new(Table::default())?;
            table.0[0] = mem::take(&mut self.root);
            self.root = Slot::Table(table);
        }
        self.height += 1;
        Ok(())
    }

    /// Calls `each` with what is kept of these pages.
    pub fn for_each(&mut self, pages: Range<u64>, each: &mut dyn FnMut(&mut FrameShare)) {
        visit(&mut self.root, self.height, pages, each);
    }

    /// Gives back the frames of these pages, and tables that lead to none any more.
    pub fn remove(&mut self, pages: Range<u64>) {
        self.count -= remove(&mut self.root, self.height, pages);
        if let Slot::Empty = self.root {
            self.height = 0;
        }
    }

    /// The first page from `from` on that has a frame.
    pub fn next(&self, from: u64) -> Option<u64> {
        next(&self.root, self.height, from)
    }

    /// The first page from `from` on that has none.
    pub fn next_gap(&self, from: u64) -> u64 {
        match from < pages(self.height) {
            true => next_gap(&self.root, self.height, from).unwrap_or(pages(self.height)),
            false => from,
        }
    }

    /// How many frames there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many frames there are from this page on.
    pub fn count_from(&self, first: u64) -> u64 {
        match first {
            0 => self.count,
            _ => count(&self.root, self.height, first),
        }
    }

    /// Whether no page is kept.
    pub fn is_empty(&self) -> bool {
        matches!(self.root, Slot::Empty)
    }
}

/// Counts pages from `first` on, counted from the tree's own first.
fn count(slot: &Slot, height: u32, first: u64) -> u64 {
    match slot {
        Slot::Empty => 0,
        Slot::Page(_) => (first == 0).into(),
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
fn next(slot: &Slot, height: u32, from: u64) -> Option<u64> {
    match slot {
        Slot::Empty => None,
        Slot::Page(_) => (from == 0).then_some(0),
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
fn next_gap(slot: &Slot, height: u32, from: u64) -> Option<u64> {
    match slot {
        Slot::Empty => Some(from),
        Slot::Page(_) => None,
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
fn remove(slot: &mut Slot, height: u32, range: Range<u64>) -> u64 {
    if range.start == 0 && range.end >= pages(height) {
        return count(&mem::take(slot), height, 0);
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
    if table.0.iter().all(|slot| matches!(slot, Slot::Empty)) {
        *slot = Slot::Empty;
    }
    removed
}

/// Visits pages in a range, counted from the tree's own first.
fn visit(slot: &mut Slot, height: u32, range: Range<u64>, each: &mut dyn FnMut(&mut FrameShare)) {
    match slot {
        Slot::Page(kept) if range.contains(&0) => each(kept),
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

#[cfg(test)]
mod tests;
