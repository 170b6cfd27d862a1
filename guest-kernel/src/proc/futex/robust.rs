//! Locks whose owner ends: Linux's robust list (Documentation/locking/robust-futexes.rst).
//!
//! A program's thread keeps a list of the locks that it holds, in its own memory, and tells
//! the kernel only where it starts. As the thread ends, each lock that is still its own is
//! marked, and a waiter woken. The list is a program's word: it may lead anywhere or round and
//! round, so it is followed for so many steps only.
//!
//! ```text
//! head: | next | from an entry to its lock's word | entry that is about to be added or removed |
//! ```

use linux_raw_sys::general as linux;
use mm::user_memory::BadAddress;
use mm::{AddressSpace, UserPtr};

use crate::proc::futex::{ANY, Key, wake};
use crate::proc::thread::Thread;

/// Bytes of `struct robust_list_head`.
pub const HEAD_SIZE: u64 = size_of::<linux::robust_list_head>() as u64;

const MAX_LOCKS: usize = linux::ROBUST_LIST_LIMIT as usize;
/// In a pointer to an entry: the lock has an owner that the kernel knows (`FUTEX_LOCK_PI`).
const IS_OWNED: u64 = 1;

/// Marks the locks that `thread`, the current one, holds as it ends.
pub(super) fn thread_ends(thread: &Thread) {
    let head = thread.robust_list.take();
    if head != 0 {
        // Where the list cannot be read it ends.
        let _ = walk(&thread.process().space(), head, thread.tid());
    }
}

fn walk(space: &AddressSpace, head: u64, tid: u32) -> Result<(), BadAddress> {
    let [first, offset, pending] = UserPtr::<[u64; 3]>::new(head).read(space)?;
    let mut entry = first;
    for _ in 0..MAX_LOCKS {
        let address = entry & !IS_OWNED;
        if address == head {
            break;
        }
        // Whoever is woken may change the entry.
        let next = UserPtr::<u64>::new(address).read(space);
        if address != pending & !IS_OWNED {
            mark(space, entry, offset, tid, false)?;
        }
        entry = next?;
    }
    if pending & !IS_OWNED != 0 {
        mark(space, pending, offset, tid, true)?;
    }
    Ok(())
}

/// Marks the lock of an entry if it is the thread's own.
fn mark(
    space: &AddressSpace,
    entry: u64,
    offset: u64,
    tid: u32,
    is_pending: bool,
) -> Result<(), BadAddress> {
    let address = (entry & !IS_OWNED).wrapping_add(offset);
    let is_owned = entry & IS_OWNED != 0;
    let key = Key::new(space, address, false).map_err(|_| BadAddress)?;
    let owner = |value| value & linux::FUTEX_TID_MASK;
    let value = UserPtr::<u32>::new(address).update(space, |value| {
        let marked = value & linux::FUTEX_WAITERS | linux::FUTEX_OWNER_DIED;
        Ok::<_, BadAddress>((owner(value) == tid).then_some(marked))
    })?;
    // It was given up, and nobody told yet.
    let is_free = is_pending && !is_owned && owner(value) == 0;
    if owner(value) != tid && !is_free {
        return Ok(());
    }
    if is_free || !is_owned && value & linux::FUTEX_WAITERS != 0 {
        // Nobody else's lock is to be woken for.
        let _ = wake(key, ANY, 1);
    }
    Ok(())
}
