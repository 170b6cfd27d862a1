//! Calls that send signals.

use arch::trap::Arguments;

use crate::proc::process::{INIT, Process};
use crate::proc::signal::{self, Cause, Signal};
use crate::proc::{current, table};
use crate::syscall::{Errno, SyscallResult};

/// `kill(pid, signal)`: to a process, to the own group (0), to all but init and oneself
/// (-1), or to a group (its number negated).
pub fn kill(&[pid, number, ..]: &Arguments) -> SyscallResult {
    let signal = signal(number)?;
    let own = current();
    let is_meant = |process: &Process| match pid as i32 {
        0 => process.group() == own.group(),
        -1 => process.pid() != INIT && process.pid() != own.pid(),
        pid @ 1.. => process.pid() == pid.unsigned_abs(),
        group => process.group() == group.unsigned_abs(),
    };
    let mut found = false;
    for process in table::processes().filter(|process| is_meant(process)) {
        found = true;
        send(process, signal);
    }
    if found { Ok(0) } else { Err(Errno::ESRCH) }
}

/// `tkill(tid, signal)`
pub fn tkill(&[tid, number, ..]: &Arguments) -> SyscallResult {
    send_to_thread(None, tid, number)
}

/// `tgkill(pid, tid, signal)`
pub fn tgkill(&[pid, tid, number, ..]: &Arguments) -> SyscallResult {
    send_to_thread(Some(pid), tid, number)
}

fn send_to_thread(pid: Option<u64>, tid: u64, number: u64) -> SyscallResult {
    let signal = signal(number)?;
    let tid = u32::try_from(tid).ok().filter(|&tid| tid != 0);
    let thread = table::thread(tid.ok_or(Errno::EINVAL)?).ok_or(Errno::ESRCH)?;
    let process = thread.process();
    if pid.is_some_and(|pid| pid != u64::from(process.pid())) {
        return Err(Errno::ESRCH);
    }
    if let Some(signal) = signal.filter(|signal| may_reach(process, *signal)) {
        let cause = Cause::sender(current().pid(), true);
        signal::send_to_thread(thread, signal, cause);
    }
    Ok(0)
}

/// The signal with this number; none for 0, which only checks that the target exists.
fn signal(number: u64) -> Result<Option<Signal>, Errno> {
    match number {
        0 => Ok(None),
        number => match Signal::new(number) {
            None => Err(Errno::EINVAL),
            signal => Ok(signal),
        },
    }
}

fn send(process: &Process, signal: Option<Signal>) {
    if let Some(signal) = signal.filter(|signal| may_reach(process, *signal)) {
        signal::send_for(process, signal, Cause::sender(current().pid(), false));
    }
}

/// No other process may end or stop init: only signals that it handles reach it.
fn may_reach(process: &Process, signal: Signal) -> bool {
    process.pid() != INIT || current().pid() == INIT || process.catches(signal)
}
