//! Futexes: waiting for a wake-up on a word of user memory.
//!
//! A futex is only the address of a word. Its waiters are found by it in a hash table of
//! lists, longest waiting first. The key of memory that processes share is its file and the
//! offset in it, of other memory its address space and address.

mod condition;
mod owned;
mod robust;
mod several;

pub use condition::{requeue_to_lock, wait_for_lock};
pub use owned::{Lock, lock, unlock};
pub use robust::HEAD_SIZE as ROBUST_HEAD_SIZE;
pub use several::{Expected, Several, wait_any};

use abi::Errno;
use mm::{AddressSpace, UserPtr};
use single_cpu::SingleCpu;

use crate::proc::list::List;
use crate::proc::scheduler::{self, current_thread};
use crate::proc::thread::{Thread, Waits};
use crate::proc::wait_queue::Deadline;

/// A number of lists, for few threads each.
const LISTS: usize = 64;

static TABLE: SingleCpu<Table> = SingleCpu::new(Table::new());

/// Matches any bits.
pub const ANY: u32 = u32::MAX;

/// Which word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The address space, or a file: its number.
    space: u64,
    address: u64,
}

impl Key {
    const NOWHERE: Self = Self {
        space: 0,
        address: 0,
    };

    /// The word at `address` of an address space; `is_private` promises that no other one
    /// shares it.
    ///
    /// # Errors
    /// EINVAL: the address is not aligned.
    pub fn new(space: &AddressSpace, address: u64, is_private: bool) -> Result<Self, Errno> {
        if !address.is_multiple_of(size_of::<u32>() as u64) {
            return Err(Errno::EINVAL);
        }
        let shared = if is_private {
            None
        } else {
            space.shared_word(address)
        };
        Ok(match shared {
            Some((file, offset)) => Self {
                space: file,
                address: offset,
            },
            None => Self {
                space: space.id(),
                address,
            },
        })
    }

    fn list(self) -> usize {
        // Words lie next to each other, and tables of pages do not.
        ((self.address / 4) ^ (self.address >> 12) ^ (self.space >> 12)) as usize % LISTS
    }
}

/// The futex that a thread waits for.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    key: Key,
    /// What wakes it.
    bits: u32,
    /// The lock that it gets as it wakes, if it waits for one. The key is another word's until
    /// somebody lets it wait for the lock itself.
    lock: Option<Lock>,
    /// Who has the lock; 0 while the key is another word's.
    owner: u32,
}

impl Waiting {
    /// Nothing.
    pub const NOWHERE: Self = Self {
        key: Key::NOWHERE,
        bits: 0,
        lock: None,
        owner: 0,
    };

    fn new(key: Key, bits: u32) -> Self {
        Self {
            key,
            bits,
            ..Self::NOWHERE
        }
    }
}

/// The waiters, in the list of their key.
struct Table {
    lists: [List<Thread, Waits>; LISTS],
    /// Those that wait for several words.
    several: List<Thread, Waits>,
}

impl Table {
    const fn new() -> Self {
        Self {
            lists: [const { List::new() }; LISTS],
            several: List::new(),
        }
    }

    fn insert(&self, thread: &'static Thread, waiting: Waiting) {
        thread.futex.set(waiting);
        self.lists[waiting.key.list()].push_back(thread);
    }

    /// Takes the thread out; says whether it was there.
    fn remove(&self, thread: &'static Thread) -> bool {
        let was_there = thread.wait_link.is_linked();
        let waiting = thread.futex.get();
        self.lists[waiting.key.list()].remove(thread);
        // It may wait elsewhere, and nobody has what it waits for there.
        thread.futex.set(Waiting {
            owner: 0,
            ..waiting
        });
        was_there
    }

    /// The first thread with such a wait.
    fn find(&self, is_meant: impl Fn(&Waiting) -> bool) -> Option<&'static Thread> {
        let mut all = self.lists.iter().flat_map(List::iter);
        all.find(|thread| is_meant(&thread.futex.get()))
    }

    /// Those that wait for the word, longest first. The one that was given last may be taken out.
    fn waiters(&self, key: Key) -> impl Iterator<Item = &'static Thread> + use<> {
        let all = self.lists[key.list()].iter();
        all.filter(move |thread| thread.futex.get().key == key)
    }

    /// Takes out up to `count` threads that wait for any of `bits` of the word; says how
    /// many.
    ///
    /// # Errors
    /// EINVAL: one waits for a lock, as Linux finds after it has taken those before it.
    fn take(
        &self,
        key: Key,
        bits: u32,
        count: u64,
        mut each: impl FnMut(&'static Thread),
    ) -> Result<u64, Errno> {
        let mut taken = 0;
        for thread in self.waiters(key) {
            if taken == count {
                break;
            }
            let waiting = thread.futex.get();
            if waiting.lock.is_some() {
                return Err(Errno::EINVAL);
            }
            if waiting.bits & bits != 0 {
                self.remove(thread);
                each(thread);
                taken += 1;
            }
        }
        Ok(taken)
    }
}

/// Waits until the word at `address`, which must hold `expected` now, is woken for any of
/// `bits`, at most until the deadline.
///
/// # Errors
/// EAGAIN: it holds something else. ETIMEDOUT. EINVAL: no bits. RESTART or
/// RESTART_UNHANDLED: a signal came.
pub fn wait(
    space: &AddressSpace,
    key: Key,
    address: u64,
    expected: u32,
    bits: u32,
    deadline: Option<Deadline>,
) -> Result<(), Errno> {
    if bits == 0 {
        return Err(Errno::EINVAL);
    }
    if UserPtr::<u32>::new(address).read(space)? != expected {
        return Err(Errno::EAGAIN);
    }
    let thread = current_thread();
    let interrupted = match deadline {
        None => Errno::RESTART,
        Some(_) => Errno::RESTART_UNHANDLED,
    };
    if thread.needs_attention() {
        return Err(interrupted);
    }
    TABLE.insert(thread, Waiting::new(key, bits));
    let is_late = scheduler::block(deadline);
    match (TABLE.remove(thread), is_late) {
        (false, _) => Ok(()),
        (true, true) => Err(Errno::ETIMEDOUT),
        (true, false) => Err(interrupted),
    }
}

/// Wakes up to `count` threads that wait for any of `bits`; says how many.
///
/// # Errors
/// EINVAL: no bits; one waits for a lock.
pub fn wake(key: Key, bits: u32, count: u64) -> Result<u64, Errno> {
    if bits == 0 {
        return Err(Errno::EINVAL);
    }
    let woken = TABLE.take(key, bits, count, scheduler::wake)?;
    // Those that wait for other words too come last.
    Ok(match TABLE.several.is_empty() {
        true => woken,
        false => woken + several::wake(key, count - woken),
    })
}

/// Wakes up to `wake_count` threads and lets up to `move_count` others wait for another
/// word; says how many both are together.
///
/// # Errors
/// EINVAL: one waits for a lock.
pub fn requeue(key: Key, wake_count: u64, target: Key, move_count: u64) -> Result<u64, Errno> {
    let woken = wake(key, ANY, wake_count)?;
    if key == target {
        // They are where they go.
        let others = TABLE.waiters(key).count() as u64;
        return Ok(woken + others.min(move_count));
    }
    let moved = TABLE.take(key, ANY, move_count, |thread| {
        let waiting = Waiting {
            key: target,
            ..thread.futex.get()
        };
        TABLE.insert(thread, waiting);
    })?;
    Ok(woken + moved)
}

/// Gives up what the current thread holds, writes a zero to its `clear_child_tid` address and
/// wakes a waiter there, as the thread ends or leaves its memory.
pub fn thread_ends(thread: &Thread) {
    robust::thread_ends(thread);
    owned::owner_ends(thread);
    let address = thread.clear_at_end.take();
    if address == 0 {
        return;
    }
    let space = thread.process().space();
    // A bad address is ignored, and a word that is a lock.
    let _ = UserPtr::<u32>::new(address).write(&space, &0);
    if let Ok(key) = Key::new(&space, address, false) {
        let _ = wake(key, ANY, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::{ANY, Key, Table, Waiting};
    use crate::proc::thread::Thread;

    const A: Key = Key {
        space: 0x1000,
        address: 0x5000,
    };
    const B: Key = Key {
        space: 0x2000,
        address: 0x5000,
    };

    fn waiting(table: &Table, key: Key, bits: u32) -> &'static Thread {
        let thread: &'static Thread = Box::leak(Box::new(Thread::unused()));
        table.insert(thread, Waiting::new(key, bits));
        thread
    }

    fn take(table: &Table, key: Key, bits: u32, count: u64) -> Vec<&'static Thread> {
        let mut taken = Vec::new();
        let said = table.take(key, bits, count, |thread| taken.push(thread));
        assert_eq!(said, Ok(taken.len() as u64));
        taken
    }

    fn same(left: &[&Thread], right: &[&Thread]) -> bool {
        left.len() == right.len() && left.iter().zip(right).all(|(l, r)| std::ptr::eq(*l, *r))
    }

    #[test]
    fn only_those_who_wait_for_the_word_are_found_in_order() {
        let table = Table::new();
        let [a, b, c] = [A, B, A].map(|key| waiting(&table, key, ANY));
        assert!(same(&take(&table, A, ANY, 1), &[a]));
        assert!(same(&take(&table, A, ANY, 9), &[c]));
        assert!(same(&take(&table, B, ANY, 9), &[b]));
        assert!(take(&table, A, ANY, 9).is_empty());
    }

    #[test]
    fn bits_select() {
        let table = Table::new();
        let [one, two, both] = [1, 2, 3].map(|bits| waiting(&table, A, bits));
        assert!(take(&table, A, 4, 9).is_empty());
        assert!(same(&take(&table, A, 2, 9), &[two, both]));
        assert!(table.remove(one));
        assert!(!table.remove(two));
        assert!(take(&table, A, ANY, 9).is_empty());
    }

    #[test]
    fn threads_can_be_moved_to_another_word() {
        let table = Table::new();
        let thread = waiting(&table, A, ANY);
        let moved = table.take(A, ANY, 1, |thread| {
            table.insert(thread, Waiting::new(B, ANY));
        });
        assert_eq!(moved, Ok(1));
        assert!(take(&table, A, ANY, 1).is_empty());
        assert!(same(&take(&table, B, ANY, 1), &[thread]));
    }
}
