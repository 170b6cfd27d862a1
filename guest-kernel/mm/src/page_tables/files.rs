//! Pages of files in page tables: shares of frames that files have too.

use arch::paging::{self, ENTRIES, Entry, index};

use crate::OutOfMemory;
use crate::file_pages::MappablePage;
use crate::frames::use_count;
use crate::page_tables::entries::{flags, is_unused, leaf};
use crate::page_tables::{Access, PageTables, Sharing};

impl PageTables {
    /// Maps pages of a file at `page`, which is not mapped, and after it, as long as
    /// `next_page` gives one and the next entry of the same table is empty. The program can
    /// write only to those that `sharing` and the file let it.
    ///
    /// # Errors
    /// There is no frame for a table.
    pub fn map_file(
        &mut self,
        page: u64,
        access: Access,
        sharing: Sharing,
        mut next_page: impl FnMut() -> Option<MappablePage>,
    ) -> Result<(), OutOfMemory> {
        let table = self.leaf_or_new(page)?;
        for slot in index(page, 0)..ENTRIES {
            if !table.get(slot).is_empty() {
                break;
            }
            let Some(MappablePage { address, is_own }) = next_page() else {
                break;
            };
            let may_write = is_own && sharing == Sharing::Shared;
            let sharers = use_count(address);
            sharers.set(sharers.get() + 1);
            // SAFETY: the program may read the file, and write to it if the entry says so, on
            // which all who share the frame have agreed. A private entry lets it do no more
            // than read as long as the file has its share, which is counted.
            unsafe { self.fill(table, slot, Entry::new(address, flags(access, may_write))) };
        }
        if is_unused(table) {
            self.prune(page);
        }
        Ok(())
    }

    /// Lets the program write to the page at `page`, which has `entry`: a file's own, which all
    /// share.
    pub fn allow_writing(&mut self, page: u64, entry: Entry, access: Access) {
        let Ok(table) = leaf(self.root, page) else {
            return;
        };
        // SAFETY: the same frame; all who share it have agreed. The TLB entry with fewer rights
        // is flushed.
        unsafe { table.set(index(page, 0), entry.with(flags(access, true))) };
        if self.is_active() {
            paging::forget_page(page);
        }
    }
}
