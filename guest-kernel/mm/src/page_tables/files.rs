//! Pages of files in page tables: shares of frames that files have too.

use core::mem::ManuallyDrop;

use arch::paging::{self, ENTRIES, Entry, Flags, index};

use crate::OutOfMemory;
use crate::file_pages::MappablePage;
use crate::frames::{FrameShare, use_count};
use crate::page_tables::entries::{flags, leaf, release};
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
        self.prune(page);
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

    /// Maps a frame that others share at `page`, in place of what is there, read-only until the
    /// program writes to it.
    ///
    /// # Errors
    /// There is no frame for a table.
    pub fn replace(
        &mut self,
        page: u64,
        share: FrameShare,
        access: Access,
    ) -> Result<(), OutOfMemory> {
        let table = self.leaf_or_new(page)?;
        let slot = index(page, 0);
        let old = table.get(slot);
        let entry = Entry::new(share.into_address(), flags(access, false));
        if old.is_empty() {
            // SAFETY: the program may read what it asked for; the entry has the share.
            unsafe { self.fill(table, slot, entry) };
            return Ok(());
        }
        // SAFETY: as above. The page was the program's, which has no use of it any more; its TLB
        // entry is flushed before the frame is reused.
        unsafe {
            table.set(slot, entry);
            if self.is_active() {
                paging::forget_page(page);
            }
            release(old);
        }
        Ok(())
    }

    /// Another share of the private page at `page`, which has `entry`, and is read-only from
    /// now on.
    pub fn share(&mut self, page: u64, entry: Entry) -> FrameShare {
        if let Ok(table) = leaf(self.root, page)
            && entry.has(Flags::WRITABLE)
        {
            let kept = entry.with(entry.flags() - Flags::WRITABLE);
            // SAFETY: the same frame with fewer rights; flushed before the program goes on.
            unsafe { table.set(index(page, 0), kept) };
            if self.is_active() {
                paging::forget_page(page);
            }
        }
        // SAFETY: the entry has a share, which stays where it is.
        let share = ManuallyDrop::new(unsafe { FrameShare::from_address(entry.address()) });
        share.another()
    }
}
