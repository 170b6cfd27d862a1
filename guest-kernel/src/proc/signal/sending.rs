//! Sending of signals: pending until a thread that does not block them handles them.

use crate::proc::process::Process;
use crate::proc::signal::{Cause, DefaultAction, Signal, Signals};
use crate::proc::thread::Thread;
use crate::proc::{scheduler, stop, table};

/// Sends a signal to a process, in the kernel's own name.
pub fn send(process: &Process, signal: Signal) {
    send_for(process, signal, Cause::KERNEL);
}

/// Sends a signal to a process; one thread attends to it.
pub fn send_for(process: &Process, signal: Signal, cause: Cause) {
    if !process.is_alive() {
        return;
    }
    stop::note(process, signal);
    if process.ignores(signal) {
        return;
    }
    process.note_cause(signal, cause);
    let pending = process.pending_signals.get().with(signal);
    process.pending_signals.set(pending);
    let free = |thread: &&'static Thread| !thread.blocked_signals.get().contains(signal);
    if let Some(thread) = process.threads().find(free) {
        notice(thread);
    }
}

/// Sends a signal to all processes of a group, in the kernel's own name.
pub fn send_to_group(group: u32, signal: Signal) {
    table::processes()
        .filter(|process| process.group() == group)
        .for_each(|process| send(process, signal));
}

/// Sends a signal to one thread; if it ends or stops, so does the whole process.
pub fn send_to_thread(thread: &'static Thread, signal: Signal, cause: Cause) {
    let process = thread.process();
    stop::note(process, signal);
    if !process.ignores(signal) {
        process.note_cause(signal, cause);
        let pending = thread.pending_signals.get().with(signal);
        thread.pending_signals.set(pending);
        notice(thread);
    }
}

/// Interrupts the thread if a signal is pending that it does not block.
fn notice(thread: &'static Thread) {
    if pending(thread).is_some() {
        thread.attention.set(true);
        scheduler::wake(thread);
    }
}

/// A signal that the thread must attend to.
pub(super) fn pending(thread: &Thread) -> Option<Signal> {
    let blocked = thread.blocked_signals.get();
    let of_thread = thread.pending_signals.get().first_but(blocked);
    of_thread.or_else(|| thread.process().pending_signals.get().first_but(blocked))
}

/// Takes it: it is pending no more.
pub(super) fn take(thread: &Thread) -> Option<Signal> {
    let signal = pending(thread)?;
    let of_thread = thread.pending_signals.get();
    if of_thread.contains(signal) && !thread.blocked_signals.get().contains(signal) {
        thread.pending_signals.set(of_thread.without(signal));
    } else {
        let of_process = &thread.process().pending_signals;
        of_process.set(of_process.get().without(signal));
    }
    Some(signal)
}

/// All signals that wait for the thread, those among them that it blocks.
pub fn all_pending(thread: &Thread) -> Signals {
    let of_process = thread.process().pending_signals.get();
    Signals(thread.pending_signals.get().0 | of_process.0)
}

/// Sets which signals the current thread blocks. Others may have to attend to those that
/// it blocks now.
pub fn set_blocked(thread: &'static Thread, blocked: Signals) {
    thread.blocked_signals.set(blocked.blockable());
    notice(thread);
    if thread.process().pending_signals.get() != Signals::EMPTY {
        thread.process().threads().for_each(notice);
    }
}

/// Whether a signal is pending that ends the thread's process.
pub(super) fn is_deadly(thread: &Thread) -> bool {
    let process = thread.process();
    let end = super::Reaction::Default(DefaultAction::End);
    let open = all_pending(thread).0 & !thread.blocked_signals.get().0;
    let mut signals = (1..=u64::from(Signal::MAX)).filter_map(Signal::new);
    open != 0
        && signals.any(|signal| Signals(open).contains(signal) && process.reaction(signal) == end)
}

/// Whether a signal ends even a stopped thread's wait.
pub(super) fn is_killed(thread: &Thread) -> bool {
    thread.doomed.get() || all_pending(thread).contains(Signal::SIGKILL)
}
