//! Futexes with an owner: locks that the kernel hands from one thread to the next
//! (`FUTEX_LOCK_PI`).
//!
//! The word holds the owner's number, so that a lock without contention needs no call. Who has
//! to wait sets a bit, and the owner's call hands the lock to the first waiter; so does the
//! owner's end. All threads have turns here, so nothing is inherited but the lock: an owner
//! always gets on.

use core::ptr;

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

/// A lock: a word that holds its owner's number.
#[derive(Clone, Copy, Debug)]
pub struct Lock {
    /// Which.
    pub key: Key,
    /// Where it is in the memory of whoever wants it.
    pub address: u64,
}

/// Takes the lock. Waits for it, if `may_wait`, at most until the deadline.
///
/// # Errors
/// EDEADLK: this thread has it, or its owner waits for this thread. ESRCH: its owner is no
/// more. EAGAIN: it would have to wait. EINVAL: others wait for the word, and not for the lock.
/// ETIMEDOUT. EFAULT. RESTART_ALWAYS: a signal came.
pub fn lock(
    space: &AddressSpace,
    lock: Lock,
    may_wait: bool,
    deadline: Option<Deadline>,
) -> Result<(), Errno> {
    let thread = current_thread();
    let Some(holder) = take(space, lock, thread, may_wait, false)? else {
        return Ok(());
    };
    if thread.needs_attention() {
        return Err(Errno::RESTART_ALWAYS);
    }
    await_turn(thread, lock, holder);
    let is_late = scheduler::block(deadline);
    match (TABLE.remove(thread), is_late) {
        (false, _) => Ok(()),
        (true, true) => Err(Errno::ETIMEDOUT),
        (true, false) => Err(Errno::RESTART_ALWAYS),
    }
}

/// Gives `thread` the lock if it is free, and otherwise returns its owner, who is told that
/// somebody waits; so is the new one if `others_follow`.
///
/// # Errors
/// As of [`lock`].
pub(super) fn take(
    space: &AddressSpace,
    lock: Lock,
    thread: &Thread,
    may_wait: bool,
    others_follow: bool,
) -> Result<Option<&'static Thread>, Errno> {
    let is_awaited = first_waiter(lock.key)?.is_some() || others_follow;
    let mut holder = None;
    UserPtr::<u32>::new(lock.address).update(space, |value| {
        holder = match value & TID_MASK {
            0 => None,
            owner => Some(holder_of(owner, thread, may_wait)?),
        };
        let waiters = match holder.is_some() || is_awaited {
            true => WAITERS,
            false => 0,
        };
        Ok::<_, Errno>(Some(match holder {
            None => thread.tid() | value & OWNER_DIED | waiters,
            Some(_) => value | waiters,
        }))
    })?;
    Ok(holder)
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
    match ptr::eq(last_owner(holder)?, thread) {
        true => Err(Errno::EDEADLK),
        false => Ok(holder),
    }
}

/// Lets `thread` wait for the lock that `holder` has.
pub(super) fn await_turn(thread: &'static Thread, lock: Lock, holder: &Thread) {
    holder.owns_futexes.set(true);
    TABLE.insert(
        thread,
        Waiting {
            key: lock.key,
            bits: 0,
            lock: Some(lock),
            owner: holder.tid(),
        },
    );
}

/// Gives up the lock.
///
/// # Errors
/// EPERM: this thread does not have it. EINVAL: others wait for the word, and not for the lock.
/// EFAULT.
pub fn unlock(space: &AddressSpace, lock: Lock) -> Result<(), Errno> {
    let mut next = None;
    // In one step: nobody is to read the number of a third thread meanwhile.
    UserPtr::<u32>::new(lock.address).update(space, |value| {
        if value & TID_MASK != current_thread().tid() {
            return Err(Errno::EPERM);
        }
        next = first_waiter(lock.key)?;
        Ok(Some(next.map_or(0, |next| next.tid() | WAITERS)))
    })?;
    if let Some(next) = next {
        give(lock.key, next);
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
        let Waiting { key, lock, .. } = next.futex.get();
        if let Some(Lock { address, .. }) = lock {
            let value = next.tid() | WAITERS | OWNER_DIED;
            // A bad address is the waiter's affair: it has the lock.
            let _ = next.process().space().put(address, &value.to_le_bytes());
        }
        give(key, next);
    }
}

/// Who has waited longest for the lock.
///
/// # Errors
/// EINVAL: it waits for its word, and not for the lock.
pub(super) fn first_waiter(key: Key) -> Result<Option<&'static Thread>, Errno> {
    match TABLE.waiters(key).next() {
        Some(first) if first.futex.get().owner == 0 => Err(Errno::EINVAL),
        first => Ok(first),
    }
}

/// Makes `next`, which waits, the owner: the others wait for it now.
fn give(key: Key, next: &'static Thread) {
    TABLE.remove(next);
    for thread in TABLE.waiters(key) {
        let waiting = thread.futex.get();
        if waiting.owner != 0 {
            let owner = next.tid();
            thread.futex.set(Waiting { owner, ..waiting });
            next.owns_futexes.set(true);
        }
    }
    scheduler::wake(next);
}

/// Whom all wait for that a thread waits for, directly or not: the thread itself if it waits for
/// no lock.
///
/// # Errors
/// EDEADLK: too many wait for each other, or in a circle.
pub(super) fn last_owner(thread: &'static Thread) -> Result<&'static Thread, Errno> {
    let mut last = thread;
    for _ in 0..MAX_CHAIN {
        let owner = match last.futex.get().owner {
            owner if owner != 0 && last.wait_link.is_linked() => table::thread(owner),
            _ => None,
        };
        match owner {
            Some(owner) => last = owner,
            None => return Ok(last),
        }
    }
    Err(Errno::EDEADLK)
}
