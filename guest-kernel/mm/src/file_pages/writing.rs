//! Writes to a file, and how it grows by them.

use arch::copies;

use super::tree::Run;
use super::{FilePages, PAGE};
use crate::frames::{FRAME_SIZE, FrameRun};
use crate::{OutOfMemory, quota};

impl FilePages {
    /// Calls `fill` with the bytes from `offset` on, to the end of their page; it returns
    /// how many it has overwritten. The file grows to hold them. `fill` must not use the
    /// same file.
    ///
    /// # Errors
    /// There is no memory; nothing has changed.
    ///
    /// # Panics
    /// `offset` is not below [`MAX_LEN`](super::MAX_LEN).
    pub fn write_with(
        &self,
        offset: u64,
        fill: impl FnOnce(&mut [u8]) -> usize,
    ) -> Result<usize, OutOfMemory> {
        self.write_run(offset, 1, fill)
    }

    /// The same with more pages, if `wanted` bytes are that many: as many as lie together.
    ///
    /// # Errors
    /// As for [`write_with`](Self::write_with).
    ///
    /// # Panics
    /// As for [`write_with`](Self::write_with).
    pub fn write_run(
        &self,
        offset: u64,
        wanted: usize,
        fill: impl FnOnce(&mut [u8]) -> usize,
    ) -> Result<usize, OutOfMemory> {
        let (page, within) = (offset / PAGE, (offset % PAGE) as usize);
        self.leave_read_only(page);
        let new = self.add_pages(offset, wanted);
        let mut written = self.written.borrow_mut();
        let most = match new {
            0 => {
                written.get_or_insert(page, || self.copy_of_base(page))?;
                (within + wanted.max(1)).div_ceil(FRAME_SIZE) as u64
            }
            new => new,
        };
        let place = &mut written.run_mut(page, most)[within..];
        let count = fill(place);
        if new != 0 {
            copies::clear(&mut place[count..]);
        }
        drop(written);
        let end = offset + count as u64;
        if end > self.len() {
            self.grow(offset, end);
        }
        Ok(count)
    }

    /// Gives pages from `offset` on that `wanted` bytes fill frames of unknown contents that lie
    /// together, if there is nothing of these pages yet. Returns how many pages: none if there
    /// would be only one.
    fn add_pages(&self, offset: u64, wanted: usize) -> u64 {
        let mut most = (wanted / FRAME_SIZE) as u64;
        if most < 2 || !offset.is_multiple_of(PAGE) || !self.base.from(offset).is_empty() {
            return 0;
        }
        let mut written = self.written.borrow_mut();
        let page = offset / PAGE;
        let Run::Gap(gap) = written.run(page, most) else {
            return 0;
        };
        most = most.min(gap).min(quota::frames_for_files());
        if most < 2 {
            return 0;
        }
        // Without memory the caller finds that, or one frame, by itself.
        written
            .insert_run(page, most, FrameRun::allocate)
            .unwrap_or(0)
    }

    /// Makes the file longer; it has been written to from `from` on.
    pub(super) fn grow(&self, from: u64, len: u64) {
        let old = self.len();
        self.len.set(len);
        let end = old.next_multiple_of(PAGE).min(from);
        if self.mapped_end.get() <= old / PAGE || old >= end {
            return;
        }
        let mut written = self.written.borrow_mut();
        if let Some(last) = written.get_mut(old / PAGE) {
            let within = (old % PAGE) as usize;
            copies::clear(&mut last.bytes_mut()[within..within + (end - old) as usize]);
        }
    }
}
