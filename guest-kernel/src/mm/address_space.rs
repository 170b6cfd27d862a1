//! Address spaces: what one program can reach, page by page on demand.

#![allow(unsafe_code)]

use abi::virtual_map::{PAGE_SIZE, USER_END};

use super::area::Area;
use super::frames::{self, Frame};
use crate::arch::paging::{Access, PageTables};
use crate::shared;

/// Areas that a program can have.
const MAX_AREAS: usize = 16;

/// The stack: everything between here and the top of user memory, as it is touched.
const STACK_SIZE: u64 = 1 << 20;
const STACK_START: u64 = USER_END - STACK_SIZE;

/// A fault this close below the stack is called a stack overflow. Nothing else is ever
/// mapped there.
const STACK_GUARD_START: u64 = STACK_START - (1 << 20);

/// Lowest address that may be mapped, so that null pointers and their neighbours fault.
const LOWEST: u64 = 0x1_0000;

/// How memory was accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    Read,
    Write,
    Execute,
}

impl Attempt {
    /// From a page fault's error code (Intel SDM vol. 3A 5.7).
    pub fn from_error(error: u32) -> Self {
        const WRITE: u32 = 1 << 1;
        const FETCH: u32 = 1 << 4;
        match error {
            _ if error & FETCH != 0 => Self::Execute,
            _ if error & WRITE != 0 => Self::Write,
            _ => Self::Read,
        }
    }

    fn is_allowed(self, access: Access) -> bool {
        match self {
            Self::Read => true,
            Self::Write => access.contains(Access::WRITE),
            Self::Execute => access.contains(Access::EXECUTE),
        }
    }
}

/// Why a fault could not be resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultCause {
    /// Nothing is mapped there.
    NotMapped,
    /// Nothing is mapped there, and it is where the stack would grow next.
    StackOverflow,
    /// Something is mapped there, but not for this.
    Forbidden,
    /// There is no memory left to put there.
    OutOfMemory,
}

/// An area that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadArea;

/// A program's memory.
pub struct AddressSpace {
    tables: PageTables,
    areas: Areas,
}

impl AddressSpace {
    /// With a stack and nothing else. `None` if memory is short.
    pub fn new() -> Option<Self> {
        let root = frames::for_tables()?;
        let mut areas = Areas::EMPTY;
        areas.push(STACK);
        Some(Self {
            // SAFETY: the frame is fresh, zero and nobody else's.
            tables: unsafe { PageTables::new(root) },
            areas,
        })
    }

    /// Adds an area below the stack's guard.
    ///
    /// # Errors
    /// The area is empty, not page-aligned, outside the usable part of memory, overlaps
    /// another, asks for write and execute at once, or is one too many.
    pub fn add(&mut self, area: Area) -> Result<(), BadArea> {
        if self.areas.accept(&area) {
            self.areas.push(area);
            return Ok(());
        }
        Err(BadArea)
    }

    /// Makes this the address space that ring 3 and user copies use.
    pub fn activate(&self) {
        // SAFETY: tables are never freed.
        unsafe { self.tables.activate() };
    }

    /// Puts the page in place that an access to `address` lacked.
    ///
    /// # Errors
    /// Why the access must fail instead.
    pub fn resolve(&mut self, address: u64, error: u32) -> Result<(), FaultCause> {
        const PRESENT: u32 = 1 << 0;
        shared::count(&shared::PAGE.page_faults);
        let area = self.areas.find(address)?;
        if error & PRESENT != 0 || !Attempt::from_error(error).is_allowed(area.access) {
            return Err(FaultCause::Forbidden);
        }
        let page = address & !(PAGE_SIZE - 1);
        let frame = filled_frame(area, page).ok_or(FaultCause::OutOfMemory)?;
        let address = frame.into_address();
        // SAFETY: the frame was this function's own and is the program's now; the page
        // was not present, and the CPU caches no such translation (Intel SDM vol. 3A
        // 5.10.2.3).
        unsafe {
            self.tables
                .map(page, address, area.access, &mut frames::for_tables)
        }
        .ok_or(FaultCause::OutOfMemory)
    }
}

/// A frame with what `area` starts with on `page`.
fn filled_frame(area: Area, page: u64) -> Option<Frame> {
    let mut frame = Frame::allocate_zeroed()?;
    if let Some(contents) = area.contents {
        let (offset, bytes) = contents.on_page(page);
        frame.bytes_mut()[offset..][..bytes.len()].copy_from_slice(bytes);
    }
    Some(frame)
}

const STACK: Area = Area {
    start: STACK_START,
    end: USER_END,
    access: Access::WRITE,
    contents: None,
};

/// The areas of an address space.
struct Areas {
    list: [Area; MAX_AREAS],
    len: usize,
}

impl Areas {
    const EMPTY: Self = Self {
        list: [Area::EMPTY; MAX_AREAS],
        len: 0,
    };

    fn all(&self) -> &[Area] {
        &self.list[..self.len]
    }

    /// Whether an area for a program's segment would be in order.
    fn accept(&self, area: &Area) -> bool {
        let aligned = area.start.is_multiple_of(PAGE_SIZE) && area.end.is_multiple_of(PAGE_SIZE);
        aligned
            && area.start < area.end
            && area.start >= LOWEST
            && area.end <= STACK_GUARD_START
            && !area.access.is_all()
            && self.len < MAX_AREAS
            && !self.all().iter().any(|other| other.overlaps(area))
    }

    fn push(&mut self, area: Area) {
        self.list[self.len] = area;
        self.len += 1;
    }

    fn find(&self, address: u64) -> Result<Area, FaultCause> {
        let area = self.all().iter().find(|area| area.contains(address));
        area.copied()
            .ok_or(if (STACK_GUARD_START..STACK_START).contains(&address) {
                FaultCause::StackOverflow
            } else {
                FaultCause::NotMapped
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: Area = Area {
        start: 0x40_0000,
        end: 0x40_2000,
        access: Access::EXECUTE,
        contents: None,
    };

    fn areas() -> Areas {
        let mut areas = Areas::EMPTY;
        areas.push(STACK);
        areas.push(TEXT);
        areas
    }

    #[test]
    fn faults_are_told_apart_by_place() {
        let find = |address| areas().find(address).map(|area| area.start);
        assert_eq!(find(0x40_1fff), Ok(TEXT.start));
        assert_eq!(find(USER_END - 1), Ok(STACK_START));
        assert_eq!(find(STACK_START - 1), Err(FaultCause::StackOverflow));
        assert_eq!(find(0), Err(FaultCause::NotMapped));
        assert_eq!(find(USER_END), Err(FaultCause::NotMapped));
        assert_eq!(find(u64::MAX), Err(FaultCause::NotMapped));
    }

    #[test]
    fn attempts_are_read_from_error_codes() {
        let of = Attempt::from_error;
        assert_eq!(
            [of(4), of(6), of(0x14), of(2)],
            [
                Attempt::Read,
                Attempt::Write,
                Attempt::Execute,
                Attempt::Write
            ]
        );
        assert!(!Attempt::Write.is_allowed(TEXT.access));
        assert!(Attempt::Execute.is_allowed(TEXT.access));
    }

    #[test]
    fn senseless_areas_are_refused() {
        let with = |start, end| Area { start, end, ..TEXT };
        assert!(areas().accept(&with(0x40_2000, 0x40_3000)));
        for (start, end) in [
            (0x40_1000, 0x40_3000),
            (0x50_0000, 0x50_0000),
            (0x50_0001, 0x50_1000),
            (0, 0x1000),
            (STACK_GUARD_START, STACK_START),
            (u64::MAX - 0xfff, 0x50_0000),
        ] {
            assert!(!areas().accept(&with(start, end)), "{start:#x}..{end:#x}");
        }
        let area = Area {
            access: Access::all(),
            ..with(0x50_0000, 0x50_1000)
        };
        assert!(!areas().accept(&area));
    }
}
