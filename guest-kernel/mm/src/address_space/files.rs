//! Pages of files in address spaces: faults, and what happens to the file afterwards.

use abi::Errno;
use abi::trace::Resolution;
use abi::virtual_map::{PAGE_SIZE, USER_END};
use arch::copies;
use arch::paging::Entry;

use crate::address_space::{AddressSpace, Inner};
use crate::area::{Area, FilePart, Kind, MayWrite};
use crate::fault::{Attempt, FaultCause};
use crate::file_pages::{Leaving, MappablePage};
use crate::page_tables::{PageTables, Sharing};
use crate::{FilePages, Frame, OutOfMemory, Shared, quota};

impl AddressSpace {
    /// Unmaps what a file had from a page on, so that the next access finds what it has now.
    pub(crate) fn forget_file(&self, file: &FilePages, first: u64, leaving: Leaving) {
        let mut inner = self.inner();
        let Inner { tables, areas, .. } = &mut *inner;
        let mut next = 0;
        while let Some(area) = areas.at_or_after(next) {
            next = area.end;
            let Some(part) = area.file().filter(|part| part.file.id() == file.id()) else {
                continue;
            };
            let pages = part.pages_from(first * PAGE_SIZE);
            let found = |page| part.whole_page(page).and_then(|at| file.peek(at));
            let range = pages.start.max(area.start)..pages.end.min(area.end);
            tables.unmap_if(range, |page, address| match leaving {
                Leaving::All => true,
                Leaving::ReadOnly => {
                    found(page).is_some_and(|found| !found.is_own && found.address == address)
                }
                Leaving::Before(end) => {
                    part.whole_page(page).is_some_and(|at| at / PAGE_SIZE < end)
                        && found(page).is_some_and(|found| found.address == address)
                }
            });
        }
    }

    /// Whether it has a shared mapping of the file that is writable, or can be made so.
    pub(crate) fn may_write_shared(&self, file: &FilePages) -> bool {
        let is_it = |area: &Area| match &area.kind {
            Kind::Shared(part, MayWrite(may_write)) => *may_write && part.file.id() == file.id(),
            _ => false,
        };
        self.inner().areas.range(0..USER_END).any(is_it)
    }

    /// How many mappings of the file it has.
    pub(crate) fn count_mappings(&self, file: &FilePages) -> u64 {
        let is_it = |area: &&Area| area.file().is_some_and(|part| part.file.id() == file.id());
        self.inner().areas.range(0..USER_END).filter(is_it).count() as u64
    }

    /// Whether it has a file mapped that `is_meant`.
    pub(crate) fn maps_any(&self, is_meant: &mut dyn FnMut(&FilePages) -> bool) -> bool {
        let inner = self.inner();
        let mut files = inner.areas.range(0..USER_END).filter_map(Area::file);
        files.any(|part| is_meant(&part.file))
    }

    /// The file of which a shared mapping starts at `address` with its first byte.
    pub fn shared_file_at(&self, address: u64) -> Option<Shared<FilePages>> {
        let inner = self.inner();
        let area = inner.areas.at_or_after(address)?;
        match &area.kind {
            Kind::Shared(part, _)
                if area.start == address && part.whole_page(address) == Some(0) =>
            {
                Some(part.file.clone())
            }
            _ => None,
        }
    }

    /// Unmaps what there is of a mapping of `len` bytes of a file that was made at `start`.
    ///
    /// # Errors
    /// There is no memory.
    pub fn unmap_file(&self, start: u64, file: &FilePages, len: u64) -> Result<(), Errno> {
        let mut inner = self.inner();
        let mut next = start;
        while let Some(area) = inner.areas.at_or_after(next) {
            if area.start >= start.saturating_add(len) {
                break;
            }
            next = area.end;
            let offset = area.file().filter(|part| part.file.id() == file.id());
            let offset = offset.and_then(|part| part.whole_page(area.start));
            if offset.is_some_and(|offset| start.checked_add(offset) == Some(area.start)) {
                let range = area.start..area.end;
                inner.unmap(&range)?;
            }
        }
        Ok(())
    }
}

/// What is to be done for an access to a page.
pub enum Step {
    /// Nothing more.
    Done(Resolution),
    /// The file is to have a frame of its own for what it has at this offset, which can be
    /// mapped then.
    NeedsFrame(Shared<FilePages>, u64),
}

/// Maps the page of a file, if possible as the file has it, and those around it: text is
/// executed page by page, and each page mapped saves a fault.
pub fn map_file(
    tables: &mut PageTables,
    area: &Area,
    part: &FilePart,
    page: u64,
    attempt: Attempt,
) -> Result<Step, FaultCause> {
    let sharing = area.sharing();
    let writes = attempt == Attempt::Write;
    if let Some(offset) = part
        .whole_page(page)
        .filter(|_| !writes || sharing == Sharing::Shared)
    {
        if offset >= part.file.len() {
            return Err(FaultCause::PastEndOfFile);
        }
        if let Some((start, run)) = pages_around(tables, area, part, page)
            && (run.0.is_own || !writes)
        {
            map_pages(tables, area, part, start, run)?;
            return Ok(Step::Done(Resolution::FileInPlace));
        }
        // The program's own copy will do where files may take no more memory.
        if sharing == Sharing::Shared || quota::check_file().is_ok() {
            return Ok(Step::NeedsFrame(part.file.clone(), offset));
        }
    }
    tables.map(page, contents_of_file(part, page)?, area.access)?;
    Ok(Step::Done(Resolution::FilePage))
}

/// Up to so many bytes after a page of a file are mapped with it, and before it back to a
/// multiple of them.
const AROUND: u64 = 16 * PAGE_SIZE;

/// From where on pages of a file are to be mapped for `page`, at which nothing is mapped, and the
/// run of them that starts there and has that page; if the file has it.
fn pages_around(
    tables: &PageTables,
    area: &Area,
    part: &FilePart,
    page: u64,
) -> Option<(u64, (MappablePage, u64))> {
    let run = |start| {
        let wanted = (end_around(area, part, page) - start) / PAGE_SIZE;
        part.file.pages(part.whole_page(start)?, wanted)
    };
    let lowest = (page & !(AROUND - 1)).max(area.start).max(part.start);
    let start = tables.empty_before(page, lowest);
    if start < page
        && let Some((first, count)) = run(start)
        && count > (page - start) / PAGE_SIZE
    {
        return Some((start, (first, count)));
    }
    Some((page, run(page)?))
}

/// Where the pages end that are mapped with `page`: the last one is a whole one of the file.
fn end_around(area: &Area, part: &FilePart, page: u64) -> u64 {
    let end = part.start.saturating_add(part.len) & !(PAGE_SIZE - 1);
    end.min(area.end).min(page + AROUND)
}

/// Maps the pages of a file from `page` on, where it has `run`, as far as it has them and nothing
/// is mapped there.
fn map_pages(
    tables: &mut PageTables,
    area: &Area,
    part: &FilePart,
    mut page: u64,
    mut run: (MappablePage, u64),
) -> Result<(), OutOfMemory> {
    let end = end_around(area, part, page);
    loop {
        let (found, count) = run;
        let mapped = tables.map_file(page, found, count, area.access, area.sharing())?;
        page += mapped * PAGE_SIZE;
        if mapped < count || page >= end {
            return Ok(());
        }
        let offset = part.offset + (page - part.start);
        match part.file.pages(offset, (end - page) / PAGE_SIZE) {
            Some(next) => run = next,
            None => return Ok(()),
        }
    }
}

/// Lets a program write to a page that all share and that is mapped read-only.
pub fn write_shared(
    tables: &mut PageTables,
    area: &Area,
    part: &FilePart,
    page: u64,
    entry: Entry,
) -> Step {
    let offset = part.offset + (page - part.start);
    match part.file.page(offset) {
        Some(found) if found.is_own && found.address == entry.address() => {
            tables.allow_writing(page, entry, area.access);
            Step::Done(Resolution::LastSharer)
        }
        _ => {
            tables.unmap(page..page + PAGE_SIZE);
            Step::NeedsFrame(part.file.clone(), offset)
        }
    }
}

/// The program's own copy of what a file has for `page`.
fn contents_of_file(part: &FilePart, page: u64) -> Result<Frame, FaultCause> {
    let start = part.start.max(page);
    let end = part.start.saturating_add(part.len).min(page + PAGE_SIZE);
    if start >= end {
        return Frame::allocate_zeroed().ok_or(FaultCause::OutOfMemory);
    }
    let offset = part.offset.saturating_add(start - part.start);
    if offset >= part.file.len() {
        return Err(FaultCause::PastEndOfFile);
    }
    let mut frame = Frame::allocate().ok_or(FaultCause::OutOfMemory)?;
    part.file.note_mapped(offset);
    let (start, end) = ((start - page) as usize, (end - page) as usize);
    let bytes = frame.bytes_mut();
    copies::clear(&mut bytes[..start]);
    part.file.copy_at(offset, &mut bytes[start..end]);
    copies::clear(&mut bytes[end..]);
    Ok(frame)
}
