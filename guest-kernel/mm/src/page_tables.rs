//! The user half of an address space as the CPU sees it: which frames are mapped where, and
//! with which permissions. [`super::AddressSpace`] decides what belongs there.
//!
//! An entry that is not empty holds a frame, or a share of one. The `use_count` beside a
//! mapped frame counts the shares beyond the first; beside a table it counts the entries
//! in use, so that a table goes when the last of them does, and so that a walk ends with
//! the last and not with entry 511.
//!
//! ```text
//! private page after fork:  parent's entry --> frame <-- child's entry
//!                           read-only        use count 1  read-only
//! ```
//!
//! The first to write gets a copy of its own; the last one finds the count at zero and
//! keeps the frame. An entry without [`Flags::PRESENT`] keeps the frame of a page that the
//! program has made inaccessible.

#![allow(unsafe_code)]

mod entries;
mod files;
mod fork;

use core::ops::Range;

use abi::virtual_map::{PAGE_SIZE, USER_END};

pub use self::entries::{Access, Sharing};
use self::entries::{
    add, copy_of, flags, is_unused, leaf, leaves, levels, new_table, release, take,
};
use crate::OutOfMemory;
use crate::frames::{FRAME_SIZE, Frame, FrameRun, use_count};
use arch::paging::{self, ENTRIES, Entry, Flags, TOP_LEVEL, Table, index};

/// Flags of entries that lead to tables; those of pages decide.
const TABLE: Flags = Flags::PRESENT
    .union(Flags::WRITABLE)
    .union(Flags::USER_ACCESSIBLE)
    .union(Flags::ACCESSED);

/// Ranges of up to this many pages are flushed page by page.
const FEW_PAGES: u64 = 8;

/// The page tables of one address space, and the frames in them.
#[derive(Debug)]
pub(crate) struct PageTables {
    root: Table,
    /// Frames held, shared ones and tables included.
    frames: u64,
}

impl PageTables {
    /// Tables with nothing in the user half.
    ///
    /// # Errors
    /// There is no frame for the first.
    pub fn new() -> Result<Self, OutOfMemory> {
        let root = new_table()?;
        // SAFETY: the table was made for this address space.
        unsafe { paging::share_kernel(root) };
        Ok(Self { root, frames: 1 })
    }

    /// Where they are.
    pub fn id(&self) -> u64 {
        self.root.address()
    }

    /// Frames held: tables, pages, and shares of pages.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Loads CR3 with these tables; they stay active until others are activated or these
    /// are dropped.
    pub fn activate(&self) {
        // SAFETY: `new` put the kernel in, and `drop` loads others.
        unsafe { paging::load(self.root) }
    }

    fn is_active(&self) -> bool {
        paging::is_loaded(self.root)
    }

    /// The entry of the page at `page`, unless it is empty.
    pub fn get(&self, page: u64) -> Option<Entry> {
        let entry = leaf(self.root, page).ok()?.get(index(page, 0));
        (!entry.is_empty()).then_some(entry)
    }

    /// See [`AddressSpace::mapped`](crate::AddressSpace::mapped).
    pub fn run(&self, address: u64, most: u64) -> Option<(u64, u64)> {
        let table = leaf(self.root, address & !(PAGE_SIZE - 1)).ok()?;
        let slots = index(address, 0)..ENTRIES;
        let entries = slots.map(|slot| table.get(slot));
        let mut pages = entries.map_while(|entry| {
            let is_there = entry.has(Flags::PRESENT);
            is_there.then(|| entry.address())
        });
        let within = address % PAGE_SIZE;
        let first = pages.next()?;
        let mut end = first + PAGE_SIZE;
        while end - first - within < most && pages.next() == Some(end) {
            end += PAGE_SIZE;
        }
        Some((first + within, (end - first - within).min(most)))
    }

    /// Maps `frame` at `page`, which is not mapped.
    ///
    /// # Errors
    /// There is no frame for a table.
    pub fn map(&mut self, page: u64, frame: Frame, access: Access) -> Result<(), OutOfMemory> {
        let table = self.leaf_or_new(page)?;
        let entry = Entry::new(frame.into_address(), flags(access, true));
        // SAFETY: the frame was the caller's own and is the program's now.
        unsafe { self.fill(table, index(page, 0), entry) };
        Ok(())
    }

    /// Maps frames of zeros at up to `most` pages from `page` on: those of the same table that
    /// follow each other and that nothing is mapped at.
    pub fn map_zeroed(&mut self, page: u64, most: u64, access: Access) {
        let Ok(table) = leaf(self.root, page) else {
            return;
        };
        let slots = index(page, 0)..ENTRIES;
        let is_free = |slot: &usize| table.get(*slot).is_empty();
        let free = slots.clone().take(most as usize).take_while(is_free);
        let run = FrameRun::allocate_zeroed(free.count() as u64);
        for (slot, frame) in slots.zip(run.into_iter().flatten()) {
            let entry = Entry::new(frame.into_address(), flags(access, true));
            // SAFETY: as for `map`.
            unsafe { self.fill(table, slot, entry) };
        }
    }

    /// Fills an empty entry of one of these tables.
    ///
    /// # Safety
    /// The program may do with the frame what the entry says, and the entry holds a share.
    unsafe fn fill(&mut self, table: Table, slot: usize, entry: Entry) {
        debug_assert!(table.get(slot).is_empty());
        // SAFETY: the caller's promise; the TLB caches no entry that is not present (Intel
        // SDM vol. 3A 5.10.2.3).
        unsafe { table.set(slot, entry) };
        add(table, 1);
        self.frames += 1;
    }

    /// Writes `bytes` to the frame at `page`, from `offset` on; no further than its end,
    /// and nothing if there is no frame that the program could write to.
    pub fn write(&mut self, page: u64, offset: usize, bytes: &[u8]) {
        let entry = self.get(page).filter(|entry| entry.has(Flags::WRITABLE));
        let (Some(entry), offset) = (entry, offset.min(FRAME_SIZE)) else {
            return;
        };
        let len = bytes.len().min(FRAME_SIZE - offset);
        let start = (paging::DIRECT_MAP + entry.address()) as *mut u8;
        // SAFETY: the range is in a frame that programs may write to, to which the kernel
        // has no references.
        unsafe { start.add(offset).copy_from(bytes.as_ptr(), len) };
    }

    /// Copies what is in the frame at `page`, from `offset` on, to the front of `bytes`; no
    /// further than its end, and nothing if there is no frame.
    pub fn read(&self, page: u64, offset: usize, bytes: &mut [u8]) {
        let (Some(entry), offset) = (self.get(page), offset.min(FRAME_SIZE)) else {
            return;
        };
        let len = bytes.len().min(FRAME_SIZE - offset);
        let start = (paging::DIRECT_MAP + entry.address()) as *const u8;
        // SAFETY: the range is in a frame that the entry has a share of. What a program may write to
        // it on another CPU meanwhile is its own affair.
        unsafe { start.add(offset).copy_to(bytes.as_mut_ptr(), len) };
    }

    /// How many pages in `range` are there.
    pub fn count(&self, range: Range<u64>) -> u64 {
        let leaves = leaves(self.root, range);
        leaves.map(|leaf| leaf.entries().count() as u64).sum()
    }

    /// The first byte of a page that is mapped.
    #[cfg(test)]
    pub fn first_byte(&self, page: u64) -> u8 {
        let entry = self.get(page).expect("the page is there");
        // SAFETY: the entry has a share of the frame.
        unsafe { ((paging::DIRECT_MAP + entry.address()) as *const u8).read() }
    }

    /// Makes `page`, which has `entry`, writable: its own frame if nobody shares it, else a
    /// copy. Returns whether it is a copy.
    ///
    /// # Errors
    /// There is no frame for a copy.
    pub fn make_writable(
        &mut self,
        page: u64,
        entry: Entry,
        access: Access,
    ) -> Result<bool, OutOfMemory> {
        let Ok(table) = leaf(self.root, page) else {
            return Ok(false);
        };
        let sharers = use_count(entry.address());
        let is_shared = sharers.get() != 0;
        let address = if is_shared {
            let copy = copy_of(entry)?;
            sharers.set(sharers.get() - 1);
            copy.into_address()
        } else {
            entry.address()
        };
        // SAFETY: the frame is this entry's alone, and the TLB entry of the old one is
        // flushed before the program continues.
        unsafe { table.set(index(page, 0), Entry::new(address, flags(access, true))) };
        if self.is_active() {
            paging::forget_page(page);
        }
        if is_shared {
            // Other threads are not to read the old frame any more.
            self.forget_elsewhere();
        }
        Ok(is_shared)
    }

    /// Unmaps the pages in `range`, and frees the tables that are empty then.
    pub fn unmap(&mut self, range: Range<u64>) {
        self.unmap_if(range, |_, _| true);
    }

    /// The same for those of which `is_going` says so, by the page's and the frame's address.
    pub fn unmap_if(&mut self, range: Range<u64>, is_going: impl Fn(u64, u64) -> bool) {
        if paging::is_elsewhere(self.root) {
            self.hide(range.clone(), &is_going);
        }
        for leaf in leaves(self.root, range.clone()) {
            let mut gone = 0;
            for (slot, entry) in leaf.entries() {
                if !is_going(leaf.page(slot), entry.address()) {
                    continue;
                }
                // SAFETY: the page was the program's, which asked for this or is gone, or the
                // file's, which has another now; flushed below, before the frame is reused.
                unsafe {
                    leaf.table.set(slot, Entry::EMPTY);
                    release(entry);
                }
                gone += 1;
            }
            self.frames -= u64::from(gone);
            if take(leaf.table, gone) == 0 {
                self.prune_unflushed(leaf.start);
            }
        }
        self.forget(range);
    }

    /// Hides pages that are to go from programs that run on other CPUs: the allocator keeps its
    /// chain in frames that are free, where a store by an old translation would end up.
    #[cold]
    #[inline(never)]
    fn hide(&mut self, range: Range<u64>, is_going: &impl Fn(u64, u64) -> bool) {
        for leaf in leaves(self.root, range) {
            for (slot, entry) in leaf.entries() {
                if is_going(leaf.page(slot), entry.address()) {
                    let hidden = entry.with(flags(Access::empty(), false));
                    // SAFETY: it maps nothing for the CPU, and has the same frame.
                    unsafe { leaf.table.set(slot, hidden) };
                }
            }
        }
        self.forget_elsewhere();
    }

    /// Changes the permissions of the pages in `range` that are mapped. A page that the program
    /// could not write to stays read-only until it is written to, if it has sharers.
    pub fn protect(&mut self, range: Range<u64>, access: Access, sharing: Sharing) {
        for leaf in leaves(self.root, range.clone()) {
            for (slot, entry) in leaf.entries() {
                let may_write = match sharing {
                    Sharing::Private => use_count(entry.address()).get() == 0,
                    Sharing::Shared => entry.has(Flags::WRITABLE),
                };
                // SAFETY: the same frame; nobody else has it if it becomes writable, or it was
                // so before. Flushed below.
                unsafe { leaf.table.set(slot, entry.with(flags(access, may_write))) };
            }
        }
        self.forget(range);
    }

    /// Moves the pages in `range` to `target`, where no page is mapped.
    ///
    /// # Errors
    /// There are no frames for tables; nothing has moved.
    pub fn move_pages(&mut self, range: Range<u64>, target: u64) -> Result<(), OutOfMemory> {
        let moved = |page: u64| target + (page - range.start);
        let made = leaves(self.root, range.clone()).try_for_each(|leaf| {
            let mut pages = leaf.entries().map(|(slot, _)| leaf.page(slot));
            pages.try_for_each(|page| self.leaf_or_new(moved(page)).map(drop))
        });
        if made.is_err() {
            (target..moved(range.end))
                .step_by(ENTRIES * PAGE_SIZE as usize)
                .chain([moved(range.end) - PAGE_SIZE])
                .for_each(|page| self.prune(page));
            return made;
        }
        for from in leaves(self.root, range.clone()) {
            let mut gone = 0;
            for (slot, entry) in from.entries() {
                let page = moved(from.page(slot));
                let to = self.leaf_or_new(page)?;
                // SAFETY: the frame stays the program's; flushed below.
                unsafe {
                    from.table.set(slot, Entry::EMPTY);
                    to.set(index(page, 0), entry);
                }
                add(to, 1);
                gone += 1;
            }
            take(from.table, gone);
            self.prune_unflushed(from.start);
        }
        self.forget(range);
        Ok(())
    }

    /// Flushes the TLB entries of the pages in `range`, and of the tables for them.
    fn forget(&self, range: Range<u64>) {
        self.forget_elsewhere();
        if !self.is_active() {
            return;
        }
        if (range.end - range.start) / PAGE_SIZE > FEW_PAGES {
            self.activate();
            return;
        }
        for page in range.step_by(PAGE_SIZE as usize) {
            paging::forget_page(page);
        }
    }

    /// Flushes those of all pages on other CPUs.
    pub(super) fn forget_elsewhere(&self) {
        paging::forget_elsewhere(self.root);
    }

    /// The table with the entry of `page`, made if there is none.
    fn leaf_or_new(&mut self, page: u64) -> Result<Table, OutOfMemory> {
        assert!(page < USER_END, "{page:#x} is not a user page");
        let mut table = self.root;
        for level in levels() {
            let slot = index(page, level);
            table = match table.child(slot) {
                Some(child) => child,
                None => {
                    let Ok(child) = new_table() else {
                        self.prune(page);
                        return Err(OutOfMemory);
                    };
                    // SAFETY: an empty table maps nothing; the old entry was empty.
                    unsafe { table.set(slot, Entry::new(child.address(), TABLE)) };
                    add(table, 1);
                    self.frames += 1;
                    child
                }
            };
        }
        Ok(table)
    }

    /// Frees the empty tables on the walk to `page`.
    fn prune(&mut self, page: u64) {
        if self.prune_unflushed(page) {
            self.forget_elsewhere();
        }
    }

    /// The same, but for the TLB entries of other CPUs; whether there was any.
    fn prune_unflushed(&mut self, page: u64) -> bool {
        let mut path = [self.root; TOP_LEVEL as usize + 1];
        let mut depth = 0;
        for level in levels() {
            let Some(child) = path[depth].child(index(page, level)) else {
                break;
            };
            depth += 1;
            path[depth] = child;
        }
        let deepest = depth;
        let mut is_empty = is_unused(path[depth]);
        while depth > 0 && is_empty {
            let (table, parent) = (path[depth], path[depth - 1]);
            // SAFETY: an empty table maps nothing, and nothing but this entry leads to it.
            // Cached entries of it are flushed below, before the frame is reused. Without
            // entries it is all zeros.
            unsafe {
                parent.set(index(page, TOP_LEVEL + 1 - depth as u32), Entry::EMPTY);
                Frame::from_address(table.address()).free_zeroed();
            }
            is_empty = take(parent, 1) == 0;
            depth -= 1;
        }
        self.frames -= (deepest - depth) as u64;
        let is_pruned = depth < deepest;
        if is_pruned && self.is_active() {
            self.activate();
        }
        is_pruned
    }
}

impl Drop for PageTables {
    fn drop(&mut self) {
        if !is_unused(self.root) {
            self.unmap(0..USER_END);
        }
        if self.is_active() {
            paging::activate_kernel_tables();
        }
        // SAFETY: `new` allocated the frame, and neither the CPU nor anything else uses it
        // any more. Without the kernel's entries it has none left.
        unsafe {
            paging::unshare_kernel(self.root);
            Frame::from_address(self.root.address()).free_zeroed();
        }
    }
}

#[cfg(test)]
mod tests;
