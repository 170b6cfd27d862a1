//! Calls about signals: what a process does about them, what a thread blocks, waiting for
//! them, and the way back from a handler. Sending is in `kill`.

use arch::trap::{Arguments, UserContext};
use linux_raw_sys::general as linux;
use mm::UserPtr;

use crate::proc::signal::{self, Action, ActionFlags, Cause, Signal, Signals};
use crate::proc::wait_queue::{Interrupted, WaitQueue, Woken};
use crate::proc::{current, current_thread};
use crate::syscall::time::{now_ns, read_ns};
use crate::syscall::{Errno, SyscallResult};

/// Size of `sigset_t`.
pub(super) const SET_SIZE: u64 = 8;

/// `struct sigaction` of the kernel: handler, flags, restorer, mask.
type Words = [u64; 4];

fn words(action: Action) -> Words {
    [
        action.handler,
        action.flags.bits(),
        action.restorer,
        action.mask.0,
    ]
}

fn action([handler, flags, restorer, mask]: Words) -> Action {
    Action {
        handler,
        flags: ActionFlags::from_bits_retain(flags),
        restorer,
        mask: Signals(mask).blockable(),
    }
}

/// `rt_sigaction(signal, new, old, size)`
pub fn rt_sigaction(&[signal, new, old, size, ..]: &Arguments) -> SyscallResult {
    let signal = Signal::new(signal).ok_or(Errno::EINVAL)?;
    if size != SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let process = current();
    let space = process.space();
    let before = words(process.action(signal));
    let new = match new {
        0 => None,
        address => Some(UserPtr::<Words>::new(address).read(&space)?),
    };
    if new.is_some() && matches!(signal, Signal::SIGKILL | Signal::SIGSTOP) {
        return Err(Errno::EINVAL);
    }
    if old != 0 {
        UserPtr::new(old).write(&space, &before)?;
    }
    if let Some(new) = new {
        process.set_action(signal, action(new))?;
    }
    Ok(0)
}

/// The `sigset_t` at `address`; `None` if that is null.
///
/// # Errors
/// EINVAL: it has another size. EFAULT.
pub(super) fn read_set(address: u64, size: u64) -> Result<Option<Signals>, Errno> {
    if address == 0 {
        return Ok(None);
    }
    if size != SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let set = UserPtr::<u64>::new(address).read(&current().space())?;
    Ok(Some(Signals(set)))
}

/// Waits by `wait` and blocks these signals meanwhile, up to the end of a handler of one
/// that comes.
pub(super) fn with_blocked(
    blocked: Option<Signals>,
    wait: impl FnOnce() -> SyscallResult,
) -> SyscallResult {
    let thread = current_thread();
    if let Some(blocked) = blocked {
        thread.block_while_waiting(blocked);
    }
    let result = wait();
    let is_interrupted = matches!(result, Err(errno) if errno.restarts().is_some());
    if !is_interrupted {
        thread.stop_blocking();
    }
    result
}

/// `rt_sigprocmask(how, new, old, size)`
pub fn rt_sigprocmask(&[how, new, old, size, ..]: &Arguments) -> SyscallResult {
    if size != SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let thread = current_thread();
    let space = current().space();
    let before = thread.blocked_signals();
    let new = match new {
        0 => None,
        address => {
            let [set] = UserPtr::<[u64; 1]>::new(address).read(&space)?;
            Some(match how as u32 {
                linux::SIG_BLOCK => before.0 | set,
                linux::SIG_UNBLOCK => before.0 & !set,
                linux::SIG_SETMASK => set,
                _ => return Err(Errno::EINVAL),
            })
        }
    };
    if old != 0 {
        UserPtr::new(old).write(&space, &[before.0])?;
    }
    if let Some(new) = new {
        signal::set_blocked(thread, Signals(new));
    }
    Ok(0)
}

/// `rt_sigpending(set, size)`
pub fn rt_sigpending(&[set, size, ..]: &Arguments) -> SyscallResult {
    if size != SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let pending = signal::all_pending(current_thread());
    UserPtr::new(set).write(&current().space(), &[pending.0])?;
    Ok(0)
}

/// `rt_sigsuspend(set, size)`: waits for a signal that is not in the set.
pub fn rt_sigsuspend(&[set, size, ..]: &Arguments) -> SyscallResult {
    let blocked = read_set(set, size)?;
    with_blocked(Some(blocked.ok_or(Errno::EFAULT)?), wait_for_handler)
}

/// `pause()`
pub fn pause(_: &Arguments) -> SyscallResult {
    wait_for_handler()
}

fn wait_for_handler() -> SyscallResult {
    let nobody = WaitQueue::new();
    loop {
        if let Err(Interrupted) = nobody.sleep() {
            return Err(Errno::RESTART_UNHANDLED);
        }
    }
}

/// `rt_sigtimedwait(set, info, timeout, size)`: takes a signal of the set, which the thread
/// blocks.
pub fn rt_sigtimedwait(&[set, info, timeout, size, ..]: &Arguments) -> SyscallResult {
    if size != SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let space = current().space();
    let set = Signals(UserPtr::<u64>::new(set).read(&space)?).blockable();
    let deadline = match timeout {
        0 => None,
        address => Some(now_ns().saturating_add(read_ns(address)?)),
    };
    let thread = current_thread();
    thread.await_signals(set);
    let taken = wait_for(set, deadline);
    thread.await_signals(Signals::EMPTY);
    let (signal, cause) = taken?;
    if info != 0 {
        UserPtr::new(info).write(&space, &cause.info(signal))?;
    }
    Ok(signal.number().into())
}

/// Takes a signal of a set as soon as one is pending.
///
/// # Errors
/// EAGAIN: that was not before the deadline. EINTR: another one has to be attended to.
fn wait_for(set: Signals, deadline: Option<u64>) -> Result<(Signal, Cause), Errno> {
    let thread = current_thread();
    let nobody = WaitQueue::new();
    loop {
        if let Some(taken) = signal::take_any(thread, set) {
            return Ok(taken);
        }
        let woken = match deadline {
            None => nobody.sleep().map(|()| Woken::Up),
            Some(deadline) => nobody.sleep_until(deadline),
        };
        match woken {
            Ok(Woken::Up) => {}
            Ok(Woken::TimedOut) => {
                return signal::take_any(thread, set).ok_or(Errno::EAGAIN);
            }
            Err(Interrupted) => return signal::take_any(thread, set).ok_or(Errno::EINTR),
        }
    }
}

/// `sigaltstack(new, old)`
pub fn sigaltstack(context: &mut UserContext) -> SyscallResult {
    let [new, old, ..] = context.registers.arguments;
    let thread = current_thread();
    let space = current().space();
    let rsp = context.stack_pointer();
    let before = thread.alternate_stack().words_at(rsp);
    if new != 0 {
        let words = UserPtr::<[u64; 3]>::new(new).read(&space)?;
        thread.change_alternate_stack(words, rsp)?;
    }
    if old != 0 {
        UserPtr::new(old).write(&space, &before)?;
    }
    Ok(0)
}

/// `rt_sigreturn()`: all registers are those of the frame, rax too.
pub fn rt_sigreturn(context: &mut UserContext) -> SyscallResult {
    signal::return_from_handler(current_thread(), context);
    Ok(context.registers.rax)
}
