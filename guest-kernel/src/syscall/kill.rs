//! Calls that send signals.

use arch::trap::Arguments;
use linux_raw_sys::general as linux;
use mm::UserPtr;

use crate::proc::capability::Capability;
use crate::proc::process::{INIT, Process};
use crate::proc::signal::{self, Cause, Info, Signal};
use crate::proc::thread::Thread;
use crate::proc::{current, table};
use crate::syscall::{Errno, SyscallResult};

/// `kill(pid, signal)`: to a process, to the own group (0), to all but init and oneself
/// (-1), or to a group (its number negated).
pub fn kill(&[pid, number, ..]: &Arguments) -> SyscallResult {
    let signal = signal(number)?;
    let own = current();
    if let Some(process) = of_number(pid as i32) {
        check_sender(process, signal)?;
        send(process, signal);
        return Ok(0);
    }
    let is_meant = |process: &Process| match pid as i32 {
        0 => process.group() == own.group(),
        -1 => process.pid() != INIT && process.pid() != own.pid(),
        1.. => false,
        group => process.group() == group.unsigned_abs(),
    };
    let mut result = Err(Errno::ESRCH);
    for process in table::processes().filter(|process| is_meant(process)) {
        match check_sender(process, signal) {
            Ok(()) => {
                result = Ok(0);
                send(process, signal);
            }
            Err(errno) if result.is_err() => result = Err(errno),
            Err(_) => {}
        }
    }
    result
}

/// `tkill(tid, signal)`
pub fn tkill(&[tid, number, ..]: &Arguments) -> SyscallResult {
    send_to_thread(None, tid, number, by_call(linux::SI_TKILL))
}

/// `tgkill(pid, tid, signal)`
pub fn tgkill(&[pid, tid, number, ..]: &Arguments) -> SyscallResult {
    let pid = id(pid)?;
    send_to_thread(Some(pid), tid, number, by_call(linux::SI_TKILL))
}

/// `rt_sigqueueinfo(pid, signal, info)`
pub fn rt_sigqueueinfo(&[pid, number, info, ..]: &Arguments) -> SyscallResult {
    let cause = read_cause(info, pid as u32)?;
    let signal = signal(number)?;
    let process = of_number(pid as i32).ok_or(Errno::ESRCH)?;
    check_sender(process, signal)?;
    if let Some(signal) = signal.filter(|signal| may_reach(process, *signal)) {
        signal::send_for(process, signal, cause)?;
    }
    Ok(0)
}

/// `rt_tgsigqueueinfo(pid, tid, signal, info)`
pub fn rt_tgsigqueueinfo(&[pid, tid, number, info, ..]: &Arguments) -> SyscallResult {
    let pid = id(pid)?;
    let cause = read_cause(info, pid)?;
    send_to_thread(Some(pid), tid, number, cause)
}

/// The process with this number, or the one that the thread with this number belongs to.
fn of_number(number: i32) -> Option<&'static Process> {
    let number = u32::try_from(number).ok().filter(|&number| number != 0)?;
    table::process(number).or_else(|| table::thread(number).map(Thread::process))
}

fn by_call(code: i32) -> Cause {
    Cause::sender(current().identity(), code)
}

/// The `siginfo_t` at `address`: to others, a process may only say that it sends the signal
/// itself.
fn read_cause(address: u64, target: u32) -> Result<Cause, Errno> {
    let info = UserPtr::<Info>::new(address).read(&current().space())?;
    let cause = Cause::from_info(&info);
    let is_by_others = cause.code >= 0 || cause.code == linux::SI_TKILL;
    if is_by_others && target != current().pid() {
        return Err(Errno::EPERM);
    }
    Ok(cause)
}

/// A number of a process or thread.
fn id(number: u64) -> Result<u32, Errno> {
    match number as i32 {
        1.. => Ok(number as u32),
        _ => Err(Errno::EINVAL),
    }
}

fn send_to_thread(pid: Option<u32>, tid: u64, number: u64, cause: Cause) -> SyscallResult {
    let tid = id(tid)?;
    let thread = table::thread(tid).ok_or(Errno::ESRCH)?;
    let process = thread.process();
    if pid.is_some_and(|pid| pid != process.pid()) {
        return Err(Errno::ESRCH);
    }
    let signal = signal(number)?;
    check_sender(process, signal)?;
    if let Some(signal) = signal.filter(|signal| may_reach(process, *signal)) {
        signal::send_to_thread(thread, signal, cause)?;
    }
    Ok(0)
}

/// The signal with this number; none for 0, which only checks that the target exists.
pub(super) fn signal(number: u64) -> Result<Option<Signal>, Errno> {
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
        // By `kill`, a signal comes even if there is no room for its cause.
        let _ = signal::send_for(process, signal, by_call(linux::SI_USER as i32));
    }
}

/// Fails unless the current process may send the signal to `process`: SIGCONT goes to all of
/// its session.
pub(super) fn check_sender(process: &Process, signal: Option<Signal>) -> Result<(), Errno> {
    let own = current();
    let users = [own, process].map(|process| process.credentials.users());
    let is_allowed = users[0].may_signal(users[1])
        || own.may(Capability::Kill)
        || signal == Some(Signal::SIGCONT) && process.session() == own.session();
    match is_allowed {
        true => Ok(()),
        false => Err(Errno::EPERM),
    }
}

/// No other process may end or stop init: only signals that it handles reach it.
pub(super) fn may_reach(process: &Process, signal: Signal) -> bool {
    process.pid() != INIT || current().pid() == INIT || process.catches(signal)
}
