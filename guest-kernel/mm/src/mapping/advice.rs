//! What programs say of their memory without changing what it is: `madvise`, `mincore`.

use core::ops::Range;

use abi::Errno;
use abi::virtual_map::PAGE_SIZE;

use crate::address_space::{AddressSpace, Inner};
use crate::area::{Area, Kind, OnFork};
use crate::fault::{Attempt, FaultCause};
use crate::mapping::page_range;
use crate::page_tables::Access;

/// The pages of a range that may be empty.
fn advised_range(start: u64, len: u64) -> Result<Range<u64>, Errno> {
    if len == 0 && start.is_multiple_of(PAGE_SIZE) {
        return Ok(start..start);
    }
    page_range(start, len)
}

/// What of a range may be discarded; the first area that may not ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discarded {
    /// What is not locked (MADV_DONTNEED).
    Unlocked,
    /// Also that (MADV_DONTNEED_LOCKED).
    All,
    /// Zeros that are not locked, and no files (MADV_FREE).
    Zeros,
}

impl AddressSpace {
    /// Whether all of the range is in areas.
    ///
    /// # Errors
    /// EINVAL for an invalid range; ENOMEM if it is not.
    pub fn check_mapped(&self, start: u64, len: u64) -> Result<(), Errno> {
        self.inner().check_mapped(&advised_range(start, len)?)
    }

    /// The same, and that nothing of it is locked.
    ///
    /// # Errors
    /// EBUSY: something is. Those of [`check_mapped`](Self::check_mapped).
    pub fn check_unlocked(&self, start: u64, len: u64) -> Result<(), Errno> {
        let range = advised_range(start, len)?;
        let inner = self.inner();
        match inner.areas.range(range.clone()).any(Area::is_locked) {
            true => Err(Errno::EBUSY),
            false => inner.check_mapped(&range),
        }
    }

    /// Discards the program's own pages in the range (MADV_DONTNEED): the next access finds
    /// zeros, or what the file has.
    ///
    /// # Errors
    /// EINVAL for an invalid range, or one with what may not be `discarded`; ENOMEM if there is no
    /// area in part of it, which has no effect on the rest.
    pub fn discard(&self, start: u64, len: u64, discarded: Discarded) -> Result<(), Errno> {
        let range = advised_range(start, len)?;
        let mut inner = self.inner();
        let Inner { tables, areas, .. } = &mut *inner;
        for area in areas.range(range.clone()) {
            let is_kept = match discarded {
                Discarded::Unlocked => area.is_locked(),
                Discarded::Zeros => area.is_locked() || area.file().is_some(),
                Discarded::All => false,
            };
            if is_kept {
                return Err(Errno::EINVAL);
            }
            tables.unmap(area.start.max(range.start)..area.end.min(range.end));
        }
        inner.check_mapped(&range)
    }

    /// Clears the range in the files that are mapped there, for all (MADV_REMOVE).
    ///
    /// # Errors
    /// EINVAL for an invalid range, or one that is not of shared files, or locked; EACCES if it
    /// cannot be written to; ENOMEM if there is no area in part of it, or no memory.
    pub fn clear_files(&self, start: u64, len: u64) -> Result<(), Errno> {
        let range = advised_range(start, len)?;
        self.inner().check_mapped(&range)?;
        let mut next = range.start;
        while next < range.end {
            // Without a borrow: a file may leave this address space.
            let area = self.inner().areas.at_or_after(next).cloned();
            let Some(area) = area.filter(|area| area.start <= next) else {
                return Err(Errno::ENOMEM);
            };
            let part = match &area.kind {
                Kind::Shared(part, _) if !area.is_locked() => part,
                _ => return Err(Errno::EINVAL),
            };
            if !area.access.contains(Access::WRITE) {
                return Err(Errno::EACCES);
            }
            let end = area.end.min(range.end);
            let offset = part.offset + (next - part.start);
            part.file.punch(offset, end - next)?;
            next = end;
        }
        Ok(())
    }

    /// Says what a child has of the range.
    ///
    /// # Errors
    /// EINVAL for an invalid range, or if files are to be cleared; ENOMEM if there is no area in
    /// part of it.
    pub fn set_on_fork(&self, start: u64, len: u64, on_fork: OnFork) -> Result<(), Errno> {
        let range = advised_range(start, len)?;
        let mut inner = self.inner();
        let is_file = |area: &Area| area.file().is_some();
        if on_fork == OnFork::Clear && inner.areas.range(range.clone()).any(is_file) {
            return Err(Errno::EINVAL);
        }
        inner.check_mapped(&range)?;
        inner.cut(&range)?;
        let mut next = range.start;
        while let Some(area) = inner.areas.containing_mut(next) {
            if next >= range.end {
                break;
            }
            area.on_fork = on_fork;
            next = area.end;
        }
        inner.merge_all(&range);
        Ok(())
    }

    /// Maps the pages of a range, for such attempts (MADV_POPULATE_READ, MADV_POPULATE_WRITE).
    ///
    /// # Errors
    /// EINVAL for an invalid range; EINVAL if the attempt is not allowed; ENOMEM if there is no
    /// area, or no memory; EFAULT past the end of a file.
    pub fn touch(&self, start: u64, len: u64, attempt: Attempt) -> Result<(), Errno> {
        let range = advised_range(start, len)?;
        self.populate(range, attempt).map_err(|cause| match cause {
            FaultCause::Forbidden | FaultCause::ProtectionKey => Errno::EINVAL,
            FaultCause::PastEndOfFile => Errno::EFAULT,
            FaultCause::NotMapped | FaultCause::StackOverflow | FaultCause::OutOfMemory => {
                Errno::ENOMEM
            }
        })
    }

    /// Maps pages, up to the first that cannot be.
    pub(crate) fn populate(&self, range: Range<u64>, attempt: Attempt) -> Result<(), FaultCause> {
        for page in range.step_by(PAGE_SIZE as usize) {
            self.resolve_page(page, attempt)?;
        }
        Ok(())
    }

    /// Whether an access to `page` would find what it needs in memory: `None` if nothing is
    /// mapped there.
    pub fn is_in_memory(&self, page: u64) -> Option<bool> {
        let inner = self.inner();
        let area = inner.areas.at_or_after(page)?;
        if area.start > page {
            return None;
        }
        // What files have is in memory.
        let of_file = |part: &crate::area::FilePart| {
            let offset = part.whole_page(page);
            offset.is_some_and(|offset| offset < part.file.len() && part.file.has_page(offset))
        };
        Some(inner.tables.get(page).is_some() || area.file().is_some_and(of_file))
    }
}
