//! Processes that are stopped and continued (job control).
//!
//! The first thread that attends to a stop signal stops the process: it interrupts the
//! others, and each waits where it would return to ring 3.

use crate::proc::process::{INIT, Process};
use crate::proc::scheduler;
use crate::proc::signal::{self, ActionFlags, Cause, DefaultAction, Signal};
use crate::proc::table;
use crate::proc::thread::{CpuTime, Thread};
use crate::proc::wait_status::WaitStatus;

const STOPS: [Signal; 4] = [
    Signal::SIGSTOP,
    Signal::SIGTSTP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
];

impl Process {
    /// Whether its threads are not to run.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped.get()
    }
}

/// Stop signals and SIGCONT cancel each other as they are sent, even if blocked or ignored.
pub fn note(process: &Process, signal: Signal) {
    if signal == Signal::SIGCONT {
        STOPS.iter().for_each(|stop| process.forget(*stop));
        go_on(process);
    } else if signal.default_action() == DefaultAction::Stop {
        process.forget(Signal::SIGCONT);
    }
}

/// Whether `parent` is outside of its child's process group, but in its session: it could
/// continue the group after a stop.
fn looks_after(parent: &Process, child: &Process) -> bool {
    parent.group() != child.group() && parent.session() == child.session()
}

/// Whether a process group is orphaned.
pub fn is_orphaned(group: u32) -> bool {
    !alive_in(group).any(|member| {
        let parent = member.parent.get().filter(|parent| parent.is_alive());
        parent.is_some_and(|parent| looks_after(parent, member))
    })
}

fn alive_in(group: u32) -> impl Iterator<Item = &'static Process> {
    table::processes().filter(move |process| process.is_alive() && process.group() == group)
}

/// `parent` is not that of `child` any more, because one of them has ended. If the child's
/// group is orphaned now, its stopped processes could never continue: they are sent SIGHUP
/// and SIGCONT.
pub fn part(parent: &Process, child: &Process) {
    let group = child.group();
    if looks_after(parent, child) && alive_in(group).any(Process::is_stopped) && is_orphaned(group)
    {
        for signal in [Signal::SIGHUP, Signal::SIGCONT] {
            signal::send_to_group(group, signal);
        }
    }
}

/// Stops the current process; not init, on which all others depend, nor by the terminal's
/// signals an orphaned group.
pub fn stop(process: &'static Process, signal: Signal) {
    let is_by_terminal = signal != Signal::SIGSTOP;
    if process.pid() == INIT || is_by_terminal && is_orphaned(process.group()) {
        return;
    }
    process.is_stopped.set(true);
    for thread in process.threads() {
        thread.attention.set(true);
        scheduler::wake(thread);
    }
    tell_parent(process, WaitStatus::stopped(signal));
}

fn go_on(process: &Process) {
    if process.is_stopped.take() {
        process.goes_on.wake_all();
        tell_parent(process, WaitStatus::continued());
    }
}

fn tell_parent(process: &Process, status: WaitStatus) {
    process.news.set(Some(status));
    let Some(parent) = process.parent.get() else {
        return;
    };
    parent.child_ended.wake_all();
    let flags = parent.action(Signal::SIGCHLD).flags;
    if !flags.contains(ActionFlags::NO_CHILD_STOP) {
        tell(parent, Signal::SIGCHLD, process, status, process.cpu_time());
    }
}

/// Sends `signal` to the parent of a child that has ended, stopped or gone on, and has used so
/// much.
pub fn tell(parent: &Process, signal: Signal, child: &Process, status: WaitStatus, used: CpuTime) {
    let (code, status) = status.code_and_status();
    let cause = Cause::child(child.identity(), code, status, used);
    // The sender has no use for an error.
    let _ = signal::send_for(parent, signal, cause);
}

/// Waits, as the current thread, until its process goes on or a signal comes; the thread
/// has to attend to it again.
pub fn wait(thread: &'static Thread) {
    thread.attention.set(false);
    // Woken or interrupted: either way the caller checks again.
    let _ = thread.process().goes_on.sleep();
    thread.attention.set(false);
}
