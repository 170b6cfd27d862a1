//! The ends of threads and processes.
//!
//! A thread ends itself: a request to end interrupts it, and it sees that on its return to
//! ring 3. The last one takes the process's files and memory with it. What is left is a
//! zombie: a slot of the table with the status for the parent.

use core::cell::Cell;

use abi::trace::wanted;
use arch::exit;
use arch::trace;
use linux_raw_sys::general as linux;
use single_cpu::SingleCpu;

use crate::proc::alarm::{self, Alarm};
use crate::proc::process::{INIT, Process, Stage};
use crate::proc::scheduler::{self, current_thread};
use crate::proc::signal::{self, Cause, Signal};
use crate::proc::thread::Thread;
use crate::proc::wait_status::WaitStatus;
use crate::proc::{futex, ipc, posix_timer, resources, stop, table, wait};

const SI_USER: i32 = linux::SI_USER as i32;

/// What a layer above does before the machine ends; it is told whether init has succeeded.
type BeforeEnd = fn(bool);

static BEFORE_END: SingleCpu<Cell<Option<BeforeEnd>>> = SingleCpu::new(Cell::new(None));

/// Has `before_end` called when init has ended.
pub fn before_end(before_end: BeforeEnd) {
    BEFORE_END.set(Some(before_end));
}

/// Ends the current thread. Its process ends with the last one, with `status` unless it
/// was to end anyway.
pub fn end_thread(status: WaitStatus) -> ! {
    let thread = current_thread();
    let process = thread.process();
    futex::thread_ends(thread);
    thread.pending_signals.clear();
    let used = process.ended_time.get().plus(thread.cpu_time());
    process.ended_time.set(used);
    process.members.remove(thread);
    let is_last = process.members.is_empty();
    let status = process.end.get().unwrap_or(status);
    if trace::wants(wanted::PROCS) {
        super::trace::end(thread, is_last.then_some(status));
    }
    if is_last {
        end_alone(process, status);
    } else {
        table::note_end();
        process.thread_ended.wake_all();
    }
    scheduler::end_current()
}

/// Ends the current process, all threads of it.
pub fn end_process(status: WaitStatus) -> ! {
    doom(current_thread().process(), status);
    end_thread(status)
}

/// Tells all threads of a process to end.
pub fn doom(process: &Process, status: WaitStatus) {
    if process.end.get().is_none() {
        process.end.set(Some(status));
    }
    process.threads().for_each(doom_thread);
}

/// Tells the other threads of the current process to end.
pub fn doom_others(thread: &'static Thread) {
    for other in thread.process().threads() {
        if !core::ptr::eq(other, thread) {
            doom_thread(other);
        }
    }
}

fn doom_thread(thread: &'static Thread) {
    thread.doomed.set(true);
    thread.attention.set(true);
    scheduler::wake(thread);
}

/// Ends a process without threads.
fn end_alone(process: &'static Process, status: WaitStatus) {
    if process.pid() == INIT {
        if let Some(before_end) = BEFORE_END.get() {
            before_end(status == WaitStatus::exited(0));
        }
        exit::exit(status.guest_exit());
    }
    alarm::set(process, Alarm::default());
    posix_timer::delete_all(process);
    process.pending_signals.clear();
    drop(process.actions.take());
    drop(process.names.take());
    resources::keeper().release(process);
    process.note_frames(process.space().frames());
    drop(process.space.take());
    ipc::process_ends(process);
    return_memory(process);
    process.stage.set(Stage::Zombie(status));
    posix_timer::cpu_time_ends(process);
    if process.session() == process.pid() {
        resources::keeper().leader_ended(process.session());
    }
    give_children_away(process);
    if let Some(parent) = process.parent.get() {
        stop::part(parent, process);
        let used = process.ended_time.get();
        let signal = process.end_signal.get();
        if signal != Some(Signal::SIGCHLD) || parent.wants_zombies() {
            show_to(process, parent);
        } else {
            wait::release(process);
            // It may have waited for just this one: now there may be none.
            parent.child_ended.wake_all();
        }
        if let Some(signal) = signal {
            stop::tell(parent, signal, process, status, used);
        }
    }
    resources::keeper().process_ended();
}

/// Puts an ended child where the parent finds it first, and wakes the parent.
fn show_to(child: &'static Process, parent: &Process) {
    parent.children.remove(child);
    parent.children.push_front(child);
    parent.child_ended.wake_all();
}

/// The children get another parent: the next ancestor that adopts orphans, or init.
fn give_children_away(process: &Process) {
    if process.children.is_empty() {
        return;
    }
    let ancestors = core::iter::successors(process.parent.get(), |ancestor| ancestor.parent.get());
    let adopts =
        |process: &&'static Process| process.is_alive() && process.attributes().adopts_orphans;
    let Some(heir) = ancestors
        .into_iter()
        .find(adopts)
        .or_else(|| table::process(INIT))
    else {
        return;
    };
    while let Some(child) = process.children.pop_front() {
        child.parent.set(Some(heir));
        child.end_signal.set(Some(Signal::SIGCHLD));
        if let Some(signal) = child.attributes().death_signal {
            // The sender has no use for an error.
            let _ = signal::send_for(child, signal, Cause::sender(process.identity(), SI_USER));
        }
        heir.children.push_back(child);
        match child.is_alive() {
            true => stop::part(process, child),
            false => show_to(child, heir),
        }
    }
}

/// Tells the parent that lent its memory to `process` (`vfork`) that it is free again.
pub fn return_memory(process: &Process) {
    if let Some(lender) = process.lender.take() {
        lender.has_lent_memory.set(false);
        scheduler::wake(lender);
    }
}
