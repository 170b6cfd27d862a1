//! The table of threads and processes, by number.
//!
//! Threads and processes are numbered alike, as in Linux: a process has the number of its
//! first thread. Numbers increase and are reused only after millions; those in use lead to their
//! slots by a hash table, whose chains are short as numbers go up one by one.
//!
//! Slots are made as they are needed and stay for good, so that a reference to one is always
//! valid; the one used last is used first again. The first ones are part of the image, which
//! is enough for most machines. Rejected: giving their memory back, for which each list and wait
//! queue would have to count references.

use core::cell::Cell;
use core::iter::successors;

use abi::Errno;
use arch::kernel_stack::STACK_COUNT;
use mm::{Owned, frames};
use single_cpu::SingleCpu;

use crate::proc::process::Process;
use crate::proc::thread::{State, Thread};

/// Slots that are part of the image.
pub const IN_IMAGE: usize = 64;
/// One more than the slots that a machine has at most.
pub const MOST: usize = STACK_COUNT;
/// Frames of the machine for each slot, as Linux has them.
const FRAMES_PER_SLOT: u64 = 32;
/// One more than the slots that even a small machine may have.
const LEAST: usize = 512;

/// Chains of slots.
const CHAINS: usize = 512;

/// Numbers stay below this, as Linux's do at most (PID_MAX_LIMIT).
pub const MAX_NUMBER: u32 = 1 << 22;
/// Where numbers restart after the last: past the low ones, as Linux does.
const FIRST_AGAIN: u32 = 300;

static TABLE: SingleCpu<Table<IN_IMAGE>> = SingleCpu::new(Table::new());
/// Threads, and processes that are only to be reaped.
static IN_USE: SingleCpu<Cell<usize>> = SingleCpu::new(Cell::new(0));

/// What belongs to one number.
struct Entry {
    thread: Thread,
    /// It has the number, also if there is but the thread.
    process: Process,
    /// The next one of its chain, or of those without a number.
    next: Cell<Option<&'static Entry>>,
}

/// What belongs to one free number.
pub struct Slot {
    /// The number; nobody has it.
    pub number: u32,
    /// Where its thread goes.
    pub thread: &'static Thread,
    /// Where its process goes, if it is a process's first thread.
    pub process: &'static Process,
}

/// The next free number. It stays free until [`take`].
///
/// # Errors
/// EAGAIN: there are too many. ENOMEM.
pub fn free_slot() -> Result<Slot, Errno> {
    TABLE.free_slot(most())
}

/// Takes what [`free_slot`] gave last: from now on its number leads to it.
pub fn take(slot: &Slot) {
    TABLE.take(slot.number);
}

/// Frees a number if it has neither a thread any more nor a process.
pub fn release(number: u32) {
    TABLE.release(number);
}

/// One more than the slots that this machine may have.
pub fn most() -> usize {
    let by_memory = usize::try_from(frames::total() / FRAMES_PER_SLOT);
    by_memory.unwrap_or(MOST).clamp(LEAST, MOST)
}

/// Counts one thread more.
pub fn note_start() {
    IN_USE.set(IN_USE.get() + 1);
}

/// Counts one less: a thread that has ended and was not the last of its process, or a
/// process that has been reaped.
pub fn note_end() {
    IN_USE.set(IN_USE.get() - 1);
}

/// How many threads there are, each process that is only to be reaped counted as one.
pub fn in_use() -> usize {
    IN_USE.get()
}

/// The thread that boots the kernel.
pub const fn boot_thread() -> &'static Thread {
    &SingleCpu::value(&TABLE).in_image[0].thread
}

/// What stands for its process.
pub const fn no_process() -> &'static Process {
    &SingleCpu::value(&TABLE).in_image[0].process
}

/// Where the first thread of the process with this number is or, if it has ended, was.
pub fn first_thread(pid: u32) -> Option<&'static Thread> {
    TABLE.find(pid).map(|entry| &entry.thread)
}

/// The thread with this number.
pub fn thread(tid: u32) -> Option<&'static Thread> {
    first_thread(tid).filter(|thread| thread.state() != State::Unused)
}

/// The process with this number; it may have ended already, as long as nobody has reaped
/// it.
pub fn process(pid: u32) -> Option<&'static Process> {
    let process = &TABLE.find(pid)?.process;
    (!process.is_unused()).then_some(process)
}

/// All processes, those among them that have ended, in no particular order.
pub fn processes() -> impl Iterator<Item = &'static Process> {
    let chains = SingleCpu::value(&TABLE).chains.iter();
    let entries = chains.flat_map(|chain| successors(chain.get(), |entry| entry.next.get()));
    let processes = entries.map(|entry| &entry.process);
    processes.filter(|process| !process.is_unused())
}

/// The table, of whose slots `N` are part of it. The first is reserved: the thread that boots
/// the kernel, and no process.
struct Table<const N: usize> {
    in_image: [Entry; N],
    /// Those with numbers, by number.
    chains: [Cell<Option<&'static Entry>>; CHAINS],
    /// Those without.
    free: Cell<Option<&'static Entry>>,
    /// Slots that have been made.
    made: Cell<usize>,
    /// The number that was given last.
    last: Cell<u32>,
}

impl<const N: usize> Table<N> {
    const fn new() -> Self {
        Self {
            in_image: [const { Entry::unused() }; N],
            chains: [const { Cell::new(None) }; CHAINS],
            free: Cell::new(None),
            made: Cell::new(0),
            last: Cell::new(0),
        }
    }

    fn chain(&self, number: u32) -> &Cell<Option<&'static Entry>> {
        &self.chains[number as usize % CHAINS]
    }

    fn find(&self, number: u32) -> Option<&'static Entry> {
        successors(self.chain(number).get(), |entry| entry.next.get())
            .find(|entry| entry.number() == number)
    }

    fn free_slot(&'static self, most: usize) -> Result<Slot, Errno> {
        let entry = match self.free.get() {
            Some(entry) => entry,
            None => self.make(most)?,
        };
        let number = self.next_number();
        entry.process.pid.set(number);
        Ok(Slot {
            number,
            thread: &entry.thread,
            process: &entry.process,
        })
    }

    fn next_number(&self) -> u32 {
        let mut number = self.last.get();
        loop {
            number += 1;
            if number == MAX_NUMBER {
                number = FIRST_AGAIN;
            }
            if self.find(number).is_none() {
                self.last.set(number);
                return number;
            }
        }
    }

    /// Makes one slot more, where none is free.
    fn make(&'static self, most: usize) -> Result<&'static Entry, Errno> {
        let place = self.made.get() + 1;
        if place >= most {
            return Err(Errno::EAGAIN);
        }
        let entry = match self.in_image.get(place) {
            Some(entry) => entry,
            None => Owned::new(Entry::unused())?.leak(),
        };
        entry.process.place.set(place as u32);
        self.made.set(place);
        self.free.set(Some(entry));
        Ok(entry)
    }

    fn take(&self, number: u32) {
        let Some(entry) = self.free.get() else {
            return;
        };
        debug_assert_eq!(entry.number(), number);
        self.free.set(entry.next.get());
        let chain = self.chain(number);
        entry.next.set(chain.replace(Some(entry)));
    }

    fn release(&self, number: u32) {
        let mut link = self.chain(number);
        while let Some(entry) = link.get() {
            if entry.number() == number {
                if entry.is_unused() {
                    link.set(entry.next.get());
                    entry.next.set(self.free.replace(Some(entry)));
                }
                return;
            }
            link = &entry.next;
        }
    }
}

impl Entry {
    const fn unused() -> Self {
        Self {
            thread: Thread::unused(),
            process: Process::unused(),
            next: Cell::new(None),
        }
    }

    fn number(&self) -> u32 {
        self.process.pid()
    }

    fn is_unused(&self) -> bool {
        self.thread.state() == State::Unused && self.process.is_unused()
    }
}

#[cfg(test)]
mod tests;
