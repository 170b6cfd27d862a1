//! Whether two threads have the same (`kcmp`).

use core::cmp::Ordering;
use core::ptr;

use arch::trap::Arguments;

use crate::fs;
use crate::proc::process::Process;
use crate::proc::table;
use crate::syscall::process_memory::check_inspectable;
use crate::syscall::{Errno, SyscallResult};

// What is compared (Linux, include/uapi/linux/kcmp.h).
const FILE: u32 = 0;
const MEMORY: u32 = 1;
const FILES: u32 = 2;
const PLACES: u32 = 3;
const HANDLERS: u32 = 4;
const INPUT_OUTPUT: u32 = 5;
const SEMAPHORES: u32 = 6;
const IN_EPOLL: u32 = 7;

/// `kcmp(thread, other, kind, descriptor, other descriptor)`
pub fn kcmp(&[one, other, kind, fd, other_fd, ..]: &Arguments) -> SyscallResult {
    let process = |tid: u64| {
        let thread = table::thread(tid as u32).ok_or(Errno::ESRCH)?;
        Ok::<_, Errno>(thread.process())
    };
    let both = [process(one)?, process(other)?];
    for process in both {
        check_inspectable(process)?;
    }
    let identities = match kind as u32 {
        FILE => [file(both[0], fd)?, file(both[1], other_fd)?],
        MEMORY => both.map(|process| process.space().id()),
        FILES => both.map(|process| {
            let files = fs::of_process(process);
            files.map_or(0, |files| address(&*files))
        }),
        PLACES => both.map(|process| {
            let places = fs::surroundings(process);
            places.map_or(0, |places| address(&*places))
        }),
        HANDLERS => both.map(address),
        // Nobody has anything of the first, and what is to be undone is found by number.
        INPUT_OUTPUT | SEMAPHORES => [0; 2],
        IN_EPOLL => return Err(Errno::EOPNOTSUPP),
        _ => return Err(Errno::EINVAL),
    };
    Ok(match identities[0].cmp(&identities[1]) {
        Ordering::Equal => 0,
        Ordering::Less => 1,
        Ordering::Greater => 2,
    })
}

/// The open file that a descriptor of a process stands for.
fn file(process: &Process, fd: u64) -> Result<u64, Errno> {
    let files = fs::of_process(process).ok_or(Errno::EBADF)?;
    let file = files.get(fd)?;
    Ok(address(&*file))
}

fn address<T>(object: &T) -> u64 {
    ptr::from_ref(object).addr() as u64
}
