//! Locks of files: of ranges, for a process (POSIX) or an open file (OFD), and of a whole file
//! (`flock`). They hold back nobody but those who ask for locks.
//!
//! A node has a list of its range locks and one of its whole locks, made when there is a first
//! one. An owner's ranges do not overlap: a new lock replaces what the owner has there, which
//! may be cut in two. An owner is known by the place of its table of descriptors or open file,
//! which releases its locks as it goes.

mod deadlock;

use core::cell::{Cell, RefCell};

use abi::Errno;
use mm::{OutOfMemory, Shared};

use crate::fs::shared_list::{Link, Linked, SharedList};
use crate::proc::wait_queue::WaitQueue;

/// The last byte of every file.
pub const LAST: u64 = i64::MAX as u64;

/// Who has a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A process, by the place of its table of descriptors.
    Process(usize),
    /// An open file, by its place.
    File(usize),
}

impl Owner {
    /// The process with this table of descriptors.
    pub fn process<T>(files: &T) -> Self {
        Self::Process(core::ptr::from_ref(files).addr())
    }

    /// An open file.
    pub fn file<T>(file: &T) -> Self {
        Self::File(core::ptr::from_ref(file).addr())
    }
}

/// A lock, as it is asked for or found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Whose it is.
    pub owner: Owner,
    /// The process that asked for it.
    pub pid: u32,
    /// The first byte of the range.
    pub first: u64,
    /// The last byte: [`LAST`] for all that there may ever be.
    pub last: u64,
    /// Whether nobody else may have a lock there.
    pub is_exclusive: bool,
}

impl Lock {
    fn overlaps(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    fn conflicts(&self, other: &Self) -> bool {
        self.owner != other.owner
            && self.overlaps(other)
            && (self.is_exclusive || other.is_exclusive)
    }

    /// Whether both are one lock, if they are next to each other.
    fn is_like(&self, other: &Self) -> bool {
        self.is_exclusive == other.is_exclusive
    }

    fn touches(&self, other: &Self) -> bool {
        self.first <= other.last.saturating_add(1) && other.first <= self.last.saturating_add(1)
    }
}

struct Entry {
    lock: Cell<Lock>,
    link: Link<Entry>,
}

impl Linked<()> for Entry {
    fn link(&self) -> &Link<Self> {
        &self.link
    }
}

impl Entry {
    fn new(lock: Lock) -> Result<Shared<Self>, OutOfMemory> {
        mm::check_object()?;
        Shared::new(Self {
            lock: Cell::new(lock),
            link: Link::new(),
        })
    }
}

/// Locks that do not conflict.
struct Locks(SharedList<Entry, ()>);

impl Locks {
    fn iter(&self) -> impl Iterator<Item = Shared<Entry>> + use<> {
        core::iter::successors(self.0.first(), |entry| {
            SharedList::<Entry, ()>::after(entry)
        })
    }

    /// The lock that is in the way of this one, the lowest if there are more.
    fn conflict(&self, wanted: &Lock) -> Option<Lock> {
        let locks = self.iter().map(|entry| entry.lock.get());
        let conflicts = locks.filter(|lock| wanted.conflicts(lock));
        conflicts.min_by_key(|lock| lock.first)
    }

    /// Puts a lock, which nothing is in the way of, in place of what its owner has there;
    /// nothing is put there if it only releases.
    fn replace(&self, mut wanted: Lock, releases: bool) -> Result<(), OutOfMemory> {
        // One may be cut in two. Whoever finds no memory has changed nothing.
        let is_cut = |entry: Shared<Entry>| {
            let lock = entry.lock.get();
            lock.owner == wanted.owner
                && lock.first < wanted.first
                && lock.last > wanted.last
                && (releases || !lock.is_like(&wanted))
        };
        let mut rest = match self.iter().any(is_cut) {
            true => Some(Entry::new(wanted)?),
            false => None,
        };
        let new = match releases {
            true => None,
            false => Some(Entry::new(wanted)?),
        };
        for entry in self.iter() {
            let lock = entry.lock.get();
            if lock.owner != wanted.owner {
                continue;
            }
            if !releases && lock.is_like(&wanted) {
                if lock.touches(&wanted) {
                    wanted.first = wanted.first.min(lock.first);
                    wanted.last = wanted.last.max(lock.last);
                    self.0.remove(&entry);
                }
                continue;
            }
            if !lock.overlaps(&wanted) {
                continue;
            }
            let after = Lock {
                first: wanted.last.saturating_add(1),
                ..lock
            };
            let before = Lock {
                last: wanted.first.saturating_sub(1),
                ..lock
            };
            match (lock.first < wanted.first, lock.last > wanted.last) {
                (true, true) => {
                    entry.lock.set(before);
                    if let Some(rest) = rest.take() {
                        rest.lock.set(after);
                        self.0.push_back(rest);
                    }
                }
                (true, false) => entry.lock.set(before),
                (false, true) => entry.lock.set(after),
                (false, false) => self.0.remove(&entry),
            }
        }
        if let Some(new) = new {
            new.lock.set(wanted);
            self.0.push_back(new);
        }
        Ok(())
    }

    /// Removes all locks of `owner`; says whether there were any.
    fn remove(&self, owner: Owner) -> bool {
        let before = self.0.len();
        for entry in self.iter() {
            if entry.lock.get().owner == owner {
                self.0.remove(&entry);
            }
        }
        self.0.len() < before
    }
}

/// Which locks of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Those of ranges.
    Ranges,
    /// Those of the whole file.
    Whole,
}

struct Lists {
    ranges: Locks,
    whole: Locks,
    waiters: WaitQueue,
}

/// The locks of a file.
pub struct FileLocks(RefCell<Option<Shared<Lists>>>);

impl FileLocks {
    /// None.
    pub const fn new() -> Self {
        Self(RefCell::new(None))
    }

    fn existing(&self) -> Option<Shared<Lists>> {
        self.0.borrow().clone()
    }

    fn lists(&self) -> Result<Shared<Lists>, OutOfMemory> {
        if let Some(lists) = self.existing() {
            return Ok(lists);
        }
        let lists = Shared::new(Lists {
            ranges: Locks(SharedList::new()),
            whole: Locks(SharedList::new()),
            waiters: WaitQueue::new(),
        })?;
        *self.0.borrow_mut() = Some(lists.clone());
        Ok(lists)
    }

    /// The lock that is in the way of `wanted`, the lowest if there are more.
    pub fn conflict(&self, kind: Kind, wanted: &Lock) -> Option<Lock> {
        self.existing()?.of(kind).conflict(wanted)
    }

    /// Sets a lock; waits for those in the way, if `waits`.
    ///
    /// # Errors
    /// EAGAIN instead of waiting. EDEADLK: all would wait for each other, who are processes.
    /// ENOLCK: there is no memory. RESTART: a signal came.
    pub fn set(&self, kind: Kind, wanted: Lock, waits: bool) -> Result<(), Errno> {
        let lists = self.lists().map_err(|_| Errno::ENOLCK)?;
        let locks = lists.of(kind);
        while let Some(conflict) = locks.conflict(&wanted) {
            if !waits {
                return Err(Errno::EAGAIN);
            }
            deadlock::wait(wanted.owner, conflict.owner, &lists.waiters)?;
        }
        locks.replace(wanted, false).map_err(|_| Errno::ENOLCK)?;
        // It may have replaced an exclusive one.
        lists.waiters.wake_all();
        Ok(())
    }

    /// Releases a range, whatever of it `wanted` has.
    ///
    /// # Errors
    /// ENOLCK: a lock would be cut in two, and there is no memory.
    pub fn release(&self, kind: Kind, wanted: Lock) -> Result<(), Errno> {
        if let Some(lists) = self.existing() {
            let released = lists.of(kind).replace(wanted, true);
            released.map_err(|_| Errno::ENOLCK)?;
            lists.waiters.wake_all();
        }
        Ok(())
    }

    /// Releases all that an owner has, as it goes.
    #[inline]
    pub fn release_all(&self, owner: Owner) {
        if let Some(lists) = self.existing() {
            lists.release_all(owner);
        }
    }
}

impl Lists {
    fn of(&self, kind: Kind) -> &Locks {
        match kind {
            Kind::Ranges => &self.ranges,
            Kind::Whole => &self.whole,
        }
    }

    #[inline(never)]
    fn release_all(&self, owner: Owner) {
        if self.ranges.remove(owner) | self.whole.remove(owner) {
            self.waiters.wake_all();
        }
    }
}

#[cfg(test)]
mod tests;
