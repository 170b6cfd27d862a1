//! Writes to a file, and how it grows by them.

use arch::copies;

use super::tree::PageTree;
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
        self.leave_read_only(offset / PAGE);
        let mut written = self.written.borrow_mut();
        let count = match self.new_pages(&mut written, offset, wanted) {
            Some(mut frames) => {
                let count = fill(frames.bytes_mut());
                let mut filled = frames.take_front(count);
                copies::clear(&mut filled.bytes_mut()[count..]);
                written.put(offset / PAGE, filled);
                count
            }
            None => self.fill_kept(&mut written, offset, wanted, fill)?,
        };
        self.share.settle(written.count());
        drop(written);
        let end = offset + count as u64;
        if count > 0 && end > self.len() {
            self.grow(offset, end);
        }
        Ok(count)
    }

    /// Frames of unknown contents that lie together, for the pages from `offset` on that `wanted`
    /// bytes fill but for the last; if there is a page's worth of bytes, nothing yet in their
    /// place, and memory.
    fn new_pages(&self, written: &mut PageTree, offset: u64, wanted: usize) -> Option<FrameRun> {
        let is_new = offset.is_multiple_of(PAGE) && self.base.from(offset).is_empty();
        if wanted < FRAME_SIZE || !is_new {
            return None;
        }
        let most = quota::frames_for_files().min(self.share.left());
        let most = most.min(wanted.div_ceil(FRAME_SIZE) as u64);
        if most == 0 {
            return None;
        }
        written.frames_for(offset / PAGE, most, FrameRun::allocate)
    }

    /// Writes to what the file keeps from `offset` on, which gets a page if there is none.
    fn fill_kept(
        &self,
        written: &mut PageTree,
        offset: u64,
        wanted: usize,
        fill: impl FnOnce(&mut [u8]) -> usize,
    ) -> Result<usize, OutOfMemory> {
        let (page, within) = (offset / PAGE, (offset % PAGE) as usize);
        written.keep(page, || self.copy_of_base(page))?;
        let most = (within + wanted.max(1)).div_ceil(FRAME_SIZE) as u64;
        Ok(fill(&mut written.run_mut(page, most)[within..]))
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
            copies::clear(&mut last[within..within + (end - old) as usize]);
        }
    }
}
