//! System calls on address spaces: areas are mapped, unmapped and changed.
//!
//! Each call does first what may fail (checks, places in the tree) and then what cannot, so
//! that an error changes nothing, except that areas may have been split, which has no
//! visible effect.
//!
//! No area is ever writable and executable at once (W^X): asking for it is EACCES, as
//! under SELinux. A program may change a page from one to the other.

mod placing;
mod resizing;

use core::ops::Range;

use abi::Errno;
use abi::virtual_map::{PAGE_SIZE, USER_END};

use crate::address_space::{AddressSpace, Inner, STACK_LIMIT};
use crate::area::{Area, FilePart, Kind};
use crate::area_tree::Node;
use crate::fault::Attempt;
use crate::page_tables::{Access, Sharing};
use crate::{FilePages, Frame, Shared, quota};

/// Lowest address that may be mapped, so that null pointers and their neighbours fault.
pub const LOWEST: u64 = 0x1_0000;

/// Areas that the kernel places end here: below the farthest that the stack may reach,
/// its guard, and that much again.
pub(crate) const SEARCH_END: u64 = USER_END - 2 * STACK_LIMIT;

/// Where the vDSO is: right above them.
pub const VDSO: u64 = SEARCH_END;

/// Most areas of a program. Each is a kernel object.
pub const MAX_AREAS: usize = 16 << 10;

/// Where an area shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Here if it is free, else anywhere.
    Near(u64),
    /// Here, instead of whatever is there (MAP_FIXED).
    Replace(u64),
    /// Here, where nothing is (MAP_FIXED_NOREPLACE).
    Free(u64),
}

/// What an area shall hold.
pub enum Backing {
    /// Zeros, the program's own.
    Zero,
    /// Zeros, shared with children.
    Shared,
    /// The program's own copy of a file from `offset` on, which is page-aligned.
    File {
        #[allow(missing_docs)]
        file: Shared<FilePages>,
        #[allow(missing_docs)]
        offset: u64,
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
}

impl AddressSpace {
    /// Makes an area and returns where it starts.
    ///
    /// # Errors
    /// EINVAL for an invalid size or address, EPERM for one too low, EEXIST if something is
    /// where nothing may be, EACCES for write and execute at once, ENOMEM if there is no
    /// such range, or no memory that could fill it.
    pub fn map(&self, request: Request) -> Result<u64, Errno> {
        self.inner().map(request)
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
        })
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
    /// EINVAL and ENOMEM as for [`Self::unmap`]; EACCES for write and execute at once;
    /// ENOMEM if there is no area in part of the range, or no memory for what becomes
    /// writable. Nothing has changed.
    pub fn protect(&self, start: u64, len: u64, access: Access) -> Result<(), Errno> {
        if len == 0 && start.is_multiple_of(PAGE_SIZE) {
            return Ok(());
        }
        self.inner().protect(&page_range(start, len)?, access)
    }

    /// Discards the program's own pages in the range.
    ///
    /// # Errors
    /// EINVAL for an invalid range; ENOMEM if there is no area in part of it, which has no
    /// effect on the rest.
    pub fn discard(&self, start: u64, len: u64) -> Result<(), Errno> {
        if len == 0 && start.is_multiple_of(PAGE_SIZE) {
            return Ok(());
        }
        self.inner().discard(&page_range(start, len)?)
    }

    /// Whether all of the range is in areas.
    ///
    /// # Errors
    /// EINVAL for an invalid range; ENOMEM if it is not.
    pub fn check_mapped(&self, start: u64, len: u64) -> Result<(), Errno> {
        if len == 0 && start.is_multiple_of(PAGE_SIZE) {
            return Ok(());
        }
        self.inner().check_mapped(&page_range(start, len)?)
    }

    /// Changes the size of the mapping at `start`, which moves if it must and `may_move`.
    /// Returns where it is.
    ///
    /// # Errors
    /// EINVAL for invalid sizes, EFAULT if the old range is not in one area, ENOMEM if
    /// there is no room. Nothing has changed.
    pub fn remap(&self, start: u64, old: u64, new: u64, may_move: bool) -> Result<u64, Errno> {
        let old = page_range(start, old)?;
        let new = round_up(new)?;
        self.inner().remap(&old, new, may_move)
    }

    /// Says where the heap starts, once all segments are there.
    pub fn start_heap(&self, start: u64) {
        self.inner().heap = start..start;
    }

    /// Makes the heap end at `end` if that is possible, and returns where it ends.
    pub fn set_heap_end(&self, end: u64) -> u64 {
        let mut inner = self.inner();
        if end >= inner.heap.start && inner.resize_heap(end).is_ok() {
            inner.heap.end = end;
        }
        inner.heap.end
    }
}

/// A size in whole pages, of which there is at least one.
fn round_up(len: u64) -> Result<u64, Errno> {
    if len == 0 {
        return Err(Errno::EINVAL);
    }
    len.checked_next_multiple_of(PAGE_SIZE).ok_or(Errno::ENOMEM)
}

/// The pages of a range that starts with one.
fn page_range(start: u64, len: u64) -> Result<Range<u64>, Errno> {
    let len = round_up(len).map_err(|_| Errno::EINVAL)?;
    match start.checked_add(len) {
        Some(end) if end <= USER_END && start.is_multiple_of(PAGE_SIZE) => Ok(start..end),
        _ => Err(Errno::EINVAL),
    }
}

fn check_access(access: Access) -> Result<(), Errno> {
    if access.contains(Access::WRITE | Access::EXECUTE) {
        return Err(Errno::EACCES);
    }
    Ok(())
}

impl Inner {
    fn map(&mut self, request: Request) -> Result<u64, Errno> {
        let len = round_up(request.len)?;
        let start = self.place(request.place, len)?;
        let range = start..start + len;
        let kind = match request.backing {
            Backing::Zero => Kind::Zero,
            Backing::Shared => Kind::Shared,
            Backing::File { file, offset } => Kind::File(FilePart {
                file,
                offset,
                start,
                len: u64::MAX,
            }),
        };
        let must_fill = matches!(kind, Kind::Shared);
        if must_fill || (request.access.contains(Access::WRITE) && !request.overcommit) {
            quota::check_pages(self.held(), len / PAGE_SIZE)?;
        }
        self.insert(Area {
            start,
            end: range.end,
            access: request.access,
            kind,
        })?;
        if must_fill {
            if let Err(errno) = self.fill_shared(&range, request.access) {
                // Areas have just been split at both ends, or need no split.
                let undone = self.unmap(&range);
                debug_assert_eq!(undone, Ok(()));
                return Err(errno);
            }
        } else if request.populate && !request.access.is_empty() {
            self.populate(range, request.access);
        }
        Ok(start)
    }

    /// Inserts an area, in place of what the range holds.
    fn insert(&mut self, area: Area) -> Result<(), Errno> {
        check_access(area.access)?;
        let range = area.start..area.end;
        if area.size() > self.limits.size.saturating_sub(self.size) {
            return Err(Errno::ENOMEM);
        }
        self.check_areas(1)?;
        let node = Node::new(area)?;
        self.unmap(&range)?;
        self.areas.insert(node);
        self.size += range.end - range.start;
        self.areas.merge(range.start);
        self.areas.merge(range.end);
        Ok(())
    }

    /// Whether there may be `more` areas, and two from splitting others.
    fn check_areas(&self, more: usize) -> Result<(), Errno> {
        if self.areas.len() + more + 2 > MAX_AREAS {
            return Err(Errno::ENOMEM);
        }
        Ok(())
    }

    /// Splits areas at the ends of `range`.
    fn cut(&mut self, range: &Range<u64>) -> Result<(), Errno> {
        self.check_areas(0)?;
        self.areas.cut(range.start)?;
        Ok(self.areas.cut(range.end)?)
    }

    fn unmap(&mut self, range: &Range<u64>) -> Result<(), Errno> {
        self.cut(range)?;
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

    fn check_mapped(&self, range: &Range<u64>) -> Result<(), Errno> {
        let mut next = range.start;
        while next < range.end {
            match self.areas.at_or_after(next) {
                Some(area) if area.start <= next => next = area.end,
                _ => return Err(Errno::ENOMEM),
            }
        }
        Ok(())
    }

    fn protect(&mut self, range: &Range<u64>, access: Access) -> Result<(), Errno> {
        check_access(access)?;
        self.check_mapped(range)?;
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
        let (mut next, mut size) = (range.start, 0);
        while let Some(area) = self.areas.at_or_after(next) {
            if area.start >= range.end {
                break;
            }
            if area.access.is_empty() {
                size += area.end.min(range.end) - area.start.max(range.start);
            }
            next = area.end;
        }
        size / PAGE_SIZE
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

    fn discard(&mut self, range: &Range<u64>) -> Result<(), Errno> {
        let mut next = range.start;
        while let Some(area) = self.areas.at_or_after(next) {
            if area.start >= range.end {
                break;
            }
            // Shared pages are not this program's alone to discard.
            if area.sharing() == Sharing::Private {
                let (start, end) = (area.start.max(range.start), area.end.min(range.end));
                self.tables.unmap(start..end);
            }
            next = area.end;
        }
        self.check_mapped(range)
    }

    /// Maps all pages of a shared area, whatever their permissions.
    fn fill_shared(&mut self, range: &Range<u64>, access: Access) -> Result<(), Errno> {
        for page in range.clone().step_by(PAGE_SIZE as usize) {
            let frame = Frame::allocate_zeroed().ok_or(Errno::ENOMEM)?;
            self.tables.map(page, frame, access)?;
        }
        Ok(())
    }

    /// Maps as many pages as there is memory for.
    fn populate(&mut self, range: Range<u64>, access: Access) {
        let attempt = if access.contains(Access::WRITE) {
            Attempt::Write
        } else if access.contains(Access::READ) {
            Attempt::Read
        } else {
            Attempt::Execute
        };
        for page in range.step_by(PAGE_SIZE as usize) {
            if self.resolve(page, attempt).is_err() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests;
