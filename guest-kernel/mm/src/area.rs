//! Memory areas: the parts of an address space that a program may use, and for what.
//!
//! An area says what a page will hold once it is touched; page tables hold the pages that
//! have been.

use abi::virtual_map::PAGE_SIZE;

use crate::file_pages::PageInPlace;
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
}

/// What an area holds.
#[derive(Clone)]
pub enum Kind {
    /// Zeros, page by page as they are touched.
    Zero,
    /// Zeros, and the area grows downwards when it is touched below its start.
    Stack,
    /// Zeros that stay shared after a fork. All pages are mapped from the beginning: only
    /// page tables know who shares them.
    Shared,
    /// The program's own copy of part of a file.
    File(FilePart),
    /// The vDSO, a page that is made when it is touched.
    Vdso,
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
    /// The contents of `page`, if they are a whole page of the file that can be mapped in
    /// place.
    pub fn page_in_place(&self, page: u64) -> Option<PageInPlace> {
        let skipped = page.checked_sub(self.start)?;
        let rest = self.len.checked_sub(skipped)?;
        if rest < PAGE_SIZE {
            return None;
        }
        self.file.page_in_place(self.offset.saturating_add(skipped))
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
            Kind::Shared => Sharing::Shared,
            _ => Sharing::Private,
        }
    }

    /// Whether this and `next`, which begins where this ends, can be merged.
    pub fn joins(&self, next: &Self) -> bool {
        self.end == next.start
            && self.access == next.access
            && match (&self.kind, &next.kind) {
                // What lies above a stack has been part of it.
                (Kind::Zero, Kind::Zero)
                | (Kind::Stack, Kind::Stack)
                | (Kind::Shared, Kind::Shared) => true,
                (Kind::File(part), Kind::File(next)) => part.continues(next),
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
