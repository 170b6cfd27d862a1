//! Locked memory (`mlock`). All memory stays where it is anyway: what is locked is in place at once,
//! and is counted.

use core::ops::Range;

use abi::Errno;
use abi::virtual_map::{PAGE_SIZE, USER_END};

use crate::address_space::{AddressSpace, Inner};
use crate::area::{Area, Kind};
use crate::fault::Attempt;
use crate::mapping::page_range;

/// The pages that have some of these bytes, maybe none.
fn pages(start: u64, len: u64) -> Result<Range<u64>, Errno> {
    let skipped = start % PAGE_SIZE;
    let len = len.checked_add(skipped).ok_or(Errno::EINVAL)?;
    let start = start - skipped;
    match len {
        0 => Ok(start..start),
        len => page_range(start, len).map_err(|_| Errno::ENOMEM),
    }
}

impl AddressSpace {
    /// Bytes that are locked.
    pub fn locked(&self) -> u64 {
        self.inner().areas.sum(|area| area.is_locked)
    }

    /// Whether no more than `limit` bytes would be locked with `more`.
    pub fn may_lock(&self, more: u64, limit: u64) -> bool {
        limit == u64::MAX || self.locked().saturating_add(more) <= limit
    }

    /// Whether what is at `address` is locked.
    pub fn is_locked(&self, address: u64) -> bool {
        let inner = self.inner();
        let area = inner.areas.at_or_after(address);
        area.is_some_and(|area| area.start <= address && area.is_locked)
    }

    /// Whether what is mapped from now on is locked (MCL_FUTURE).
    pub fn locks_future(&self) -> bool {
        self.inner().locks_future
    }

    /// Says whether it is.
    pub fn set_locks_future(&self, locks: bool) {
        self.inner().locks_future = locks;
    }

    /// Locks pages, up to `limit` bytes in all, and maps those that may be used at all, if they
    /// are to be there at once.
    ///
    /// # Errors
    /// EINVAL for an invalid range; ENOMEM if it is too much, if there is no area in part of it,
    /// which has no effect on what lies before, or no memory.
    pub fn lock(&self, start: u64, len: u64, limit: u64, at_once: bool) -> Result<(), Errno> {
        let range = pages(start, len)?;
        let locked = self.inner().locked_in(&range);
        if !self.may_lock(range.end - range.start - locked, limit) {
            return Err(Errno::ENOMEM);
        }
        self.inner().set_locked(&range, true)?;
        let mut next = range.start;
        while at_once && next < range.end {
            let area = self.inner().areas.at_or_after(next).cloned();
            let Some(area) = area else { break };
            let end = area.end.min(range.end);
            if !area.access.is_empty() {
                let done = self.populate(next..end, Attempt::widest(area.access));
                done.map_err(|_| Errno::ENOMEM)?;
            }
            next = end;
        }
        Ok(())
    }

    /// Unlocks pages.
    ///
    /// # Errors
    /// As for [`lock`](Self::lock).
    pub fn unlock(&self, start: u64, len: u64) -> Result<(), Errno> {
        self.inner().set_locked(&pages(start, len)?, false)
    }

    /// Locks or unlocks all that there is.
    pub fn set_all_locked(&self, is_locked: bool) {
        self.inner().set_all_locked(is_locked);
    }
}

impl Inner {
    fn locked_in(&self, range: &Range<u64>) -> u64 {
        let areas = self.areas.range(range.clone());
        let size = |area: &Area| area.end.min(range.end) - area.start.max(range.start);
        areas.filter(|area| area.is_locked).map(size).sum()
    }

    /// As Linux, up to the first page without an area.
    pub(crate) fn set_locked(&mut self, range: &Range<u64>, is_locked: bool) -> Result<(), Errno> {
        let mapped = range.start..self.mapped_end(range);
        if !mapped.is_empty() {
            self.cut(&mapped)?;
            self.set_each_locked(&mapped, is_locked);
        }
        match mapped.end == range.end {
            true => Ok(()),
            false => Err(Errno::ENOMEM),
        }
    }

    pub(crate) fn set_all_locked(&mut self, is_locked: bool) {
        self.set_each_locked(&(0..USER_END), is_locked);
    }

    /// Locks or unlocks the areas of which each is in `range` as a whole or not at all.
    fn set_each_locked(&mut self, range: &Range<u64>, is_locked: bool) {
        self.has_locked |= is_locked;
        let mut next = range.start;
        while let Some(start) = self.areas.at_or_after(next).map(|area| area.start) {
            let area = self.areas.containing_mut(start);
            let Some(area) = area.filter(|area| area.end <= range.end) else {
                break;
            };
            area.is_locked = is_locked && !matches!(area.kind, Kind::Vdso);
            next = area.end;
        }
        self.merge_all(range);
    }
}
