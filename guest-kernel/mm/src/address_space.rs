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

mod files;

use core::cell::{Cell, RefCell};
use core::ops::Range;

use abi::trace::{Resolution, wanted};
use abi::virtual_map::{PAGE_SIZE, USER_END};
use arch::paging::{self, Flags};
use arch::{copies, shared, trace, vdso};

use self::files::{Step, map_file, write_shared};
use crate::area::{Area, Kind, Locking, OnFork};
use crate::area_tree::{AreaTree, Node};
use crate::fault::{self, Attempt, FaultCause};
use crate::frames::Frame;
use crate::mapping::SEARCH_END;
use crate::page_tables::{Access, PageTables};
use crate::user_memory::BadAddress;
use crate::{OutOfMemory, quota};

/// Frames that must be free for a program before it gets some that it may not need.
const PLENTY: u64 = 1024;

/// How far the stack may grow, in bytes, unless the program has been told otherwise.
pub const STACK_LIMIT: u64 = 8 << 20;

/// The gap kept free between the stack and the area below it. A fault this close below the
/// lowest place that the stack may reach is called a stack overflow.
const STACK_GUARD: u64 = 1 << 20;

/// A program's memory.
pub struct AddressSpace {
    inner: RefCell<Inner>,
    barriers: Cell<u32>,
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
    /// How what is mapped from now on is locked (MCL_FUTURE), and whether anything may be.
    pub(crate) future: Locking,
    pub(crate) has_locked: bool,
}

/// What a program may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Bytes in all areas (RLIMIT_AS).
    pub size: u64,
    /// Bytes of stack (RLIMIT_STACK); at most [`STACK_LIMIT`] count.
    pub stack: u64,
    /// Bytes in areas that are the program's own and writable, and no stack (RLIMIT_DATA).
    pub data: u64,
}

impl MemoryLimits {
    /// No limit but those of the machine.
    pub const NONE: Self = Self {
        size: u64::MAX,
        stack: STACK_LIMIT,
        data: u64::MAX,
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
            on_fork: OnFork::Copy,
            locking: Locking::Unlocked,
        })?);
        let inner = Inner {
            tables: PageTables::new()?,
            areas,
            size: PAGE_SIZE,
            heap: 0..0,
            search_from: SEARCH_END,
            limits,
            future: Locking::Unlocked,
            has_locked: false,
        };
        Ok(Self {
            inner: RefCell::new(inner),
            barriers: Cell::new(0),
        })
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
            future: Locking::Unlocked,
            has_locked: false,
        };
        if inner.has_locked {
            copy.set_all_locking(Locking::Unlocked);
        }
        let Inner { tables, areas, .. } = &mut *inner;
        let mut shared = Ok(());
        for (area, range) in areas.runs(Area::forks_with) {
            match area.on_fork {
                OnFork::Copy => shared = tables.fork(&mut copy.tables, range, area.sharing()),
                OnFork::Clear => {}
                OnFork::Leave => {
                    copy.areas.remove(area.start);
                    copy.size -= area.size();
                }
            }
            if shared.is_err() {
                break;
            }
        }
        tables.finish_fork();
        shared?;
        Ok(Self {
            inner: RefCell::new(copy),
            barriers: self.barriers.clone(),
        })
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
            false => self.resolve_page(page, Attempt::from_error(error)),
        };
        if trace::wants(wanted::FAULTS) {
            fault::trace(address, error, resolved);
        }
        resolved.map(|_| ())
    }

    /// Maps `page`, for an attempt to use it; says what was done.
    ///
    /// # Errors
    /// Why the attempt must fail.
    pub(crate) fn resolve_page(
        &self,
        page: u64,
        attempt: Attempt,
    ) -> Result<Resolution, FaultCause> {
        loop {
            // A file may take its page out of other address spaces, and out of this one.
            let step = self.inner.borrow_mut().resolve(page, attempt)?;
            match step {
                Step::Done(resolution) => return Ok(resolution),
                Step::NeedsFrame(file, offset) => file.make_own(offset)?,
            }
        }
    }

    /// Maps the code at `address`, which is about to be executed, if possible: that saves a
    /// fault.
    pub fn bring_code(&self, address: u64) {
        // The fault that there is without it says why.
        let _ = self.resolve_page(address & !(PAGE_SIZE - 1), Attempt::Execute);
    }

    /// Gives this and `child`, which it has been forked to, pages of their own at `address`, if
    /// there is a page: both are about to write there, and this saves them a fault.
    pub fn part(&self, child: &Self, address: u64) {
        let page = address & !(PAGE_SIZE - 1);
        let (mut own, mut other) = (self.inner.borrow_mut(), child.inner.borrow_mut());
        let area = own.areas.at_or_after(page);
        let Some(access) = area.filter(|area| area.parts(page)).map(|area| area.access) else {
            return;
        };
        if let Some(entry) = own.tables.get(page)
            && quota::check_page(other.held()).is_ok()
            && other.tables.make_writable(page, entry, access).is_ok()
        {
            // Where a third has the page too, and there is no memory, it stays as it is.
            let _ = own.tables.make_writable(page, entry, access);
        }
    }

    /// Writes `bytes` to `address`, as the program could, whether or not this address
    /// space is active.
    ///
    /// # Errors
    /// The program could not; some of it may have been written.
    pub fn put(&self, address: u64, bytes: &[u8]) -> Result<(), BadAddress> {
        for (page, offset, part) in page_parts(address, bytes.len()) {
            self.resolve_page(page, Attempt::Write)
                .map_err(|_| BadAddress)?;
            let tables = &mut self.inner.borrow_mut().tables;
            tables.write(page, offset, &bytes[part]);
        }
        Ok(())
    }

    /// A number, unique among the address spaces alive.
    pub fn id(&self) -> u64 {
        self.inner.borrow().tables.id()
    }

    /// Which file, by its number, and where in it, is at `address`, if it is memory that other
    /// address spaces may share.
    pub fn shared_word(&self, address: u64) -> Option<(u64, u64)> {
        let inner = self.inner.borrow();
        let area = inner.areas.at_or_after(address)?;
        match &area.kind {
            Kind::Shared(part, _) if area.start <= address => {
                Some((part.file.id(), part.offset + (address - part.start)))
            }
            _ => None,
        }
    }

    /// The area that grows downwards and contains `address`.
    pub fn growing_area(&self, address: u64) -> Option<Range<u64>> {
        let inner = self.inner.borrow();
        let area = inner.areas.at_or_after(address)?;
        let is_growing = matches!(area.kind, Kind::Stack) && area.start <= address;
        is_growing.then_some(area.start..area.end)
    }

    /// The kinds of memory barriers that the program has registered for (`membarrier`).
    pub fn barriers(&self) -> u32 {
        self.barriers.get()
    }

    /// Adds some.
    pub fn register_barriers(&self, kinds: u32) {
        self.barriers.set(self.barriers.get() | kinds);
    }

    /// The physical address of what is at `address`, and how many bytes from there on, up to
    /// `most`, lie together and are mapped for reading, as far as this is found at once.
    pub fn mapped(&self, address: u64, most: u64) -> Option<(u64, u64)> {
        self.inner.borrow().tables.run(address, most)
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

    /// See [`AddressSpace::resolve_page`].
    fn resolve(&mut self, page: u64, attempt: Attempt) -> Result<Step, FaultCause> {
        let held = self.held();
        let mut of_zeros = Resolution::DemandZero;
        let area = match self.areas.at_or_after(page) {
            Some(area) if area.start <= page => area,
            _ => {
                self.grow_stack(page)?;
                of_zeros = Resolution::StackGrowth;
                let grown = self.areas.at_or_after(page);
                grown.ok_or(FaultCause::NotMapped)?
            }
        };
        let tables = &mut self.tables;
        if !attempt.is_allowed(area.access) {
            return Err(FaultCause::Forbidden);
        }
        let done = match tables.get(page) {
            None => {
                quota::check_page(held)?;
                if let Some(part) = area.file() {
                    return map_file(tables, area, part, page, attempt);
                }
                let (frame, done) = match area.kind {
                    Kind::Vdso => (vdso_page()?, Resolution::FilePage),
                    _ => (Frame::allocate_zeroed().ok_or(OutOfMemory)?, of_zeros),
                };
                tables.map(page, frame, area.access)?;
                if copies::are_slow() && matches!(area.kind, Kind::Zero) {
                    map_ahead(tables, area, page, held);
                }
                done
            }
            Some(entry) if attempt == Attempt::Write && !entry.has(Flags::WRITABLE) => {
                if let Kind::Shared(part, _) = &area.kind {
                    return Ok(write_shared(tables, area, part, page, entry));
                }
                quota::check_page(held)?;
                match tables.make_writable(page, entry, area.access)? {
                    true => Resolution::CopyOnWrite,
                    false => Resolution::LastSharer,
                }
            }
            // A stale TLB entry, with fewer rights than the tables.
            Some(_) => {
                paging::forget_page(page);
                Resolution::Stale
            }
        };
        Ok(Step::Done(done))
    }

    /// Lets a stack reach down to `page`, where no area is.
    fn grow_stack(&mut self, page: u64) -> Result<(), FaultCause> {
        let is_stack = |area: &&Area| matches!(area.kind, Kind::Stack);
        let Some(stack) = self.areas.at_or_after(page).filter(is_stack) else {
            return Err(FaultCause::NotMapped);
        };
        let lowest = stack.end.saturating_sub(self.limits.stack.min(STACK_LIMIT));
        if page < lowest.saturating_sub(STACK_GUARD) {
            return Err(FaultCause::NotMapped);
        }
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

/// Maps pages of zeros after `page`, if the program seems to touch one after the other: that
/// costs less than a fault for each.
fn map_ahead(tables: &mut PageTables, area: &Area, page: u64, held: u64) {
    const MOST: u64 = 16;
    let is_next = page > area.start && tables.get(page - PAGE_SIZE).is_some();
    let most = ((area.end - page) / PAGE_SIZE - 1).min(MOST);
    if is_next && quota::check_pages(held, PLENTY + most).is_ok() {
        tables.map_zeroed(page + PAGE_SIZE, most, area.access);
    }
}

/// A frame with the vDSO.
fn vdso_page() -> Result<Frame, OutOfMemory> {
    let mut frame = Frame::allocate().ok_or(OutOfMemory)?;
    vdso::write(frame.bytes_mut());
    Ok(frame)
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Where areas are: page tables alone would have to be searched.
        let Self { tables, areas, .. } = self;
        for (_, range) in areas.runs(|_, _| true) {
            tables.unmap(range);
        }
    }
}
