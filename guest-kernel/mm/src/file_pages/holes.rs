//! Holes in a file: making them, and where they are.

use core::ops::Range;

use arch::copies;

use super::{FilePages, Leaving, MAX_LEN, PAGE};
use crate::{OutOfMemory, spaces};

impl FilePages {
    /// Makes a hole of zeros from `offset` on, which takes no memory where whole pages are in
    /// it; the length stays. In the middle of a base it does, since what is below must be
    /// hidden.
    ///
    /// # Errors
    /// There is no memory; some may have been cleared.
    pub fn punch(&self, offset: u64, len: u64) -> Result<(), OutOfMemory> {
        let end = offset.saturating_add(len).min(MAX_LEN);
        if offset >= end {
            return Ok(());
        }
        let whole = offset.div_ceil(PAGE)..end / PAGE;
        self.clear_within(offset..end.min(whole.start * PAGE))?;
        self.clear_within(offset.max(whole.end * PAGE)..end)?;
        if whole.is_empty() {
            return Ok(());
        }
        let is_last_of_base = self.base.from(whole.end * PAGE).is_empty();
        let has_base = |page: &u64| !is_last_of_base && !self.base.from(page * PAGE).is_empty();
        for page in whole.clone().take_while(has_base) {
            self.make_own(page * PAGE)?;
        }
        if whole.start < self.mapped_end.get() {
            let leaving = Leaving::Before(whole.end);
            spaces::for_each(&mut |space| space.forget_file(self, whole.start, leaving));
        }
        let mut written = self.written.borrow_mut();
        if is_last_of_base {
            self.base.truncate(whole.start * PAGE);
            written.remove(whole);
        } else {
            let hidden = whole.end.min(self.base_pages()).max(whole.start);
            written.for_each(whole.start..hidden, &mut copies::clear);
            written.remove(hidden..whole.end);
        }
        self.share.settle(written.count());
        Ok(())
    }

    /// Clears bytes of one page.
    fn clear_within(&self, range: Range<u64>) -> Result<(), OutOfMemory> {
        if range.is_empty() || !self.has_page(range.start / PAGE * PAGE) {
            return Ok(());
        }
        self.make_own(range.start)?;
        let page = range.start / PAGE;
        let mut written = self.written.borrow_mut();
        if let Some(kept) = written.get_mut(page) {
            let within = |offset: u64| (offset - page * PAGE) as usize;
            copies::clear(&mut kept[within(range.start)..within(range.end)]);
        }
        Ok(())
    }

    /// Pages that the base has some of.
    pub(super) fn base_pages(&self) -> u64 {
        (self.base.from(0).len() as u64).div_ceil(PAGE)
    }

    /// Whether the page at `offset` is anything but zeros that nobody has written.
    pub fn has_page(&self, offset: u64) -> bool {
        let is_written = self.written.borrow().get(offset / PAGE).is_some();
        is_written || !self.base.from(offset).is_empty()
    }

    /// Where from `offset` on there is anything but a hole, if there is any more.
    pub fn next_data(&self, offset: u64) -> Option<u64> {
        let page = match self.has_page(offset / PAGE * PAGE) {
            true => offset / PAGE,
            false => self.written.borrow().next(offset / PAGE)?,
        };
        let data = offset.max(page * PAGE);
        (data < self.len()).then_some(data)
    }

    /// Where from `offset` on there is a hole: at the end at the latest.
    pub fn next_hole(&self, offset: u64) -> u64 {
        let from = (offset / PAGE).max(self.base_pages());
        let hole = self.written.borrow().next_gap(from) * PAGE;
        hole.max(offset).min(self.len())
    }
}
