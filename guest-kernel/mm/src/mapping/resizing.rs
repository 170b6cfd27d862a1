//! Areas that grow, shrink, move, and show other pages: the heap, `mremap`, `remap_file_pages`.

use core::ops::Range;

use abi::Errno;
use abi::virtual_map::{PAGE_SIZE, USER_END};

use crate::address_space::{AddressSpace, Inner};
use crate::area::{Area, Kind, Locking};
use crate::area_tree::Node;
use crate::mapping::{Backing, Place, Request, page_range, round_up};
use crate::page_tables::{Access, Sharing};
use crate::{Shared, quota};

/// Where a mapping may go whose size changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// It stays.
    Stay,
    /// Anywhere, if it cannot stay (MREMAP_MAYMOVE).
    Anywhere,
    /// Here, instead of whatever is there (MREMAP_FIXED).
    Replace(u64),
}

impl AddressSpace {
    /// Changes the size of the mapping at `start` from `old` bytes to `new`, and its place as
    /// `target` says. The old place stays mapped, without its pages, if it is to be kept. Of a
    /// shared mapping, no bytes are another mapping of the same. Returns where it is.
    ///
    /// # Errors
    /// EINVAL for invalid sizes or places, EFAULT if the old range is not in one area, ENOMEM if
    /// there is no room. Nothing has changed, but that what was in a fixed target may be gone.
    pub fn remap(
        &self,
        start: u64,
        old: u64,
        new: u64,
        target: Target,
        keep: bool,
    ) -> Result<u64, Errno> {
        let place = self.inner().remap(start, old, new, target, keep)?;
        if new > old {
            let end = |len: u64| place + len.next_multiple_of(PAGE_SIZE);
            // As far as there is memory for it.
            let _ = self.bring(end(old)..end(new));
        }
        Ok(place)
    }

    /// Has the range, which is of one shared file, show that from `page` on.
    ///
    /// # Errors
    /// EINVAL: it is not, or no valid range. EOVERFLOW: no file has such a page. Those of
    /// [`map`](Self::map).
    pub fn show_other_pages(&self, start: u64, len: u64, page: u64) -> Result<(), Errno> {
        let range = page_range(start, len)?;
        let area = self.inner().shared_area(&range).cloned();
        let Some(Area {
            kind: Kind::Shared(part, may_write),
            access,
            locking,
            ..
        }) = area
        else {
            return Err(Errno::EINVAL);
        };
        let offset = page.checked_mul(PAGE_SIZE);
        let offset = offset.filter(|offset| i64::try_from(offset.saturating_add(len)).is_ok());
        let offset = offset.ok_or(Errno::EOVERFLOW)?;
        self.map(Request {
            place: Place::Replace(start),
            len,
            access,
            backing: Backing::SharedFile {
                file: part.file,
                offset,
                may_write,
            },
            populate: true,
            overcommit: false,
            locking,
        })?;
        Ok(())
    }

    /// Says where the heap starts, once all segments are there.
    pub fn start_heap(&self, start: u64) {
        self.inner().heap = start..start;
    }

    /// Makes the heap end at `end` if that is possible, and returns where it ends.
    pub fn set_heap_end(&self, end: u64) -> u64 {
        let mut inner = self.inner();
        let old = inner.heap.end;
        if end < inner.heap.start || inner.resize_heap(end).is_err() {
            return old;
        }
        inner.heap.end = end;
        drop(inner);
        if end > old {
            // As far as there is memory for it.
            let _ = self.bring(old.next_multiple_of(PAGE_SIZE)..end.next_multiple_of(PAGE_SIZE));
        }
        end
    }
}

impl Inner {
    /// The first area of `range`, if all of that is in areas of one shared file which permit the
    /// same.
    fn shared_area(&self, range: &Range<u64>) -> Option<&Area> {
        let first = self.areas.at_or_after(range.start)?;
        let Kind::Shared(of_first, _) = &first.kind else {
            return None;
        };
        let is_like = |area: &Area| match &area.kind {
            Kind::Shared(part, _) => {
                area.access == first.access && Shared::is_same(&part.file, &of_first.file)
            }
            _ => false,
        };
        let are_like = self.areas.range(range.clone()).all(is_like);
        (are_like && self.mapped_end(range) == range.end).then_some(first)
    }

    fn resize_heap(&mut self, end: u64) -> Result<(), Errno> {
        let page_end = |end: u64| end.checked_next_multiple_of(PAGE_SIZE).ok_or(Errno::ENOMEM);
        let (old, new) = (page_end(self.heap.end)?, page_end(end)?);
        if new < old {
            return self.unmap(&(new..old));
        }
        if new == old {
            return Ok(());
        }
        self.map(Request {
            place: Place::Free(old),
            len: new - old,
            access: Access::READ | Access::WRITE,
            backing: Backing::Zero,
            populate: false,
            overcommit: false,
            locking: Locking::Unlocked,
        })?;
        Ok(())
    }

    fn remap(
        &mut self,
        start: u64,
        old_len: u64,
        len: u64,
        target: Target,
        keep: bool,
    ) -> Result<u64, Errno> {
        if !start.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL);
        }
        let old_len = old_len
            .checked_next_multiple_of(PAGE_SIZE)
            .ok_or(Errno::EINVAL)?;
        let len = round_up(len).map_err(|_| Errno::EINVAL)?;
        let old = start..start.checked_add(old_len).ok_or(Errno::EINVAL)?;
        if let Target::Replace(to) = target {
            let to = page_range(to, len)?;
            if to.start < old.end && old.start < to.end {
                return Err(Errno::EINVAL);
            }
            self.check_place(&to)?;
        }
        let area = self.areas.containing_mut(start).cloned();
        let area = area.ok_or(Errno::EFAULT)?;
        if old_len == 0 && area.sharing() == Sharing::Private {
            return Err(Errno::EINVAL);
        }
        let is_fixed = matches!(target, Target::Replace(_));
        if len <= old_len && !is_fixed && !keep {
            if len < old_len {
                self.unmap(&(start + len..old.end))?;
            }
            return Ok(start);
        }
        if old.end > area.end {
            return Err(Errno::EFAULT);
        }
        // What stays mapped has its size, and what moves takes that along.
        let leaving = if keep { 0 } else { old_len };
        let more = len.saturating_sub(leaving);
        self.check_size(more, &area)?;
        if area.access.contains(Access::WRITE) && area.sharing() == Sharing::Private {
            quota::check_pages(self.held(), len.saturating_sub(old_len) / PAGE_SIZE)?;
        }
        if !is_fixed && !keep && old_len != 0 {
            let end = start.checked_add(len).ok_or(Errno::ENOMEM)?;
            if end <= USER_END && self.check_free(&(old.end..end)).is_ok() && old.end == area.end {
                let start = old.end;
                self.insert(Area { start, end, ..area })?;
                return Ok(old.start);
            }
        }
        let to = match target {
            Target::Stay => return Err(Errno::ENOMEM),
            Target::Anywhere => self.find_gap(len).ok_or(Errno::ENOMEM)?,
            Target::Replace(to) => {
                self.unmap(&(to..to + len))?;
                to
            }
        };
        self.move_area(area, &old, to..to + len, keep)?;
        Ok(to)
    }

    /// Moves the part of `area` in `old`, as far as there is room, to `new`, where nothing is.
    /// The old place remains, empty, if it is to be kept.
    fn move_area(
        &mut self,
        area: Area,
        old: &Range<u64>,
        new: Range<u64>,
        keep: bool,
    ) -> Result<(), Errno> {
        let kind = match area.kind {
            Kind::Stack => Kind::Zero,
            kind => kind.moved(old.start, new.start),
        };
        self.check_areas(1)?;
        let node = Node::new(Area {
            start: new.start,
            end: new.end,
            kind,
            ..area
        })?;
        self.cut(old)?;
        let moving = (old.end - old.start).min(new.end - new.start);
        if moving > 0 {
            self.tables
                .move_pages(old.start..old.start + moving, new.start)?;
        }
        if !keep && !old.is_empty() {
            self.unmap(old)?;
        }
        let (start, end) = (new.start, new.end);
        self.areas.insert(node);
        self.size += end - start;
        self.areas.merge(start);
        self.areas.merge(end);
        if keep {
            // It has been cut there, so that this does not fail.
            let _ = self.set_locking(old, Locking::Unlocked);
        }
        self.merge_all(old);
        Ok(())
    }
}
