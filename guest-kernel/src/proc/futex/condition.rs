//! Waits for a word that end with a lock (`FUTEX_WAIT_REQUEUE_PI`): those of condition variables
//! whose mutex has an owner that the kernel knows.
//!
//! Who waits says which lock it wants. Whoever wakes lets the first have the lock if it is free,
//! and the others wait for that in place of the word, so that no two are awake and want it.

use core::ptr;

use abi::Errno;
use mm::{AddressSpace, UserPtr};

use crate::proc::futex::owned::{self, Lock};
use crate::proc::futex::{Expected, Key, TABLE, Waiting};
use crate::proc::scheduler::{self, current_thread};
use crate::proc::thread::Thread;
use crate::proc::wait_queue::Deadline;

/// Waits for a word, which must hold what is expected now, until [`requeue_to_lock`], and then for
/// the lock, at most until the deadline. This thread has the lock afterwards.
///
/// # Errors
/// EAGAIN: the word holds something else; a signal came while it waited for the lock. EINVAL: the
/// word is the lock's. ETIMEDOUT. EFAULT. RESTART_ALWAYS: a signal came before.
pub fn wait_for_lock(
    space: &AddressSpace,
    word: Expected,
    lock: Lock,
    deadline: Option<Deadline>,
) -> Result<(), Errno> {
    if UserPtr::<u32>::new(word.address).read(space)? != word.value {
        return Err(Errno::EAGAIN);
    }
    if word.key == lock.key {
        return Err(Errno::EINVAL);
    }
    let thread = current_thread();
    if thread.needs_attention() {
        return Err(Errno::RESTART_ALWAYS);
    }
    TABLE.insert(
        thread,
        Waiting {
            lock: Some(lock),
            ..Waiting::new(word.key, 0)
        },
    );
    let is_late = scheduler::block(deadline);
    let was_moved = thread.futex.get().owner != 0;
    match (TABLE.remove(thread), is_late) {
        (false, _) => Ok(()),
        (true, true) => Err(Errno::ETIMEDOUT),
        // The program looks at the word again, which has changed for the others too.
        (true, false) if was_moved => Err(Errno::EAGAIN),
        (true, false) => Err(Errno::RESTART_ALWAYS),
    }
}

/// Gives the lock, if it is free, to the first of those that wait for a word, which must hold what
/// is expected now, and lets up to `move_count` others wait for the lock; one more if it is not
/// free. Says how many both are together.
///
/// # Errors
/// EAGAIN: the word holds something else. EINVAL: the word is the lock's; who waits does not want
/// this lock, or others wait for the lock's word, and not for the lock. EDEADLK: who waits has the
/// lock, or its owner waits for it. ESRCH: its owner is no more. EFAULT.
pub fn requeue_to_lock(
    space: &AddressSpace,
    word: Expected,
    lock: Lock,
    move_count: u64,
) -> Result<u64, Errno> {
    if word.key == lock.key {
        return Err(Errno::EINVAL);
    }
    if UserPtr::<u32>::new(word.address).read(space)? != word.value {
        return Err(Errno::EAGAIN);
    }
    let Some(first) = TABLE.waiters(word.key).next() else {
        return Ok(0);
    };
    wanted(first, lock.key)?;
    let holder = owned::take(space, lock, first, true, move_count > 0)?;
    if holder.is_none() {
        TABLE.remove(first);
        scheduler::wake(first);
    }
    let mut count = u64::from(holder.is_none());
    let holder = holder.unwrap_or(first);
    // Who waits for a word can only be the last of those that wait for each other.
    let last = owned::last_owner(holder)?;
    for thread in TABLE.waiters(word.key) {
        if count > move_count {
            break;
        }
        let own = wanted(thread, lock.key)?;
        if ptr::eq(thread, last) {
            return Err(Errno::EDEADLK);
        }
        TABLE.remove(thread);
        owned::await_turn(thread, own, holder);
        count += 1;
    }
    Ok(count)
}

/// The lock that `thread` wants to wait for.
///
/// # Errors
/// EINVAL: it is not the one of this key, or none.
fn wanted(thread: &Thread, key: Key) -> Result<Lock, Errno> {
    let lock = thread.futex.get().lock;
    lock.filter(|lock| lock.key == key).ok_or(Errno::EINVAL)
}
