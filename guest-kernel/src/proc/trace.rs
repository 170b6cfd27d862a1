//! Trace records about processes and threads.

use abi::trace::{Kind, NO_STATUS};
use arch::trace;

use crate::proc::process::Name;
use crate::proc::thread::Thread;
use crate::proc::wait_status::WaitStatus;

/// A thread as records have it.
fn number(thread: &Thread) -> u64 {
    u64::from(thread.process().pid()) | u64::from(thread.tid()) << 32
}

/// A name as records have it.
fn padded(name: Name) -> [u64; 2] {
    let name = u128::from_le_bytes(name.padded());
    [name as u64, (name >> 64) as u64]
}

/// The thread gets the CPU; without one the CPU is idle.
#[cold]
pub fn turn(thread: Option<&Thread>) {
    match thread {
        Some(thread) => {
            let [first, second] = padded(thread.process().name());
            trace::send(Kind::Run, &[number(thread), first, second]);
        }
        None => trace::send(Kind::Idle, &[]),
    }
}

/// There is a new thread.
pub fn start(thread: &Thread) {
    trace::send(Kind::Start, &[number(thread)]);
}

/// The current process has a new program.
pub fn exec(name: Name) {
    trace::send(Kind::Exec, &padded(name));
}

/// The current thread ends, and its process with this status if there is one.
pub fn end(thread: &Thread, status: Option<WaitStatus>) {
    let status = status.map_or(NO_STATUS, |status| status.word().into());
    trace::send(Kind::End, &[number(thread), status]);
}
