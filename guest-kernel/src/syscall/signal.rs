//! Calls about signals: what a process does about them, what a thread blocks, waiting for
//! them, and the way back from a handler. Sending is in `kill`.

use arch::trap::{Arguments, UserContext};
use linux_raw_sys::general as linux;
use mm::UserPtr;

use crate::proc::signal::{self, Action, ActionFlags, AlternateStack, Reaction, Signal, Signals};
use crate::proc::wait_queue::{Interrupted, WaitQueue};
use crate::proc::{current, current_thread};
use crate::syscall::{Errno, SyscallResult};

/// Size of `sigset_t`.
const SET_SIZE: u64 = 8;

/// Values of a handler that is none.
const DEFAULT: u64 = 0;
const IGNORE: u64 = 1;

/// `struct sigaction` of the kernel: handler, flags, restorer, mask.
type Words = [u64; 4];

fn words(reaction: Reaction) -> Words {
    match reaction {
        Reaction::Default(_) => [DEFAULT, 0, 0, 0],
        Reaction::Ignore => [IGNORE, 0, 0, 0],
        Reaction::Call(action) => [
            action.handler,
            action.flags.bits(),
            action.restorer,
            action.mask.0,
        ],
    }
}

fn reaction(signal: Signal, [handler, flags, restorer, mask]: Words) -> Reaction {
    match handler {
        DEFAULT => Reaction::Default(signal.default_action()),
        IGNORE => Reaction::Ignore,
        handler => Reaction::Call(Action {
            handler,
            flags: ActionFlags::from_bits_retain(flags),
            restorer,
            mask: Signals(mask).blockable(),
        }),
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
    let before = words(process.reaction(signal));
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
        process.react(signal, reaction(signal, new))?;
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

/// `sigaltstack(new, old)`
pub fn sigaltstack(context: &mut UserContext) -> SyscallResult {
    const MIN_SIZE: u64 = linux::MINSIGSTKSZ as u64;
    let [new, old, ..] = context.registers.arguments;
    let thread = current_thread();
    let space = current().space();
    let stack = thread.alternate_stack();
    let rsp = context.stack_pointer();
    let new = match new {
        0 => None,
        address => Some(UserPtr::<[u64; 3]>::new(address).read(&space)?),
    };
    if let Some([start, flags, size]) = new {
        if stack.contains(rsp) {
            return Err(Errno::EPERM);
        }
        thread.set_alternate_stack(match flags as u32 {
            linux::SS_DISABLE => AlternateStack::NONE,
            0 | linux::SS_ONSTACK if size < MIN_SIZE => return Err(Errno::ENOMEM),
            0 | linux::SS_ONSTACK => AlternateStack { start, size },
            _ => return Err(Errno::EINVAL),
        });
    }
    if old != 0 {
        UserPtr::new(old).write(&space, &stack.words(rsp))?;
    }
    Ok(0)
}

/// `rt_sigreturn()`: all registers are those of the frame, rax too.
pub fn rt_sigreturn(context: &mut UserContext) -> SyscallResult {
    signal::return_from_handler(current_thread(), context);
    Ok(context.registers.rax)
}
