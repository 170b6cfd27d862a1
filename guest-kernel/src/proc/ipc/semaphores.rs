//! Sets of semaphores.
//!
//! The operations of a call are made all or none. Who cannot make them waits at the set, and
//! tries again after every change of it.

use core::cell::{Cell, RefCell};

use abi::Errno;
use arch::clock;
use mm::{Owned, Shared, quota};
use single_cpu::SingleCpu;

use crate::proc::ipc::{Item, NO_WAIT, Permissions, READ, SLOTS, Table, WRITE};
use crate::proc::scheduler::current;
use crate::proc::wait_queue::{WaitQueue, Woken};

/// Most semaphores of a set.
pub const MOST: usize = 250;
/// Most operations of a call.
pub const MOST_OPERATIONS: usize = 500;
/// Highest value.
pub const HIGHEST: i32 = 32767;

/// Flag of an operation that is undone when the process ends.
const UNDO: u16 = 0x1000;

/// All sets.
pub static SETS: SingleCpu<Table<Set>> = SingleCpu::new(Table::new());

/// How many processes have something to undo, in all sets.
static UNDOS: SingleCpu<Cell<usize>> = SingleCpu::new(Cell::new(0));

/// A set.
pub struct Set {
    permissions: Permissions,
    /// How many semaphores it has.
    pub len: usize,
    values: Owned<[Semaphore; MOST]>,
    /// When an operation was last made.
    pub operated: Cell<u64>,
    waiters: WaitQueue,
    is_removed: Cell<bool>,
    undos: RefCell<Option<Owned<Undo>>>,
}

/// A semaphore.
#[derive(Default)]
pub struct Semaphore {
    /// Its value.
    pub value: Cell<u16>,
    /// Who changed it last.
    pub last_user: Cell<u32>,
    /// Threads that wait for it to be higher, and to be zero.
    pub waiting: [Cell<u32>; 2],
}

/// What is to be undone when a process ends.
struct Undo {
    pid: u32,
    adjustments: [i16; MOST],
    next: Option<Owned<Undo>>,
}

/// An operation (`struct sembuf`).
#[derive(Clone, Copy, Debug, Default)]
pub struct Operation {
    /// Which semaphore.
    pub number: u16,
    /// What to add to it; it must not become negative. Zero waits until it is that.
    pub change: i16,
    /// IPC_NOWAIT, SEM_UNDO.
    pub flags: u16,
}

impl Operation {
    fn undoes(&self) -> bool {
        self.flags & UNDO != 0 && self.change != 0
    }
}

impl Item for Set {
    fn permissions(&self) -> &Permissions {
        &self.permissions
    }
}

/// The number of the set with this key, made with `len` semaphores if `flags` say so.
///
/// # Errors
/// EINVAL: an impossible number, or it has fewer. ENOENT, EEXIST, ENOSPC, ENOMEM.
pub fn get(key: i32, len: u64, flags: u32) -> Result<u64, Errno> {
    let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
    if len > MOST {
        return Err(Errno::EINVAL);
    }
    let check = |set: &Set| match len > set.len {
        true => Err(Errno::EINVAL),
        false => Ok(()),
    };
    SETS.get(key, flags, SLOTS as u64, check, |permissions| {
        if len == 0 {
            return Err(Errno::EINVAL);
        }
        Ok(Shared::new(Set {
            permissions,
            len,
            values: Owned::new([const { Semaphore::new() }; MOST])?,
            operated: Cell::new(0),
            waiters: WaitQueue::new(),
            is_removed: Cell::new(false),
            undos: RefCell::new(None),
        })?)
    })
}

/// Removes a set; who waits there fails.
pub fn remove(set: &Shared<Set>) {
    SETS.remove(set);
    set.is_removed.set(true);
    let mut undos = set.undos.take();
    while let Some(undo) = undos {
        undos = undo.into_inner().next;
        UNDOS.set(UNDOS.get() - 1);
    }
    set.waiters.wake_all();
}

/// Why operations cannot be made now.
enum Obstacle {
    /// The operation that this is the number of would have to wait.
    Waits(usize),
    /// They never can.
    Error(Errno),
}

impl From<Errno> for Obstacle {
    fn from(errno: Errno) -> Self {
        Self::Error(errno)
    }
}

impl Semaphore {
    const fn new() -> Self {
        Self {
            value: Cell::new(0),
            last_user: Cell::new(0),
            waiting: [const { Cell::new(0) }; 2],
        }
    }
}

impl Set {
    /// Its semaphores.
    pub fn semaphores(&self) -> &[Semaphore] {
        &self.values[..self.len]
    }

    /// Sets a value, which forgets what was to be undone.
    pub fn set(&self, number: usize, value: u16) {
        let semaphore = &self.values[number];
        semaphore.value.set(value);
        semaphore.last_user.set(current().pid());
        let mut undos = self.undos.borrow_mut();
        let mut next = undos.as_deref_mut();
        while let Some(undo) = next {
            undo.adjustments[number] = 0;
            next = undo.next.as_deref_mut();
        }
        drop(undos);
        self.permissions.changed.set(clock::counter());
        self.waiters.wake_all();
    }

    /// Makes the operations, and waits until that is possible, at most until so many
    /// nanoseconds after boot.
    ///
    /// # Errors
    /// EFBIG: there is no such semaphore. ERANGE: it would be too high. EAGAIN: it would have to
    /// wait, or time is up. EIDRM: the set was removed. EACCES, ENOMEM, RESTART_UNHANDLED.
    pub fn operate(&self, operations: &[Operation], deadline_ns: Option<u64>) -> Result<(), Errno> {
        if operations
            .iter()
            .any(|op| usize::from(op.number) >= self.len)
        {
            return Err(Errno::EFBIG);
        }
        let changes = operations.iter().any(|operation| operation.change != 0);
        self.permissions.check(if changes { WRITE } else { READ })?;
        if operations.iter().any(Operation::undoes) {
            self.add_undo(current().pid())?;
        }
        loop {
            let number = match self.try_all(operations) {
                Ok(()) => return Ok(()),
                Err(Obstacle::Error(errno)) => return Err(errno),
                Err(Obstacle::Waits(number)) => number,
            };
            let operation = operations[number];
            if u32::from(operation.flags) & NO_WAIT != 0 {
                return Err(Errno::EAGAIN);
            }
            let semaphore = &self.values[usize::from(operation.number)];
            let waiting = &semaphore.waiting[usize::from(operation.change == 0)];
            waiting.set(waiting.get() + 1);
            let woken = match deadline_ns {
                None => self.waiters.sleep().map(|()| Woken::Up),
                Some(deadline) => self.waiters.sleep_until(deadline),
            };
            waiting.set(waiting.get() - 1);
            if self.is_removed.get() {
                return Err(Errno::EIDRM);
            }
            match woken {
                Ok(Woken::Up) => {}
                Ok(Woken::TimedOut) => return Err(Errno::EAGAIN),
                Err(_) => return Err(Errno::RESTART_UNHANDLED),
            }
        }
    }

    /// Makes all operations or none.
    fn try_all(&self, operations: &[Operation]) -> Result<(), Obstacle> {
        for (done, operation) in operations.iter().enumerate() {
            if let Err(obstacle) = self.try_one(operation, done) {
                for undone in operations[..done].iter().rev() {
                    let value = &self.values[usize::from(undone.number)].value;
                    value.set((i32::from(value.get()) - i32::from(undone.change)) as u16);
                }
                return Err(obstacle);
            }
        }
        let pid = current().pid();
        let mut is_changed = false;
        for operation in operations {
            let number = usize::from(operation.number);
            self.values[number].last_user.set(pid);
            is_changed |= operation.change != 0;
            if operation.undoes() {
                self.with_undo(pid, |undo| undo.adjustments[number] -= operation.change);
            }
        }
        self.operated.set(clock::counter());
        if is_changed {
            self.waiters.wake_all();
        }
        Ok(())
    }

    fn try_one(&self, operation: &Operation, number: usize) -> Result<(), Obstacle> {
        let value = &self.values[usize::from(operation.number)].value;
        let sum = i32::from(value.get()) + i32::from(operation.change);
        if sum < 0 || (operation.change == 0 && sum != 0) {
            return Err(Obstacle::Waits(number));
        }
        if sum > HIGHEST {
            return Err(Errno::ERANGE.into());
        }
        if operation.undoes() {
            let mut is_possible = true;
            self.with_undo(current().pid(), |undo| {
                let undone = undo.adjustments[usize::from(operation.number)];
                is_possible = undone.checked_sub(operation.change).is_some();
            });
            if !is_possible {
                return Err(Errno::ERANGE.into());
            }
        }
        value.set(sum as u16);
        Ok(())
    }

    fn with_undo(&self, pid: u32, use_undo: impl FnOnce(&mut Undo)) {
        let mut undos = self.undos.borrow_mut();
        let mut next = undos.as_deref_mut();
        while let Some(undo) = next {
            if undo.pid == pid {
                return use_undo(undo);
            }
            next = undo.next.as_deref_mut();
        }
    }

    /// Makes a place for what a process will have to undo, if it has none.
    fn add_undo(&self, pid: u32) -> Result<(), Errno> {
        let mut is_there = false;
        self.with_undo(pid, |_| is_there = true);
        if !is_there {
            quota::check_file()?;
            let mut undo = Owned::new(Undo {
                pid,
                adjustments: [0; MOST],
                next: None,
            })?;
            let mut undos = self.undos.borrow_mut();
            undo.next = undos.take();
            *undos = Some(undo);
            UNDOS.set(UNDOS.get() + 1);
        }
        Ok(())
    }

    /// Undoes what a process has done.
    fn undo(&self, pid: u32) {
        let mut rest = self.undos.take();
        let mut is_found = false;
        while let Some(undo) = rest {
            let mut undo = undo;
            rest = undo.next.take();
            if undo.pid != pid {
                let mut undos = self.undos.borrow_mut();
                undo.next = undos.take();
                *undos = Some(undo);
                continue;
            }
            is_found = true;
            UNDOS.set(UNDOS.get() - 1);
            for (semaphore, adjustment) in self.values.iter().zip(undo.adjustments) {
                if adjustment != 0 {
                    let value = i32::from(semaphore.value.get()) + i32::from(adjustment);
                    semaphore.value.set(value.clamp(0, HIGHEST) as u16);
                    semaphore.last_user.set(pid);
                }
            }
        }
        if is_found {
            self.operated.set(clock::counter());
            self.waiters.wake_all();
        }
    }
}

/// Undoes what a process that ends has done, in all sets.
pub fn undo(pid: u32) {
    if UNDOS.get() == 0 {
        return;
    }
    for slot in 0..super::SLOTS as u32 {
        if let Some(set) = SETS.at(slot) {
            set.undo(pid);
        }
    }
}
