//! Areas that grow, shrink and move: the heap, and `mremap`.

use core::ops::Range;

use abi::Errno;
use abi::virtual_map::{PAGE_SIZE, USER_END};

use crate::address_space::Inner;
use crate::area::{Area, Kind};
use crate::area_tree::Node;
use crate::mapping::{Backing, Place, Request};
use crate::page_tables::Access;
use crate::quota;

impl Inner {
    pub(crate) fn resize_heap(&mut self, end: u64) -> Result<(), Errno> {
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
        })?;
        Ok(())
    }

    pub(crate) fn remap(
        &mut self,
        old: &Range<u64>,
        len: u64,
        may_move: bool,
    ) -> Result<u64, Errno> {
        let area = self.areas.containing_mut(old.start).cloned();
        let area = area
            .filter(|area| old.end <= area.end)
            .ok_or(Errno::EFAULT)?;
        let old_len = old.end - old.start;
        if len <= old_len {
            if len < old_len {
                self.unmap(&(old.start + len..old.end))?;
            }
            return Ok(old.start);
        }
        if matches!(area.kind, Kind::Shared | Kind::Stack) {
            return Err(Errno::EINVAL);
        }
        let more = len - old_len;
        if more > self.limits.size.saturating_sub(self.size) {
            return Err(Errno::ENOMEM);
        }
        if area.access.contains(Access::WRITE) {
            quota::check_pages(self.held(), more / PAGE_SIZE)?;
        }
        let end = old.start.checked_add(len).ok_or(Errno::ENOMEM)?;
        if end <= USER_END && self.check_free(&(old.end..end)).is_ok() {
            let (start, area) = (old.end, area);
            self.insert(Area { start, end, ..area })?;
            return Ok(old.start);
        }
        if !may_move {
            return Err(Errno::ENOMEM);
        }
        self.move_area(area, old, len)
    }

    /// Moves the part of `area` in `old` to where `len` bytes are free.
    pub(crate) fn move_area(
        &mut self,
        area: Area,
        old: &Range<u64>,
        len: u64,
    ) -> Result<u64, Errno> {
        let start = self.find_gap(len).ok_or(Errno::ENOMEM)?;
        let kind = match area.kind {
            Kind::File(part) => Kind::File(part.moved(old.start, start)),
            kind => kind,
        };
        self.check_areas(1)?;
        let end = start + len;
        let node = Node::new(Area {
            start,
            end,
            kind,
            ..area
        })?;
        self.cut(old)?;
        self.tables.move_pages(old.clone(), start)?;
        self.unmap(old)?;
        self.areas.insert(node);
        self.size += len;
        self.areas.merge(start);
        self.areas.merge(end);
        Ok(start)
    }
}
