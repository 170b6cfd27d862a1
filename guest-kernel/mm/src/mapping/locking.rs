//! Locked memory (`mlock`). All memory stays where it is anyway: what is locked is in place at once,
//! and is counted.

use core::ops::Range;

use abi::Errno;
use abi::virtual_map::{PAGE_SIZE, USER_END};

use crate::address_space::{AddressSpace, Inner};
use crate::area::{Area, Kind, Locking};
use crate::fault::{Attempt, FaultCause};
use crate::mapping::page_range;

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
        self.inner().areas.sum(Area::is_locked)
    }

    /// Whether no more than `limit` bytes would be locked with `more`.
    pub fn may_lock(&self, more: u64, limit: u64) -> bool {
        limit == u64::MAX || self.locked().saturating_add(more) <= limit
    }

    /// Whether what is at `address` is locked.
    pub fn is_locked(&self, address: u64) -> bool {
        let inner = self.inner();
        let area = inner.areas.at_or_after(address);
        area.is_some_and(|area| area.start <= address && area.is_locked())
    }

    /// Whether what is mapped from now on is locked.
    pub fn locks_future(&self) -> bool {
        self.inner().future != Locking::Unlocked
    }

    /// Says how it is.
    pub fn set_future(&self, locking: Locking) {
        self.inner().future = locking;
    }

    /// Locks pages, up to `limit` bytes in all.
    ///
    /// # Errors
    /// EINVAL for an invalid range; ENOMEM if it is too much; if there is no area in part of it, or
    /// none that may be used, or no memory: what lies before is locked.
    pub fn lock(&self, start: u64, len: u64, limit: u64, locking: Locking) -> Result<(), Errno> {
        let range = pages(start, len)?;
        let locked = self.inner().locked_in(&range);
        if !self.may_lock(range.end - range.start - locked, limit) {
            return Err(Errno::ENOMEM);
        }
        self.inner().set_locking(&range, locking)?;
        self.bring(range).map_err(|_| Errno::ENOMEM)
    }

    /// Maps the pages of a range that are locked, and not only once they are touched: up to the
    /// first that cannot be.
    pub(super) fn bring(&self, range: Range<u64>) -> Result<(), FaultCause> {
        if !self.inner().has_locked {
            return Ok(());
        }
        let mut next = range.start;
        while next < range.end {
            let area = self.inner().areas.at_or_after(next).cloned();
            let area = area.ok_or(FaultCause::NotMapped)?;
            let end = area.end.min(range.end);
            if area.locking == Locking::AtOnce {
                if area.access.is_empty() {
                    return Err(FaultCause::Forbidden);
                }
                self.populate(next..end, Attempt::widest(area.access))?;
            }
            next = end;
        }
        Ok(())
    }

    /// Locks all that there is, and maps the pages as far as they can be.
    pub fn lock_all(&self, locking: Locking) {
        self.inner().set_all_locking(locking);
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
        self.inner()
            .set_locking(&pages(start, len)?, Locking::Unlocked)
    }

    /// Unlocks all that there is, and what is mapped from now on.
    pub fn unlock_all(&self) {
        let mut inner = self.inner();
        inner.set_all_locking(Locking::Unlocked);
        inner.future = Locking::Unlocked;
    }
}

impl Inner {
    /// How memory is locked that is mapped now, where this is `wanted` for it.
    pub(super) fn locking_of(&self, wanted: Locking) -> Locking {
        match self.future {
            Locking::Unlocked => wanted,
            of_all => of_all,
        }
    }

    fn locked_in(&self, range: &Range<u64>) -> u64 {
        let areas = self.areas.range(range.clone());
        let size = |area: &Area| area.end.min(range.end) - area.start.max(range.start);
        areas.filter(|area| area.is_locked()).map(size).sum()
    }

    /// As Linux, up to the first page without an area.
    pub(super) fn set_locking(
        &mut self,
        range: &Range<u64>,
        locking: Locking,
    ) -> Result<(), Errno> {
        let mapped = range.start..self.mapped_end(range);
        if !mapped.is_empty() {
            self.cut(&mapped)?;
            self.set_each(&mapped, locking);
        }
        match mapped.end == range.end {
            true => Ok(()),
            false => Err(Errno::ENOMEM),
        }
    }

    pub(crate) fn set_all_locking(&mut self, locking: Locking) {
        self.set_each(&(0..USER_END), locking);
    }

    /// Locks or unlocks the areas of which each is in `range` as a whole or not at all.
    fn set_each(&mut self, range: &Range<u64>, locking: Locking) {
        self.has_locked |= locking != Locking::Unlocked;
        let mut next = range.start;
        while let Some(start) = self.areas.at_or_after(next).map(|area| area.start) {
            let area = self.areas.containing_mut(start);
            let Some(area) = area.filter(|area| area.end <= range.end) else {
                break;
            };
            area.locking = match area.kind {
                Kind::Vdso => Locking::Unlocked,
                _ => locking,
            };
            next = area.end;
        }
        self.merge_all(range);
    }
}
