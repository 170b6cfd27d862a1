//! Entries of page tables: what they allow, where they are, how many are in use, and the
//! frames that they hold.

use core::mem::ManuallyDrop;
use core::ops::Range;

use abi::virtual_map::PAGE_SIZE;
use arch::copies;
use arch::paging::{ENTRIES, Entry, Flags, TOP_LEVEL, Table, USED, index};
use bitflags::bitflags;

use crate::OutOfMemory;
use crate::frames::{Frame, FrameShare, use_count};

bitflags! {
    /// What a program may do with a page. Without [`Self::READ`] it can still read what
    /// it may write or execute: the CPU has no bit for that.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Access: u8 {
        /// Read it.
        const READ = 1 << 0;
        /// Write to it.
        const WRITE = 1 << 1;
        /// Execute what is there.
        const EXECUTE = 1 << 2;
    }
}

/// What a fork does with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Each process has its own: copy-on-write.
    Private,
    /// Both processes share it.
    Shared,
}

/// The flags of an entry for `access`.
pub(crate) fn flags(access: Access, may_write: bool) -> Flags {
    let mut flags = Flags::USER_ACCESSIBLE | USED;
    flags.set(Flags::PRESENT, !access.is_empty());
    flags.set(Flags::WRITABLE, access.contains(Access::WRITE) && may_write);
    flags.set(Flags::NO_EXECUTE, !access.contains(Access::EXECUTE));
    flags
}

/// A table without entries.
///
/// # Errors
/// There is no frame for it.
pub(crate) fn new_table() -> Result<Table, OutOfMemory> {
    let frame = Frame::allocate_zeroed().ok_or(OutOfMemory)?;
    // SAFETY: zeros are an empty table, and it stays until it is dropped as a frame.
    Ok(unsafe { Table::at(frame.into_address()) })
}

/// A frame with the same contents as that in `entry`.
pub(crate) fn copy_of(entry: Entry) -> Result<Frame, OutOfMemory> {
    let mut copy = Frame::allocate().ok_or(OutOfMemory)?;
    // SAFETY: the entry holds a share of the frame, and while others have one too nobody
    // writes to it. It is not dropped here.
    let original = ManuallyDrop::new(unsafe { Frame::from_address(entry.address()) });
    copies::copy(copy.bytes_mut(), original.bytes());
    Ok(copy)
}

/// Gives back a share of the frame in `entry`.
///
/// # Safety
/// The entry is in no table any more.
pub(crate) unsafe fn release(entry: Entry) {
    // SAFETY: each entry that leads to a page has a share of its frame.
    drop(unsafe { FrameShare::from_address(entry.address()) });
}

/// Counts entries that `table` has got.
pub(crate) fn add(table: Table, count: u32) {
    let used = use_count(table.address());
    used.set(used.get() + count);
}

/// Counts entries that `table` has lost; says how many are left.
pub(crate) fn take(table: Table, count: u32) -> u32 {
    let used = use_count(table.address());
    let left = used.get() - count;
    used.set(left);
    left
}

/// The levels of a walk, but for the last. Not an inclusive range: of that, the compiler does
/// not unroll the loop.
pub(crate) fn levels() -> impl Iterator<Item = u32> {
    (1..TOP_LEVEL + 1).rev()
}

/// Whether no entry of `table` is in use.
pub(crate) fn is_unused(table: Table) -> bool {
    use_count(table.address()).get() == 0
}

/// The table with the entry of `page`, or the first page that may have one.
pub(crate) fn leaf(root: Table, page: u64) -> Result<Table, u64> {
    let mut table = root;
    for level in levels() {
        let Some(child) = table.child(index(page, level)) else {
            let size = PAGE_SIZE << (9 * level);
            return Err((page & !(size - 1)) + size);
        };
        table = child;
    }
    Ok(table)
}

/// A table of pages, and the range of its entries.
#[derive(Clone, Copy)]
pub(crate) struct Leaf {
    pub(crate) table: Table,
    pub(crate) start: u64,
    end: u64,
}

impl Leaf {
    /// The entries that are not empty, with where they are. The one just given may be
    /// changed.
    pub(crate) fn entries(self) -> impl Iterator<Item = (usize, Entry)> {
        let first = index(self.start, 0);
        let count = ((self.end - self.start) / PAGE_SIZE) as usize;
        let mut slots = first..first + count;
        let mut left = use_count(self.table.address()).get();
        core::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let mut entries = slots.by_ref().map(|slot| (slot, self.table.get(slot)));
            entries.find(|(_, entry)| !entry.is_empty())
        })
    }

    /// The page of an entry.
    pub(crate) fn page(self, slot: usize) -> u64 {
        self.start + (slot - index(self.start, 0)) as u64 * PAGE_SIZE
    }
}

/// The tables that there are for the pages in `range`. The one just given may go.
pub(crate) fn leaves(root: Table, range: Range<u64>) -> impl Iterator<Item = Leaf> {
    const SPAN: u64 = ENTRIES as u64 * PAGE_SIZE;
    let mut start = range.start;
    core::iter::from_fn(move || {
        while start < range.end && !is_unused(root) {
            match leaf(root, start) {
                Ok(table) => {
                    let end = ((start & !(SPAN - 1)) + SPAN).min(range.end);
                    let leaf = Leaf { table, start, end };
                    start = end;
                    return Some(leaf);
                }
                Err(next) => start = next,
            }
        }
        None
    })
}
