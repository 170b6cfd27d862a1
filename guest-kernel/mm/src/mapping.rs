//! System calls on address spaces: areas are mapped, unmapped and changed.
//!
//! Each call does first what may fail (checks, places in the tree) and then what cannot, so
//! that an error changes nothing, except that areas may have been split, which has no
//! visible effect. What a program may write to and execute is its own affair: JIT compilers do
//! both at once.

mod advice;
mod locking;
mod placing;
mod resizing;

pub use self::advice::Discarded;
pub use self::resizing::Target;

use core::ops::Range;

use abi::Errno;
use abi::virtual_map::{PAGE_SIZE, USER_END};

use crate::address_space::{AddressSpace, Inner, STACK_LIMIT};
use crate::area::{Area, FilePart, Kind, Locking, MayWrite, OnFork};
use crate::area_tree::Node;
use crate::fault::Attempt;
use crate::page_tables::Access;
use crate::{FilePages, Shared, quota};

/// Lowest address that may be mapped, so that null pointers and their neighbours fault.
pub const LOWEST: u64 = 0x1_0000;

/// Areas that the kernel places end here: below the farthest that the stack may reach,
/// its guard, and that much again.
pub(crate) const SEARCH_END: u64 = USER_END - 2 * STACK_LIMIT;

/// Where the vDSO is: right above them.
pub const VDSO: u64 = SEARCH_END;

/// Most areas of a program (Linux, `max_map_count`). Each is a kernel object.
pub const MAX_AREAS: usize = 65_530;

/// Where an area shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Here if it is free, else anywhere.
    Near(u64),
    /// Here, instead of whatever is there (MAP_FIXED).
    Replace(u64),
    /// Here, where nothing is (MAP_FIXED_NOREPLACE).
    Free(u64),
    /// Anywhere in the second GiB (MAP_32BIT).
    Low,
}

/// What an area shall hold.
pub enum Backing {
    /// Zeros, the program's own.
    Zero,
    /// The same, and the area grows downwards, as the stack does (MAP_GROWSDOWN).
    Growing,
    /// Zeros, shared with children, and whether the mapping may ever be written.
    Shared(MayWrite),
    /// The program's own copy of a file from `offset` on, which is page-aligned.
    File {
        #[allow(missing_docs)]
        file: Shared<FilePages>,
        #[allow(missing_docs)]
        offset: u64,
    },
    /// A file from `offset` on, in common with all who have it.
    SharedFile {
        #[allow(missing_docs)]
        file: Shared<FilePages>,
        #[allow(missing_docs)]
        offset: u64,
        /// Whether the file was open for writing.
        may_write: MayWrite,
    },
}

/// A new area.
pub struct Request {
    /// Where.
    pub place: Place,
    /// Bytes; rounded up to pages.
    pub len: u64,
    /// For what.
    pub access: Access,
    /// Holding what.
    pub backing: Backing,
    /// Whether all pages are mapped at once, if there is memory (MAP_POPULATE).
    pub populate: bool,
    /// Whether the area may exceed available memory (MAP_NORESERVE).
    pub overcommit: bool,
    /// How it is locked, unless the address space says how all new memory is.
    pub locking: Locking,
}

impl AddressSpace {
    /// Makes an area and returns where it starts.
    ///
    /// # Errors
    /// EINVAL for an invalid size or address, EPERM for one too low, EEXIST if something is
    /// where nothing may be, ENOMEM if there is no such range, or no memory that could fill it.
    pub fn map(&self, request: Request) -> Result<u64, Errno> {
        let (len, access) = (request.len, request.access);
        let mut inner = self.inner();
        let populate = match inner.locking_of(request.locking) {
            Locking::Unlocked => request.populate,
            Locking::OnFault => false,
            Locking::AtOnce => true,
        };
        let start = inner.map(request)?;
        drop(inner);
        if populate && !access.is_empty() {
            // As far as there is memory for it.
            let _ = self.populate(start..start + round_up(len)?, Attempt::widest(access));
        }
        Ok(start)
    }

    /// Maps part of a file as a program's segment: `part` says where its bytes go; the
    /// rest of `range` is zero.
    ///
    /// # Errors
    /// As for [`Self::map`]; EEXIST if something is there.
    pub fn map_segment(
        &self,
        range: Range<u64>,
        access: Access,
        part: FilePart,
    ) -> Result<(), Errno> {
        let mut inner = self.inner();
        inner.check_place(&range)?;
        inner.check_free(&range)?;
        inner.insert(Area {
            start: range.start,
            end: range.end,
            access,
            kind: Kind::File(part),
            on_fork: OnFork::Copy,
            locking: Locking::Unlocked,
        })
    }

    /// Maps the vDSO at [`VDSO`].
    ///
    /// # Errors
    /// EEXIST: something is there. ENOMEM.
    pub fn map_vdso(&self) -> Result<(), Errno> {
        let mut inner = self.inner();
        let range = VDSO..VDSO + PAGE_SIZE;
        inner.check_free(&range)?;
        inner.insert(Area {
            start: range.start,
            end: range.end,
            access: Access::READ | Access::EXECUTE,
            kind: Kind::Vdso,
            on_fork: OnFork::Copy,
            locking: Locking::Unlocked,
        })
    }

    /// Unmaps the vDSO's page, wherever it is: the next access makes it anew.
    pub(crate) fn renew_vdso(&self) {
        let mut inner = self.inner();
        let Inner { tables, areas, .. } = &mut *inner;
        let mut all = areas.range(0..USER_END);
        if let Some(area) = all.find(|area| matches!(area.kind, Kind::Vdso)) {
            tables.unmap(area.start..area.end);
        }
    }

    /// Where there is room for `len` bytes.
    pub fn find_gap(&self, len: u64) -> Option<u64> {
        self.inner().find_gap(round_up(len).ok()?)
    }

    /// Removes whatever is in the range.
    ///
    /// # Errors
    /// EINVAL for an invalid range; ENOMEM if cutting areas in two takes more memory than
    /// there is.
    pub fn unmap(&self, start: u64, len: u64) -> Result<(), Errno> {
        self.inner().unmap(&page_range(start, len)?)
    }

    /// Changes the permissions of the range.
    ///
    /// # Errors
    /// EINVAL and ENOMEM as for [`Self::unmap`]; EACCES for a shared file that was not open for
    /// writing; ENOMEM if there is no memory for what becomes writable: nothing has changed.
    /// ENOMEM if there is no area in part of the range: what lies before has changed.
    pub fn protect(&self, start: u64, len: u64, access: Access) -> Result<(), Errno> {
        if len == 0 && start.is_multiple_of(PAGE_SIZE) {
            return Ok(());
        }
        self.inner().protect(&page_range(start, len)?, access)
    }
}

/// A size in whole pages, of which there is at least one.
pub(crate) fn round_up(len: u64) -> Result<u64, Errno> {
    if len == 0 {
        return Err(Errno::EINVAL);
    }
    len.checked_next_multiple_of(PAGE_SIZE).ok_or(Errno::ENOMEM)
}

/// The pages of a range that starts with one.
pub(crate) fn page_range(start: u64, len: u64) -> Result<Range<u64>, Errno> {
    let len = round_up(len).map_err(|_| Errno::EINVAL)?;
    match start.checked_add(len) {
        Some(end) if end <= USER_END && start.is_multiple_of(PAGE_SIZE) => Ok(start..end),
        _ => Err(Errno::EINVAL),
    }
}

impl Inner {
    pub(crate) fn map(&mut self, request: Request) -> Result<u64, Errno> {
        let len = round_up(request.len)?;
        let start = self.place(request.place, len)?;
        let range = start..start + len;
        let part = |file, offset| FilePart {
            file,
            offset,
            start,
            len: u64::MAX,
        };
        let kind = match request.backing {
            Backing::Zero => Kind::Zero,
            Backing::Growing => Kind::Stack,
            Backing::Shared(may_write) => {
                let file = Shared::new(FilePages::new(&[]))?;
                file.set_len(len)?;
                Kind::Shared(part(file, 0), may_write)
            }
            Backing::File { file, offset } => Kind::File(part(file, offset)),
            Backing::SharedFile {
                file,
                offset,
                may_write,
            } => Kind::Shared(part(file, offset), may_write),
        };
        if request.access.contains(Access::WRITE) && !request.overcommit {
            quota::check_pages(self.held(), len / PAGE_SIZE)?;
        }
        let locking = self.locking_of(request.locking);
        self.has_locked |= locking != Locking::Unlocked;
        self.insert(Area {
            start,
            end: range.end,
            access: request.access,
            kind,
            on_fork: OnFork::Copy,
            locking,
        })?;
        Ok(start)
    }

    /// Inserts an area, in place of what the range holds.
    fn insert(&mut self, area: Area) -> Result<(), Errno> {
        let range = area.start..area.end;
        self.check_size(area.size(), &area)?;
        self.check_areas(1)?;
        let node = Node::new(area)?;
        self.unmap(&range)?;
        self.areas.insert(node);
        self.size += range.end - range.start;
        self.areas.merge(range.start);
        self.areas.merge(range.end);
        Ok(())
    }

    /// Whether there may be so many bytes more like those of `area`.
    fn check_size(&self, more: u64, area: &Area) -> Result<(), Errno> {
        if more > self.limits.size.saturating_sub(self.size) {
            return Err(Errno::ENOMEM);
        }
        if self.limits.data != u64::MAX && area.is_data() {
            let data = self.areas.sum(Area::is_data);
            if more > self.limits.data.saturating_sub(data) {
                return Err(Errno::ENOMEM);
            }
        }
        Ok(())
    }

    /// Whether there may be `more` areas.
    fn check_areas(&self, more: usize) -> Result<(), Errno> {
        if self.areas.len() + more > MAX_AREAS {
            return Err(Errno::ENOMEM);
        }
        // They are objects of the kernel's, which only count as frames of the program's.
        Ok(quota::check_page(self.held())?)
    }

    /// Splits areas at the ends of `range`.
    fn cut(&mut self, range: &Range<u64>) -> Result<(), Errno> {
        for at in [range.start, range.end] {
            let inside = |area: &&mut Area| area.start < at;
            if self.areas.containing_mut(at).filter(inside).is_some() {
                self.check_areas(1)?;
                self.areas.cut(at)?;
            }
        }
        Ok(())
    }

    pub(crate) fn unmap(&mut self, range: &Range<u64>) -> Result<(), Errno> {
        let around = self.areas.at_or_after(range.start);
        let Some(area) = around.filter(|area| area.start < range.end) else {
            return Ok(());
        };
        // Only a hole in the middle of an area makes more of them, in the end.
        if area.start < range.start && range.end < area.end {
            self.check_areas(1)?;
        }
        self.areas.cut(range.start)?;
        self.areas.cut(range.end)?;
        let before = self.size;
        while let Some(area) = self.areas.at_or_after(range.start) {
            let (start, end) = (area.start, area.end);
            if start >= range.end {
                break;
            }
            self.tables.unmap(start..end);
            self.areas.remove(start);
            self.size -= end - start;
        }
        let is_gap = self.size != before;
        if is_gap && (self.search_from..=SEARCH_END).contains(&range.end) {
            self.search_from = range.end;
        }
        Ok(())
    }

    /// Where the pages from the start of `range` end that are in areas.
    fn mapped_end(&self, range: &Range<u64>) -> u64 {
        let mut next = range.start;
        for area in self.areas.range(range.clone()) {
            if area.start > next {
                break;
            }
            next = area.end.min(range.end);
        }
        next
    }

    pub(crate) fn check_mapped(&self, range: &Range<u64>) -> Result<(), Errno> {
        match self.mapped_end(range) == range.end {
            true => Ok(()),
            false => Err(Errno::ENOMEM),
        }
    }

    /// As Linux, up to the first page without an area.
    fn protect(&mut self, range: &Range<u64>, access: Access) -> Result<(), Errno> {
        let end = self.mapped_end(range);
        if end > range.start {
            self.protect_mapped(&(range.start..end), access)?;
        }
        match end == range.end {
            true => Ok(()),
            false => Err(Errno::ENOMEM),
        }
    }

    fn protect_mapped(&mut self, range: &Range<u64>, access: Access) -> Result<(), Errno> {
        let is_refused = |area: &Area| !area.may_have(access);
        if self.areas.range(range.clone()).any(is_refused) {
            return Err(Errno::EACCES);
        }
        if access.contains(Access::WRITE) {
            quota::check_pages(self.held(), self.pages_without_access(range))?;
        }
        self.cut(range)?;
        let mut next = range.start;
        while let Some(area) = self.areas.containing_mut(next) {
            if next == range.end {
                break;
            }
            area.access = access;
            self.tables
                .protect(area.start..area.end, access, area.sharing());
            next = area.end;
        }
        self.merge_all(range);
        Ok(())
    }

    /// Pages of `range` in areas without access, by which a program only reserves
    /// addresses: no memory has been checked for them yet.
    fn pages_without_access(&self, range: &Range<u64>) -> u64 {
        let areas = self.areas.range(range.clone());
        let without = areas.filter(|area| area.access.is_empty());
        let size = |area: &Area| area.end.min(range.end) - area.start.max(range.start);
        without.map(size).sum::<u64>() / PAGE_SIZE
    }

    /// Merges the areas in `range` and at its ends that can be.
    fn merge_all(&mut self, range: &Range<u64>) {
        let mut next = range.start;
        while next <= range.end {
            self.areas.merge(next);
            match self.areas.at_or_after(next) {
                Some(area) => next = area.end,
                None => break,
            }
        }
    }
}

#[cfg(test)]
mod tests;
