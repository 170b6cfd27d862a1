//! Locked memory (`mlock`). All memory stays where it is anyway: what is locked is in place at once,
//! and is counted.

use core::ops::Range;

use abi::Errno;
use abi::virtual_map::{PAGE_SIZE, USER_END};

use crate::address_space::{AddressSpace, Inner};
use crate::area::{Area, Kind};
use crate::fault::{Attempt, FaultCause};
use crate::mapping::page_range;

/// What becomes of memory that is mapped from now on (MCL_FUTURE).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Future {
    /// It is not locked.
    Unlocked,
    /// It is, without being in place (MCL_ONFAULT).
    OnFault,
    /// It is locked and in place.
    AtOnce,
}

/// The pages that have some of these bytes, maybe none: as on Linux, so many bytes that their pages
/// cannot be counted are none.
fn pages(start: u64, len: u64) -> Result<Range<u64>, Errno> {
    let skipped = start % PAGE_SIZE;
    let start = start - skipped;
    let len = len.wrapping_add(skipped + PAGE_SIZE - 1) & !(PAGE_SIZE - 1);
    start.checked_add(len).ok_or(Errno::EINVAL)?;
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

    /// Whether what is mapped from now on is locked.
    pub fn locks_future(&self) -> bool {
        self.inner().future != Future::Unlocked
    }

    /// Says what becomes of it.
    pub fn set_future(&self, future: Future) {
        self.inner().future = future;
    }

    /// Locks pages, up to `limit` bytes in all, and maps them if they are to be there at once.
    ///
    /// # Errors
    /// EINVAL for an invalid range; ENOMEM if it is too much; if there is no area in part of it, or
    /// none that may be used, or no memory: what lies before is locked.
    pub fn lock(&self, start: u64, len: u64, limit: u64, at_once: bool) -> Result<(), Errno> {
        let range = pages(start, len)?;
        let locked = self.inner().locked_in(&range);
        if !self.may_lock(range.end - range.start - locked, limit) {
            return Err(Errno::ENOMEM);
        }
        self.inner().set_locked(&range, true)?;
        match at_once {
            true => self.bring(range).map_err(|_| Errno::ENOMEM),
            false => Ok(()),
        }
    }

    /// Maps the pages of a range, up to the first that cannot be.
    pub(super) fn bring(&self, range: Range<u64>) -> Result<(), FaultCause> {
        let mut next = range.start;
        while next < range.end {
            let area = self.inner().areas.at_or_after(next).cloned();
            let area = area.ok_or(FaultCause::NotMapped)?;
            if area.access.is_empty() {
                return Err(FaultCause::Forbidden);
            }
            let end = area.end.min(range.end);
            self.populate(next..end, Attempt::widest(area.access))?;
            next = end;
        }
        Ok(())
    }

    /// Maps the pages of all areas, as far as they can be.
    pub fn bring_all(&self) {
        let mut next = 0;
        loop {
            let area = self.inner().areas.at_or_after(next).cloned();
            let Some(area) = area else { break };
            // Of the others there may be more.
            let _ = self.bring(area.start..area.end);
            next = area.end;
        }
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
