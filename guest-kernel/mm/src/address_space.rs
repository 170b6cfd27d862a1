//! Address spaces: the memory of one program, mapped page by page on demand.
//!
//! Areas say what belongs where, page tables what is mapped already. Page faults map the
//! rest: [`AddressSpace::resolve`] maps a page when it is first touched, gives a program
//! its own copy when it writes to a page that a fork left shared, and lets the stack grow.
//!
//! A page of zeros gets its frame at the first touch of any kind. Rejected: one shared
//! frame of zeros for pages that are only read, which costs a second fault at the first
//! write, and the first access is nearly always a write.
//!
//! Everything takes `&self`, for an address space has several users once its process has
//! threads. No borrow lasts beyond a function.

use core::cell::RefCell;
use core::ops::Range;

use abi::trace::{Resolution, wanted};
use abi::virtual_map::{PAGE_SIZE, USER_END};
use arch::paging::{self, Flags};
use arch::{shared, trace, vdso};

use crate::area::{Area, FilePart, Kind};
use crate::area_tree::{AreaTree, Node};
use crate::fault::{self, Attempt, FaultCause};
use crate::frames::Frame;
use crate::mapping::SEARCH_END;
use crate::page_tables::{Access, PageTables, Sharing};
use crate::user_memory::BadAddress;
use crate::{OutOfMemory, quota};

/// How far the stack may grow, in bytes, unless the program has been told otherwise.
pub const STACK_LIMIT: u64 = 8 << 20;

/// The gap kept free between the stack and the area below it. A fault this close below the
/// lowest place that the stack may reach is called a stack overflow.
const STACK_GUARD: u64 = 1 << 20;

/// A program's memory.
pub struct AddressSpace {
    inner: RefCell<Inner>,
}

/// Its contents; the calls that change areas are in [`super::mapping`].
pub(crate) struct Inner {
    pub(crate) tables: PageTables,
    pub(crate) areas: AreaTree,
    /// Bytes in all areas.
    pub(crate) size: u64,
    /// Where the heap starts and ends, as the program has set it.
    pub(crate) heap: Range<u64>,
    /// Where the search for a free range starts, downwards.
    pub(crate) search_from: u64,
    pub(crate) limits: MemoryLimits,
}

/// What a program may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Bytes in all areas (RLIMIT_AS).
    pub size: u64,
    /// Bytes of stack (RLIMIT_STACK); at most [`STACK_LIMIT`] count.
    pub stack: u64,
}

impl MemoryLimits {
    /// No limit but those of the machine.
    pub const NONE: Self = Self {
        size: u64::MAX,
        stack: STACK_LIMIT,
    };
}

impl AddressSpace {
    /// An address space with a page of stack alone.
    ///
    /// # Errors
    /// Memory is short.
    pub fn new(limits: MemoryLimits) -> Result<Self, OutOfMemory> {
        let mut areas = AreaTree::EMPTY;
        areas.insert(Node::new(Area {
            start: USER_END - PAGE_SIZE,
            end: USER_END,
            access: Access::READ | Access::WRITE,
            kind: Kind::Stack,
        })?);
        let inner = Inner {
            tables: PageTables::new()?,
            areas,
            size: PAGE_SIZE,
            heap: 0..0,
            search_from: SEARCH_END,
            limits,
        };
        let inner = RefCell::new(inner);
        Ok(Self { inner })
    }

    /// A copy-on-write copy.
    ///
    /// # Errors
    /// Memory is short, or this program's quota is used up.
    pub fn fork(&self) -> Result<Self, OutOfMemory> {
        let mut inner = self.inner.borrow_mut();
        quota::check_fork(inner.held())?;
        let mut copy = Inner {
            tables: PageTables::new()?,
            areas: inner.areas.try_clone()?,
            size: inner.size,
            heap: inner.heap.clone(),
            search_from: inner.search_from,
            limits: inner.limits,
        };
        let Inner { tables, areas, .. } = &mut *inner;
        let mut shared = Ok(());
        let mut next = 0;
        while let Some(area) = areas.at_or_after(next).filter(|_| shared.is_ok()) {
            shared = tables.fork(&mut copy.tables, area.start..area.end, area.sharing());
            next = area.end;
        }
        tables.finish_fork();
        shared?;
        let inner = RefCell::new(copy);
        Ok(Self { inner })
    }

    /// Makes this the address space that ring 3 and user copies use, until another is
    /// activated or this one is dropped.
    pub fn activate(&self) {
        self.inner.borrow().tables.activate();
    }

    /// Maps the page that an access to `address` lacked.
    ///
    /// # Errors
    /// Why the access must fail instead.
    pub fn resolve(&self, address: u64, error: u32) -> Result<(), FaultCause> {
        shared::count(&shared::PAGE.page_faults);
        let page = address & !(PAGE_SIZE - 1);
        let resolved = match fault::is_by_key(error) {
            true => Err(FaultCause::ProtectionKey),
            false => {
                let attempt = Attempt::from_error(error);
                self.inner.borrow_mut().resolve(page, attempt)
            }
        };
        if trace::wants(wanted::FAULTS) {
            fault::trace(address, error, resolved);
        }
        resolved.map(|_| ())
    }

    /// Writes `bytes` to `address`, as the program could, whether or not this address
    /// space is active.
    ///
    /// # Errors
    /// The program could not; some of it may have been written.
    pub fn put(&self, address: u64, bytes: &[u8]) -> Result<(), BadAddress> {
        let mut inner = self.inner.borrow_mut();
        for (page, offset, part) in page_parts(address, bytes.len()) {
            inner
                .resolve(page, Attempt::Write)
                .map_err(|_| BadAddress)?;
            inner.tables.write(page, offset, &bytes[part]);
        }
        Ok(())
    }

    /// A number, unique among the address spaces alive.
    pub fn id(&self) -> u64 {
        self.inner.borrow().tables.id()
    }

    /// The physical address of what is at `address`, if it is memory that other address
    /// spaces may share.
    pub fn shared_word(&self, address: u64) -> Option<u64> {
        let inner = self.inner.borrow();
        let page = address & !(PAGE_SIZE - 1);
        let area = inner.areas.at_or_after(page)?;
        if area.start > page || area.sharing() == Sharing::Private {
            return None;
        }
        let entry = inner.tables.get(page)?;
        Some(entry.address() + address % PAGE_SIZE)
    }

    /// Bytes in all areas.
    pub fn size(&self) -> u64 {
        self.inner.borrow().size
    }

    /// Frames held: pages that are there, alone or shared, and page tables.
    pub fn frames(&self) -> u64 {
        self.inner.borrow().tables.frames()
    }

    /// Changes the limits; memory in use stays.
    pub fn set_limits(&self, limits: MemoryLimits) {
        self.inner.borrow_mut().limits = limits;
    }

    /// The contents, for `mapping`.
    pub(crate) fn inner(&self) -> core::cell::RefMut<'_, Inner> {
        self.inner.borrow_mut()
    }
}

/// The pages of `len` bytes from `address` on: each with the offset in it, and with which
/// of the bytes are there. Ends where the address would wrap around.
pub(crate) fn page_parts(
    address: u64,
    len: usize,
) -> impl Iterator<Item = (u64, usize, Range<usize>)> {
    let mut done = 0;
    core::iter::from_fn(move || {
        let address = address.checked_add(done as u64).filter(|_| done < len)?;
        let offset = (address % PAGE_SIZE) as usize;
        let start = done;
        done = len.min(start + (PAGE_SIZE as usize - offset));
        Some((address - offset as u64, offset, start..done))
    })
}

impl Inner {
    /// Frames that count as the program's.
    pub(crate) fn held(&self) -> u64 {
        self.tables.frames() + quota::frames_for_areas(self.areas.len())
    }

    /// See [`AddressSpace::resolve`]; `page` is the page's address. Says what was done.
    pub(crate) fn resolve(
        &mut self,
        page: u64,
        attempt: Attempt,
    ) -> Result<Resolution, FaultCause> {
        let mut of_zeros = Resolution::DemandZero;
        if self
            .areas
            .at_or_after(page)
            .is_none_or(|area| area.start > page)
        {
            self.grow_stack(page)?;
            of_zeros = Resolution::StackGrowth;
        }
        let held = self.held();
        let Self { tables, areas, .. } = self;
        let area = areas.at_or_after(page).ok_or(FaultCause::NotMapped)?;
        if !attempt.is_allowed(area.access) {
            return Err(FaultCause::Forbidden);
        }
        match tables.get(page) {
            None => {
                quota::check_page(held)?;
                if attempt != Attempt::Write && map_in_place(tables, area, page)? {
                    return Ok(Resolution::FileInPlace);
                }
                tables.map(page, first_contents(area, page)?, area.access)?;
                Ok(match area.kind {
                    Kind::File(_) | Kind::Vdso => Resolution::FilePage,
                    _ => of_zeros,
                })
            }
            Some(entry) if attempt == Attempt::Write && !entry.has(Flags::WRITABLE) => {
                quota::check_page(held)?;
                Ok(match tables.make_writable(page, entry, area.access)? {
                    true => Resolution::CopyOnWrite,
                    false => Resolution::LastSharer,
                })
            }
            // A stale TLB entry, with fewer rights than the tables.
            Some(_) => {
                paging::forget_page(page);
                Ok(Resolution::Stale)
            }
        }
    }

    /// Lets the stack reach down to `page`, where no area is.
    fn grow_stack(&mut self, page: u64) -> Result<(), FaultCause> {
        let lowest = USER_END - self.limits.stack.min(STACK_LIMIT);
        if page < lowest - STACK_GUARD {
            return Err(FaultCause::NotMapped);
        }
        let is_stack = |area: &&Area| matches!(area.kind, Kind::Stack);
        let Some(stack) = self.areas.at_or_after(page).filter(is_stack) else {
            return Err(FaultCause::NotMapped);
        };
        let (start, room) = (stack.start, self.limits.size.saturating_sub(self.size));
        let below = self.areas.before(page).map_or(0, |area| area.end);
        if page < lowest || page - below < STACK_GUARD {
            return Err(FaultCause::StackOverflow);
        }
        if start - page > room {
            return Err(FaultCause::OutOfMemory);
        }
        if let Some(stack) = self.areas.containing_mut(start) {
            stack.start = page;
            self.size += start - page;
        }
        Ok(())
    }
}

/// Maps the page of a file in place, if possible, and those after it: text is executed page
/// by page, and each page mapped saves a fault. Returns whether it has done so.
fn map_in_place(tables: &mut PageTables, area: &Area, page: u64) -> Result<bool, OutOfMemory> {
    const MOST: u64 = 16 * PAGE_SIZE;
    let Kind::File(part) = &area.kind else {
        return Ok(false);
    };
    if part.page_in_place(page).is_none() {
        return Ok(false);
    }
    let mut pages = (page..area.end.min(page + MOST)).step_by(PAGE_SIZE as usize);
    let next_page = || part.page_in_place(pages.next()?);
    tables.map_in_place(page, area.access, next_page)?;
    Ok(true)
}

/// A frame with what `area` holds on `page` before anyone writes.
fn first_contents(area: &Area, page: u64) -> Result<Frame, FaultCause> {
    match &area.kind {
        Kind::File(part) => contents_of_file(part, page),
        Kind::Vdso => {
            let mut frame = Frame::allocate().ok_or(FaultCause::OutOfMemory)?;
            vdso::write(frame.bytes_mut());
            Ok(frame)
        }
        _ => Frame::allocate_zeroed().ok_or(FaultCause::OutOfMemory),
    }
}

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
    let (start, end) = ((start - page) as usize, (end - page) as usize);
    let bytes = frame.bytes_mut();
    bytes[..start].fill(0);
    part.file.copy_at(offset, &mut bytes[start..end]);
    bytes[end..].fill(0);
    Ok(frame)
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Area by area: page tables alone would have to be searched.
        let mut next = 0;
        while let Some(area) = self.areas.at_or_after(next) {
            self.tables.unmap(area.start..area.end);
            next = area.end;
        }
    }
}
