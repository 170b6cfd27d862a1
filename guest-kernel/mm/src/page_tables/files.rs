//! Pages of files in page tables: shares of frames that files have too.

use abi::virtual_map::PAGE_SIZE;
use arch::paging::{self, ENTRIES, Entry, index};

use crate::OutOfMemory;
use crate::file_pages::MappablePage;
use crate::frames::share_run;
use crate::page_tables::entries::{add, flags, is_unused, leaf};
use crate::page_tables::{Access, PageTables, Sharing};

impl PageTables {
    /// Maps `count` pages of a file from `page` on, of which the first is `first` and which
    /// follow each other in memory, as long as the entries of the same table are empty; says how
    /// many. The program can write to them only if `sharing` and the file let it.
    ///
    /// # Errors
    /// There is no frame for a table.
    pub fn map_file(
        &mut self,
        page: u64,
        first: MappablePage,
        count: u64,
        access: Access,
        sharing: Sharing,
    ) -> Result<u64, OutOfMemory> {
        let MappablePage { address, is_own } = first;
        let flags = flags(access, is_own && sharing == Sharing::Shared);
        let table = self.leaf_or_new(page)?;
        let mut mapped = 0;
        for slot in (index(page, 0)..ENTRIES).take(count as usize) {
            if !table.get(slot).is_empty() {
                break;
            }
            let entry = Entry::new(address + mapped * PAGE_SIZE, flags);
            // SAFETY: the program may read the file, and write to it if the entry says so, on
            // which all who share the frame have agreed. A private entry lets it do no more
            // than read as long as the file has its share, which is counted below.
            unsafe { table.set(slot, entry) };
            mapped += 1;
        }
        share_run(address, mapped);
        add(table, mapped as u32);
        self.frames += mapped;
        if is_unused(table) {
            self.prune(page);
        }
        Ok(mapped)
    }

    /// The first page from `lowest` on after which, up to `page`, no page is mapped. Both are in
    /// one table, if there is any for them.
    pub fn empty_before(&self, page: u64, lowest: u64) -> u64 {
        let before = (page - lowest) / PAGE_SIZE;
        let empty = match leaf(self.root, page) {
            Ok(table) => {
                let slots = (0..index(page, 0)).rev().take(before as usize);
                let empty = slots.take_while(|slot| table.get(*slot).is_empty());
                empty.count() as u64
            }
            Err(_) => before,
        };
        page - empty * PAGE_SIZE
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
