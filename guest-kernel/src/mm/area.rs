//! Memory areas: the parts of an address space that a program may use, and for what.
//!
//! An area says what a page will hold once it is touched; page tables say what has been.

use abi::virtual_map::PAGE_SIZE;

use crate::arch::paging::Access;

/// A page-aligned range with one set of permissions.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    /// First address, page-aligned.
    pub start: u64,
    /// Past-the-end address, page-aligned.
    pub end: u64,
    /// What programs may do there.
    pub access: Access,
    /// Initial contents, if not all zeros.
    pub contents: Option<Contents>,
}

/// Bytes that an area starts with; the rest of it is zero.
#[derive(Clone, Copy, Debug)]
pub struct Contents {
    /// Address of the first byte.
    pub start: u64,
    /// The bytes, part of the initramfs.
    pub bytes: &'static [u8],
}

impl Contents {
    /// What belongs on the page at `page`: the offset in the page, and the bytes.
    pub fn on_page(&self, page: u64) -> (usize, &'static [u8]) {
        let offset = self.start.saturating_sub(page).min(PAGE_SIZE);
        let skip = page.saturating_sub(self.start);
        let rest = usize::try_from(skip)
            .ok()
            .and_then(|skip| self.bytes.get(skip..));
        let rest = rest.unwrap_or(&[]);
        let len = rest.len().min((PAGE_SIZE - offset) as usize);
        (offset as usize, &rest[..len])
    }
}

impl Area {
    /// No area at all.
    pub const EMPTY: Self = Self {
        start: 0,
        end: 0,
        access: Access::empty(),
        contents: None,
    };

    /// Whether `address` is inside.
    pub fn contains(&self, address: u64) -> bool {
        (self.start..self.end).contains(&address)
    }

    /// Whether any page is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

#[cfg(test)]
mod tests {
    use super::Contents;

    #[test]
    fn contents_are_cut_into_pages() {
        let bytes: &'static [u8] = vec![7; 0x1800].leak();
        let contents = Contents {
            start: 0x40_0c00,
            bytes,
        };
        let shape = |page| {
            let (offset, bytes) = contents.on_page(page);
            (offset, bytes.len())
        };
        assert_eq!(shape(0x40_0000), (0xc00, 0x400));
        assert_eq!(shape(0x40_1000), (0, 0x1000));
        assert_eq!(shape(0x40_2000), (0, 0x400));
        assert_eq!(shape(0x40_3000), (0, 0));
        assert_eq!(shape(0x3f_f000).1, 0);
    }
}
