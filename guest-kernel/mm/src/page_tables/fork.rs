//! Page tables of a process that is forked.

use core::ops::Range;

use arch::paging::Flags;

use super::PageTables;
use super::entries::{Sharing, add, is_unused, leaves};
use crate::OutOfMemory;
use crate::frames::use_count;

impl PageTables {
    /// Gives `child` a share of each page in `range`. Private pages become read-only on
    /// both sides; [`Self::finish_fork`] must follow, however this ends.
    ///
    /// # Errors
    /// There is no frame for a table.
    pub fn fork(
        &mut self,
        child: &mut Self,
        range: Range<u64>,
        sharing: Sharing,
    ) -> Result<(), OutOfMemory> {
        for leaf in leaves(self.root, range) {
            let target = child.leaf_or_new(leaf.start)?;
            let mut given = 0;
            let mut enough = true;
            for (slot, entry) in leaf.entries() {
                let kept = match sharing {
                    Sharing::Private => entry.with(entry.flags() - Flags::WRITABLE),
                    Sharing::Shared => entry,
                };
                let sharers = use_count(entry.address());
                let Some(count) = sharers.get().checked_add(1) else {
                    enough = false;
                    break;
                };
                sharers.set(count);
                // SAFETY: the count now has both. Nobody can write to a private page
                // any more once `finish_fork` has flushed it; the child's entry was empty.
                unsafe {
                    leaf.table.set(slot, kept);
                    target.set(slot, kept);
                }
                given += 1;
            }
            add(target, given);
            child.frames += u64::from(given);
            if is_unused(target) {
                child.prune(leaf.start);
            }
            if !enough {
                return Err(OutOfMemory);
            }
        }
        Ok(())
    }

    /// Flushes the TLB entries of pages that were writable.
    pub fn finish_fork(&self) {
        if self.is_active() {
            self.activate();
        }
        self.forget_elsewhere();
    }
}
