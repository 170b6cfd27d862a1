//! Sending of signals: pending until a thread that does not block them handles them, or one
//! that waits for them takes them.

use abi::Errno;
use linux_raw_sys::general as linux;

use crate::proc::process::Process;
use crate::proc::signal::{Cause, DefaultAction, Signal, Signals, watchers};
use crate::proc::thread::Thread;
use crate::proc::{alarm, posix_timer, scheduler, stop, table};

/// Sends a signal to a process, in the kernel's own name.
pub fn send(process: &Process, signal: Signal) {
    // Only values of programs may find no room.
    let _ = send_for(process, signal, Cause::KERNEL);
}

/// Sends a signal to a process; one thread attends to it.
///
/// # Errors
/// EAGAIN: there is no room for the value that comes with a real-time signal.
pub fn send_for(process: &Process, signal: Signal, cause: Cause) -> Result<(), Errno> {
    if !process.is_alive() {
        return Ok(());
    }
    stop::note(process, signal);
    if discards(process, process.threads().next(), signal) {
        return Ok(());
    }
    process
        .pending_signals
        .add(signal, cause, most_pending(process))?;
    watchers::tell();
    let free = |thread: &&'static Thread| {
        !thread.blocked_signals.get().contains(signal)
            || thread.awaited_signals.get().contains(signal)
    };
    if let Some(thread) = process.threads().find(free) {
        notice(thread);
    }
    Ok(())
}

/// Sends a signal to all processes of a group, in the kernel's own name.
pub fn send_to_group(group: u32, signal: Signal) {
    table::processes()
        .filter(|process| process.group() == group)
        .for_each(|process| send(process, signal));
}

/// Sends a signal to one thread; if it ends or stops, so does the whole process.
///
/// # Errors
/// EAGAIN, as [`send_for`].
pub fn send_to_thread(thread: &'static Thread, signal: Signal, cause: Cause) -> Result<(), Errno> {
    let process = thread.process();
    stop::note(process, signal);
    if !discards(process, Some(thread), signal) {
        thread
            .pending_signals
            .add(signal, cause, most_pending(process))?;
        watchers::tell();
        notice(thread);
    }
    Ok(())
}

/// Whether a signal to a thread, or to a process with this first thread, is as if it had not
/// been sent. One that is blocked may have another effect by the time it is not.
fn discards(process: &Process, thread: Option<&Thread>, signal: Signal) -> bool {
    let is_blocked = |thread: &Thread| {
        let awaited = thread.awaited_signals.get();
        thread.blocked_signals.get().contains(signal) || awaited.contains(signal)
    };
    process.ignores(signal) && !thread.is_some_and(is_blocked)
}

fn most_pending(process: &Process) -> u64 {
    process.limits().soft(linux::RLIMIT_SIGPENDING)
}

/// Interrupts the thread if a signal is pending that it does not block, and wakes it if it
/// waits for one that is.
fn notice(thread: &'static Thread) {
    if pending(thread).is_some() {
        thread.attention.set(true);
        scheduler::wake(thread);
    } else if all_pending(thread).0 & thread.awaited_signals.get().0 != 0 {
        scheduler::wake(thread);
    }
}

/// A signal that the thread must attend to.
pub(super) fn pending(thread: &Thread) -> Option<Signal> {
    let blocked = thread.blocked_signals.get();
    let of_thread = thread.pending_signals.set().first_but(blocked);
    let of_process = || thread.process().pending_signals.set();
    of_thread.or_else(|| of_process().first_but(blocked))
}

/// Takes it: it is pending no more.
pub(super) fn take(thread: &Thread) -> Option<(Signal, Cause)> {
    take_but(thread, thread.blocked_signals.get())
}

/// Takes the first one of `signals` that is pending for the thread, blocked or not.
pub fn take_any(thread: &Thread, signals: Signals) -> Option<(Signal, Cause)> {
    take_but(thread, Signals(!signals.0))
}

fn take_but(thread: &Thread, others: Signals) -> Option<(Signal, Cause)> {
    let process = thread.process();
    for pending in [&thread.pending_signals, &process.pending_signals] {
        if let Some(signal) = pending.set().first_but(others) {
            let mut cause = pending.take(signal);
            if cause.is_timer() {
                cause.note_overrun(posix_timer::taken(process, cause.timer_number()));
            }
            if signal == Signal::SIGALRM {
                alarm::taken(process);
            }
            return Some((signal, cause));
        }
    }
    None
}

/// All signals that wait for the thread, those among them that it blocks.
pub fn all_pending(thread: &Thread) -> Signals {
    let of_process = thread.process().pending_signals.set();
    Signals(thread.pending_signals.set().0 | of_process.0)
}

/// Sets which signals the current thread blocks. Others may have to attend to those that
/// it blocks now.
pub fn set_blocked(thread: &'static Thread, blocked: Signals) {
    thread.blocked_signals.set(blocked.blockable());
    notice(thread);
    if thread.process().pending_signals.set() != Signals::EMPTY {
        thread.process().threads().for_each(notice);
    }
}

/// Whether a signal is pending that ends the thread's process.
pub(super) fn is_deadly(thread: &Thread) -> bool {
    let process = thread.process();
    let end = super::Reaction::Default(DefaultAction::End);
    let open = all_pending(thread).0 & !thread.blocked_signals.get().0;
    open != 0
        && Signals(open)
            .iter()
            .any(|signal| process.reaction(signal) == end)
}

/// Whether a signal ends even a stopped thread's wait.
pub(super) fn is_killed(thread: &Thread) -> bool {
    thread.doomed.get() || all_pending(thread).contains(Signal::SIGKILL)
}
