//! Pages that files and programs lend each other in place of copies, where copies are slow.
//!
//! ```text
//! read:   the page of the file is mapped, read-only, in place of the buffer's
//! write:  the page of the buffer becomes the file's, and is read-only from now on
//! ```
//!
//! Whoever writes to it first gets a copy: a program by a page fault as after a fork, a file
//! because it notes what it has lent ([`crate::file_pages`]). So this is for buffers that are
//! filled and emptied by system calls alone, as `cp` and `cat` have them; for all others it
//! replaces one copy by another. A page that somebody has mapped as the file's cannot be lent:
//! its bytes are to change there when the file's do.

use abi::virtual_map::PAGE_SIZE;
use arch::paging::Flags;

use crate::address_space::{AddressSpace, Inner};
use crate::area::Kind;
use crate::file_pages::FilePages;
use crate::frames::FrameShare;
use crate::page_tables::Access;
use crate::quota;

impl AddressSpace {
    /// Maps what `file` has at `offset`, a whole page, at `address`, for a program that reads
    /// it. Returns whether that was possible; if not, it is to be copied.
    pub fn borrow_page(&self, address: u64, file: &FilePages, offset: u64) -> bool {
        if !(address | offset).is_multiple_of(PAGE_SIZE) || offset + PAGE_SIZE > file.len() {
            return false;
        }
        let mut inner = self.inner();
        let held = inner.held();
        let Inner { tables, areas, .. } = &mut *inner;
        let Some(area) = areas.at_or_after(address) else {
            return false;
        };
        let is_its_own = matches!(area.kind, Kind::Zero | Kind::Stack);
        if area.start > address
            || !is_its_own
            || !area.access.contains(Access::WRITE)
            || quota::check_page(held).is_err()
        {
            return false;
        }
        let share = file.lend(offset);
        share.is_some_and(|share| tables.replace(address, share, area.access).is_ok())
    }

    /// A share of the page at `address`, for a file to which a program writes it. `None` if it
    /// is to be copied.
    pub fn lend_page(&self, address: u64) -> Option<FrameShare> {
        let mut inner = self.inner();
        let Inner { tables, areas, .. } = &mut *inner;
        let area = areas.at_or_after(address)?;
        // What is mapped from a file may change with that.
        let is_its_own = matches!(area.kind, Kind::Zero | Kind::Stack);
        if area.start > address || !is_its_own || area.access.is_empty() {
            return None;
        }
        let entry = tables.get(address)?;
        entry
            .has(Flags::PRESENT)
            .then(|| tables.share(address, entry))
    }
}
