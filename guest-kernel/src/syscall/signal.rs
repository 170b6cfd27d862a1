//! Calls about signals, as far as signals end a process or do nothing.
//!
//! Programs can ignore signals, block them and send them; handlers there are none
//! (ENOSYS), nor stopped processes.

use linux_raw_sys::general as linux;

use super::{Errno, SyscallResult};
use crate::arch::trap::Registers;
use crate::mm::UserPtr;
use crate::proc::process::{INIT, Process};
use crate::proc::signal::{self, DefaultAction, Signal, Signals};
use crate::proc::wait::WaitQueue;
use crate::proc::{current, current_thread, table};

/// Size of `sigset_t`.
const SET_SIZE: u64 = 8;

/// Values of a handler that is none.
const DEFAULT: u64 = 0;
const IGNORE: u64 = 1;

/// `struct sigaction` of the kernel: handler, flags, restorer, mask.
type Action = [u64; 4];

/// `rt_sigaction(signal, new, old, set_size)`
pub fn rt_sigaction(registers: &Registers) -> SyscallResult {
    let signal = Signal::new(registers.rdi).ok_or(Errno::EINVAL)?;
    if registers.r10 != SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let process = current();
    let space = process.space();
    let ignored = process.ignored_signals();
    let new = match registers.rsi {
        0 => None,
        address => Some(UserPtr::<Action>::new(address).read(&space)?[0]),
    };
    if registers.rdx != 0 {
        let handler = if ignored.contains(signal) {
            IGNORE
        } else {
            DEFAULT
        };
        UserPtr::<Action>::new(registers.rdx).write(&space, &[handler, 0, 0, 0])?;
    }
    let changed = match new {
        None => return Ok(0),
        Some(DEFAULT) => ignored.without(signal),
        Some(IGNORE) => ignored.with(signal),
        Some(_) => return Err(Errno::ENOSYS),
    };
    if matches!(signal, Signal::SIGKILL | Signal::SIGSTOP) {
        return Err(Errno::EINVAL);
    }
    process.set_ignored_signals(changed);
    Ok(0)
}

/// `rt_sigprocmask(how, new, old, set_size)`
pub fn rt_sigprocmask(registers: &Registers) -> SyscallResult {
    if registers.r10 != SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let thread = current_thread();
    let space = current().space();
    let old = thread.blocked_signals();
    let new = match registers.rsi {
        0 => None,
        address => {
            let [set] = UserPtr::<[u64; 1]>::new(address).read(&space)?;
            Some(match registers.rdi as u32 {
                linux::SIG_BLOCK => old.0 | set,
                linux::SIG_UNBLOCK => old.0 & !set,
                linux::SIG_SETMASK => set,
                _ => return Err(Errno::EINVAL),
            })
        }
    };
    if registers.rdx != 0 {
        UserPtr::new(registers.rdx).write(&space, &[old.0])?;
    }
    if let Some(new) = new {
        signal::set_blocked(thread, Signals(new));
    }
    Ok(0)
}

/// `rt_sigpending(set, set_size)`
pub fn rt_sigpending(registers: &Registers) -> SyscallResult {
    if registers.rsi != SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let pending = signal::all_pending(current_thread());
    UserPtr::new(registers.rdi).write(&current().space(), &[pending.0])?;
    Ok(0)
}

/// `sigaltstack(new, old)`: taken for what it is without handlers, and reported as off.
pub fn sigaltstack(registers: &Registers) -> SyscallResult {
    const STACK_WORDS: usize = size_of::<linux::stack_t>() / size_of::<u64>();
    let space = current().space();
    if registers.rdi != 0 {
        UserPtr::<[u64; STACK_WORDS]>::new(registers.rdi).read(&space)?;
    }
    if registers.rsi != 0 {
        let off = [0, linux::SS_DISABLE.into(), 0];
        UserPtr::<[u64; STACK_WORDS]>::new(registers.rsi).write(&space, &off)?;
    }
    Ok(0)
}

/// `pause()`: until a signal comes, and that is the end.
pub fn pause(_: &Registers) -> SyscallResult {
    let nobody = WaitQueue::new();
    loop {
        nobody.sleep()?;
    }
}

/// `kill(pid, signal)`: to a process, to the own group (0), to all but init and oneself
/// (-1), or to a group (its number negated).
pub fn kill(registers: &Registers) -> SyscallResult {
    let signal = signal(registers.rsi)?;
    let own = current();
    let is_meant = |process: &Process| match registers.rdi as i32 {
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
pub fn tkill(registers: &Registers) -> SyscallResult {
    send_to_thread(None, registers.rdi, registers.rsi)
}

/// `tgkill(pid, tid, signal)`
pub fn tgkill(registers: &Registers) -> SyscallResult {
    send_to_thread(Some(registers.rdi), registers.rsi, registers.rdx)
}

fn send_to_thread(pid: Option<u64>, tid: u64, number: u64) -> SyscallResult {
    let signal = signal(number)?;
    let tid = u32::try_from(tid).ok().filter(|&tid| tid != 0);
    let thread = table::thread(tid.ok_or(Errno::EINVAL)?).ok_or(Errno::ESRCH)?;
    let process = thread.process();
    if pid.is_some_and(|pid| pid != u64::from(process.pid())) {
        return Err(Errno::ESRCH);
    }
    if let Some(signal) = signal.filter(|_| may_reach(process)) {
        signal::send_to_thread(thread, signal);
    }
    Ok(0)
}

/// The signal with this number; none for 0, which only asks whether there is somebody.
fn signal(number: u64) -> Result<Option<Signal>, Errno> {
    match number {
        0 => Ok(None),
        number => match Signal::new(number) {
            None => Err(Errno::EINVAL),
            Some(signal) if signal.default_action() == DefaultAction::Stop => Err(Errno::ENOSYS),
            signal => Ok(signal),
        },
    }
}

fn send(process: &Process, signal: Option<Signal>) {
    if let Some(signal) = signal.filter(|_| may_reach(process)) {
        signal::send(process, signal);
    }
}

/// Without handlers a signal can do nothing but end its process, and no other process may
/// end init.
fn may_reach(process: &Process) -> bool {
    process.pid() != INIT || current().pid() == INIT
}
