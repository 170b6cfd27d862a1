//! The table of threads and processes, by number.
//!
//! Threads and processes are numbered alike, as in Linux: a process has the number of its
//! first thread. A number's slot is the number modulo the table's length, so that finding
//! one takes one access; numbers increase and are reused only after millions.

use core::cell::Cell;

use arch::SingleCpu;
use arch::kernel_stack::STACK_COUNT;

use crate::proc::process::Process;
use crate::proc::thread::{State, Thread};

/// One more than the threads, and processes that are only to be reaped, that there can be.
pub const LEN: usize = STACK_COUNT;
const _: () = assert!(LEN.is_power_of_two());

/// Numbers stay below this, as Linux's do at most (PID_MAX_LIMIT).
const MAX_NUMBER: u32 = 1 << 22;
/// Where numbers restart after the last: past the low ones, as Linux does.
const FIRST_AGAIN: u32 = LEN as u32;

/// Slot 0 is reserved: the thread that boots the kernel, and no process.
static THREADS: SingleCpu<[Thread; LEN]> = SingleCpu::new([const { Thread::unused() }; LEN]);
static PROCESSES: SingleCpu<[Process; LEN]> = SingleCpu::new([const { Process::unused() }; LEN]);
static NUMBERS: SingleCpu<Numbers> = SingleCpu::new(Numbers::new());
/// Threads, and processes that are only to be reaped.
static IN_USE: SingleCpu<Cell<usize>> = SingleCpu::new(Cell::new(0));

/// Slots of both tables that belong to one free number.
pub struct Slot {
    /// The number; nobody has it.
    pub number: u32,
    /// Where its thread goes.
    pub thread: &'static Thread,
    /// Where its process goes, if it is a process's first thread.
    pub process: &'static Process,
}

/// The next free number. It stays free until its thread has a state.
pub fn free_slot() -> Option<Slot> {
    let number = NUMBERS
        .next(|slot| THREADS[slot].state() == State::Unused && PROCESSES[slot].is_unused())?;
    let slot = slot(number);
    Some(Slot {
        number,
        thread: &THREADS[slot],
        process: &PROCESSES[slot],
    })
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
    &SingleCpu::value(&THREADS)[0]
}

/// What stands for its process.
pub const fn no_process() -> &'static Process {
    &SingleCpu::value(&PROCESSES)[0]
}

/// Where the thread with this number is or, if it has ended, was; as long as its process
/// is there, nobody else is.
pub fn slot_of_thread(tid: u32) -> &'static Thread {
    &THREADS[slot(tid)]
}

/// The thread with this number.
pub fn thread(tid: u32) -> Option<&'static Thread> {
    let thread = &THREADS[slot(tid)];
    (thread.state() != State::Unused && thread.tid() == tid).then_some(thread)
}

/// The process with this number; it may have ended already, as long as nobody has reaped
/// it.
pub fn process(pid: u32) -> Option<&'static Process> {
    let process = &PROCESSES[slot(pid)];
    (!process.is_unused() && process.pid() == pid).then_some(process)
}

/// All processes, those among them that have ended, in no particular order.
pub fn processes() -> impl Iterator<Item = &'static Process> {
    PROCESSES.iter().filter(|process| !process.is_unused())
}

/// Where the tables have their entries for a number; below [`LEN`].
pub fn slot(number: u32) -> usize {
    number as usize % LEN
}

/// Gives out numbers.
struct Numbers {
    /// The one that was given last.
    last: Cell<u32>,
}

impl Numbers {
    const fn new() -> Self {
        Self { last: Cell::new(0) }
    }

    /// The next number whose slot is free.
    fn next(&self, is_free: impl Fn(usize) -> bool) -> Option<u32> {
        let mut number = self.last.get();
        for _ in 0..LEN {
            number += 1;
            if number == MAX_NUMBER {
                number = FIRST_AGAIN;
            }
            if slot(number) != 0 && is_free(slot(number)) {
                self.last.set(number);
                return Some(number);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{FIRST_AGAIN, LEN, MAX_NUMBER, Numbers};

    #[test]
    fn numbers_go_up_and_skip_slots_in_use() {
        let numbers = Numbers::new();
        assert_eq!(numbers.next(|_| true), Some(1));
        assert_eq!(numbers.next(|_| true), Some(2));
        assert_eq!(numbers.next(|slot| slot != 3), Some(4));
        assert_eq!(numbers.next(|slot| slot == 2), Some(LEN as u32 + 2));
        assert_eq!(numbers.next(|slot| slot == 0), None);
        assert_eq!(numbers.next(|slot| slot == 2), Some(2 * LEN as u32 + 2));
    }

    #[test]
    fn numbers_start_again_above_the_first() {
        let numbers = Numbers::new();
        numbers.last.set(MAX_NUMBER - 1);
        assert_eq!(numbers.next(|_| true), Some(FIRST_AGAIN + 1));
    }
}
