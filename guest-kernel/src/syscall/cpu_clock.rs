//! Clocks of what processes and threads have used of the CPU. Each has a number, as
//! `clock_getcpuclockid` and `pthread_getcpuclockid` make it: from bit 3 on the complement of the
//! process's or thread's, then whether it is a thread's, then what it counts.

use arch::clock;
use linux_raw_sys::general as linux;

use crate::proc::thread::CpuTime;
use crate::proc::{current, current_thread, table};

const KIND: i32 = 0b11;
const IS_THREAD: i32 = 1 << 2;
const ID_SHIFT: u32 = 3;
/// Time in ring 3 alone.
const VIRTUAL: i32 = 1;
/// What is no kind.
const NONE: i32 = 3;

/// What the clock of this number shows, in nanoseconds, if it is one of these and is there.
pub fn read(number: u32) -> Option<u64> {
    let (time, kind) = match number {
        linux::CLOCK_PROCESS_CPUTIME_ID => (current().cpu_time(), 0),
        linux::CLOCK_THREAD_CPUTIME_ID => (current_thread().cpu_time(), 0),
        _ => {
            let number = i32::from_ne_bytes(number.to_ne_bytes());
            let kind = number & KIND;
            if number >= 0 || kind == NONE {
                return None;
            }
            let id = (!(number >> ID_SHIFT)).cast_unsigned();
            (used(id, number & IS_THREAD != 0)?, kind)
        }
    };
    Some(clock::ns(match kind {
        VIRTUAL => time.user,
        _ => time.user + time.system,
    }))
}

/// What the thread of this number, of the current process, or any process has used; 0 is the
/// current one.
fn used(id: u32, is_thread: bool) -> Option<CpuTime> {
    Some(match (id, is_thread) {
        (0, true) => current_thread().cpu_time(),
        (0, false) => current().cpu_time(),
        (tid, true) => {
            let mut threads = current().threads();
            threads.find(|thread| thread.tid() == tid)?.cpu_time()
        }
        (pid, false) if pid == current_thread().tid() => current().cpu_time(),
        (pid, false) => table::process(pid)?.cpu_time(),
    })
}
