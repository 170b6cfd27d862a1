//! Futexes with an owner: locks that the kernel hands from one thread to the next
//! (`FUTEX_LOCK_PI`).
//!
//! The word holds the owner's number, so that a lock without contention needs no call. Who has
//! to wait sets a bit, and the owner's call hands the lock to the first waiter; so does the
//! owner's end. All threads have turns here, so nothing is inherited but the lock: an owner
//! always gets on.

use abi::Errno;
use linux_raw_sys::general as linux;
use mm::{AddressSpace, UserPtr};

use crate::proc::futex::{Key, TABLE, Waiting};
use crate::proc::scheduler::{self, current_thread};
use crate::proc::table;
use crate::proc::thread::Thread;
use crate::proc::wait_queue::Deadline;

const TID_MASK: u32 = linux::FUTEX_TID_MASK;
const WAITERS: u32 = linux::FUTEX_WAITERS;
const OWNER_DIED: u32 = linux::FUTEX_OWNER_DIED;

/// Owners that wait for each other, as far as this is followed.
const MAX_CHAIN: usize = 1024;

/// Takes the lock whose word is at `address`. Waits for it, if there is a deadline or
/// `may_wait`, at most until the deadline.
///
/// # Errors
/// EDEADLK: this thread has it, or its owner waits for this thread. ESRCH: its owner is no
/// more. EAGAIN: it would have to wait. ETIMEDOUT. EFAULT. RESTART_ALWAYS: a signal came.
pub fn lock(
    space: &AddressSpace,
    key: Key,
    address: u64,
    may_wait: bool,
    deadline: Option<Deadline>,
) -> Result<(), Errno> {
    let thread = current_thread();
    let mut holder = None;
    UserPtr::<u32>::new(address).update(space, |value| {
        let owner = value & TID_MASK;
        holder = match owner {
            0 => None,
            owner => Some(holder_of(owner, thread, may_wait)?),
        };
        let waiters = match holder.is_some() || first_waiter(key).is_some() {
            true => WAITERS,
            false => 0,
        };
        Ok::<_, Errno>(Some(match owner {
            0 => thread.tid() | value & OWNER_DIED | waiters,
            _ => value | waiters,
        }))
    })?;
    let Some(holder) = holder else {
        return Ok(());
    };
    if thread.needs_attention() {
        return Err(Errno::RESTART_ALWAYS);
    }
    holder.owns_futexes.set(true);
    TABLE.insert(
        thread,
        Waiting {
            key,
            bits: 0,
            owner: holder.tid(),
            address,
        },
    );
    let is_late = scheduler::block(deadline);
    match (TABLE.remove(thread), is_late) {
        (false, _) => Ok(()),
        (true, true) => Err(Errno::ETIMEDOUT),
        (true, false) => Err(Errno::RESTART_ALWAYS),
    }
}

/// The `owner` of a lock that `thread` wants, and may wait for.
///
/// # Errors
/// As of [`lock`].
fn holder_of(owner: u32, thread: &Thread, may_wait: bool) -> Result<&'static Thread, Errno> {
    if owner == thread.tid() {
        return Err(Errno::EDEADLK);
    }
    let holder = table::thread(owner).ok_or(Errno::ESRCH)?;
    if !may_wait {
        return Err(Errno::EAGAIN);
    }
    match waits_for(holder, thread) {
        true => Err(Errno::EDEADLK),
        false => Ok(holder),
    }
}

/// Gives up the lock whose word is at `address`.
///
/// # Errors
/// EPERM: this thread does not have it. EFAULT.
pub fn unlock(space: &AddressSpace, key: Key, address: u64) -> Result<(), Errno> {
    let next = first_waiter(key);
    // In one step: nobody is to read the number of a third thread meanwhile.
    UserPtr::<u32>::new(address).update(space, |value| {
        match value & TID_MASK == current_thread().tid() {
            true => Ok(Some(next.map_or(0, |next| next.tid() | WAITERS))),
            false => Err(Errno::EPERM),
        }
    })?;
    if let Some(next) = next {
        give(key, next);
    }
    Ok(())
}

/// Hands on what a thread owns and others wait for, as it ends.
pub(super) fn owner_ends(thread: &Thread) {
    if !thread.owns_futexes.take() {
        return;
    }
    let is_ours = |waiting: &Waiting| waiting.owner == thread.tid();
    while let Some(next) = TABLE.find(is_ours) {
        let Waiting { key, address, .. } = next.futex.get();
        let value = next.tid() | WAITERS | OWNER_DIED;
        // A bad address is the waiter's affair: it has the lock.
        let _ = next.process().space().put(address, &value.to_le_bytes());
        give(key, next);
    }
}

fn first_waiter(key: Key) -> Option<&'static Thread> {
    TABLE.find(|waiting| waiting.owner != 0 && waiting.key == key)
}

/// Makes `next`, which waits, the owner: the others wait for it now.
fn give(key: Key, next: &'static Thread) {
    TABLE.remove(next);
    for thread in TABLE.waiters(key) {
        let waiting = thread.futex.get();
        if waiting.key == key && waiting.owner != 0 {
            let owner = next.tid();
            thread.futex.set(Waiting { owner, ..waiting });
            next.owns_futexes.set(true);
        }
    }
    scheduler::wake(next);
}

/// Whether a thread waits for another one, directly or not.
fn waits_for(thread: &'static Thread, other: &Thread) -> bool {
    let mut next = thread;
    for _ in 0..MAX_CHAIN {
        let owner = match next.futex.get().owner {
            owner if owner != 0 && next.wait_link.is_linked() => owner,
            _ => return false,
        };
        if owner == other.tid() {
            return true;
        }
        match table::thread(owner) {
            Some(owner) => next = owner,
            None => return false,
        }
    }
    true
}
