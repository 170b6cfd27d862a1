//! Memory areas: the parts of an address space that a program may use, and for what.
//!
//! An area says what a page will hold once it is touched; page tables hold the pages that
//! have been.

use core::ops::Range;

use abi::virtual_map::PAGE_SIZE;

use crate::page_tables::{Access, Sharing};
use crate::{FilePages, Shared};

/// A page-aligned range with one set of permissions and one kind of contents.
#[derive(Clone)]
pub struct Area {
    /// First address, page-aligned.
    pub start: u64,
    /// Past-the-end address, page-aligned.
    pub end: u64,
    /// What programs may do there.
    pub access: Access,
    /// What is there before anyone writes.
    pub kind: Kind,
    /// What a child has of it.
    pub on_fork: OnFork,
    /// How it is locked: a child's is not.
    pub locking: Locking,
}

/// Whether memory stays in place, and counts against a limit (`mlock`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locking {
    /// It does not.
    Unlocked,
    /// It does, once it is touched (MLOCK_ONFAULT).
    OnFault,
    /// It does, and is brought there.
    AtOnce,
}

/// What a child has of an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFork {
    /// The same, or a copy.
    Copy,
    /// Nothing (MADV_DONTFORK).
    Leave,
    /// An area of zeros (MADV_WIPEONFORK).
    Clear,
}

/// What an area holds.
#[derive(Clone)]
pub enum Kind {
    /// Zeros, page by page as they are touched.
    Zero,
    /// Zeros, and the area grows downwards when it is touched below its start.
    Stack,
    /// The program's own copy of part of a file.
    File(FilePart),
    /// Part of a file, in common with all who have it. Zeros that processes share are part of
    /// a file without a name.
    Shared(FilePart, MayWrite),
    /// The vDSO, a page that is made when it is touched.
    Vdso,
}

/// Whether a shared area can be made writable: it cannot, if its file was not open for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MayWrite(pub bool);

impl Kind {
    /// The same contents when what is at `old`, and above, moves to `new`.
    pub fn moved(self, old: u64, new: u64) -> Self {
        match self {
            Self::File(part) => Self::File(part.moved(old, new)),
            Self::Shared(part, may_write) => Self::Shared(part.moved(old, new), may_write),
            other => other,
        }
    }
}

/// Part of a file, at an address.
#[derive(Clone)]
pub struct FilePart {
    /// The file.
    pub file: Shared<FilePages>,
    /// Offset of the first byte in the file.
    pub offset: u64,
    /// Address of the first byte.
    pub start: u64,
    /// Bytes; what surrounds them is zero.
    pub len: u64,
}

impl FilePart {
    /// Where in the file the contents of `page` are, if they are a whole page of it.
    pub fn whole_page(&self, page: u64) -> Option<u64> {
        let skipped = page.checked_sub(self.start)?;
        let rest = self.len.checked_sub(skipped)?;
        let offset = self.offset.checked_add(skipped)?;
        (rest >= PAGE_SIZE && offset.is_multiple_of(PAGE_SIZE)).then_some(offset)
    }

    /// The addresses, in whole pages, of what the file has from `offset` on.
    pub fn pages_from(&self, offset: u64) -> Range<u64> {
        let skipped = offset.saturating_sub(self.offset);
        let start = self.start.saturating_add(skipped);
        let end = self.start.saturating_add(self.len);
        let end = end.checked_next_multiple_of(PAGE_SIZE);
        start & !(PAGE_SIZE - 1)..end.unwrap_or(u64::MAX)
    }

    /// The same bytes when what is at `old`, and above, moves to `new`.
    pub fn moved(self, old: u64, new: u64) -> Self {
        let skipped = old.saturating_sub(self.start);
        Self {
            offset: self.offset.saturating_add(skipped),
            start: new + self.start.saturating_sub(old),
            len: self.len.saturating_sub(skipped),
            ..self
        }
    }

    /// Whether the byte at address `start` is the same here and in `other`.
    fn continues(&self, other: &Self) -> bool {
        Shared::is_same(&self.file, &other.file)
            && self.offset.wrapping_sub(self.start) == other.offset.wrapping_sub(other.start)
            && self.start.saturating_add(self.len) == other.start.saturating_add(other.len)
    }
}

impl Area {
    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.end - self.start
    }

    /// Whether pages are private or shared after a fork.
    pub fn sharing(&self) -> Sharing {
        match self.kind {
            Kind::Shared(..) => Sharing::Shared,
            _ => Sharing::Private,
        }
    }

    /// Whether a child gets the pages of this and `other` in the same way.
    pub fn forks_with(&self, other: &Self) -> bool {
        let is_copied = [self, other].map(|area| area.on_fork == OnFork::Copy);
        is_copied == [true; 2] && self.sharing() == other.sharing()
    }

    /// Whether a page at `page` is one that a child, and this, have copies of when they write to
    /// it.
    pub fn parts(&self, page: u64) -> bool {
        self.start <= page
            && self.access.contains(Access::WRITE)
            && self.on_fork == OnFork::Copy
            && self.sharing() == Sharing::Private
    }

    /// The file that it is mapped from.
    pub fn file(&self) -> Option<&FilePart> {
        match &self.kind {
            Kind::File(part) | Kind::Shared(part, _) => Some(part),
            Kind::Zero | Kind::Stack | Kind::Vdso => None,
        }
    }

    /// Whether it counts as data: the program's own, writable, and no stack.
    pub fn is_data(&self) -> bool {
        self.access.contains(Access::WRITE) && matches!(self.kind, Kind::Zero | Kind::File(_))
    }

    /// Whether `mprotect` may give it this access.
    pub fn may_have(&self, access: Access) -> bool {
        !access.contains(Access::WRITE) || !matches!(self.kind, Kind::Shared(_, MayWrite(false)))
    }

    /// Whether it is locked in some way.
    pub fn is_locked(&self) -> bool {
        self.locking != Locking::Unlocked
    }

    /// Whether this and `next`, which begins where this ends, can be merged.
    pub fn joins(&self, next: &Self) -> bool {
        self.end == next.start
            && self.access == next.access
            && self.on_fork == next.on_fork
            && self.locking == next.locking
            && match (&self.kind, &next.kind) {
                // What lies above a stack has been part of it.
                (Kind::Zero, Kind::Zero) | (Kind::Stack, Kind::Stack) => true,
                (Kind::File(part), Kind::File(next)) => part.continues(next),
                (Kind::Shared(part, may), Kind::Shared(next, next_may)) => {
                    may == next_may && part.continues(next)
                }
                _ => false,
            }
    }

    /// Cuts the area in two at `at`, inside it, and returns the upper part.
    pub fn split_off(&mut self, at: u64) -> Self {
        let upper = Self {
            start: at,
            ..self.clone()
        };
        self.end = at;
        upper
    }
}
