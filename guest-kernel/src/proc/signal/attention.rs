//! What a thread does before it returns to ring 3: end, stop, or call a handler.
//!
//! A system call that a signal has interrupted failed with one of two errors that no
//! program sees. If a handler is called it becomes EINTR, or the call is restarted after
//! the handler, as the error and the handler's flags say; without a handler the call is
//! restarted at once, with its original deadline.

use abi::Errno;
use abi::errno::AfterHandler;
use arch::trap::UserContext;

use crate::proc::rseq;
use crate::proc::signal::sending::{is_deadly, is_killed, take};
use crate::proc::signal::{Action, ActionFlags, Cause, DefaultAction, Reaction, Signal, frame};
use crate::proc::thread::Thread;
use crate::proc::wait_status::WaitStatus;
use crate::proc::{exit, stop};

/// A system call that a signal has interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterruptedCall {
    /// Its number.
    pub number: u64,
    /// When it is restarted after a handler.
    pub restarts: AfterHandler,
}

impl InterruptedCall {
    fn goes_on_after(&self, action: Action) -> bool {
        match self.restarts {
            AfterHandler::AsItSays => action.flags.contains(ActionFlags::RESTART),
            AfterHandler::Always => true,
            AfterHandler::Never => false,
        }
    }
}

impl Thread {
    /// Records that its system call failed with `errno` and may have to be restarted.
    pub fn note_failed_call(&self, number: u64, errno: Errno) {
        if let Some(restarts) = errno.restarts() {
            self.interrupted_call
                .set(Some(InterruptedCall { number, restarts }));
        }
    }
}

/// Whether the thread will not return to ring 3.
pub fn will_end(thread: &Thread) -> bool {
    thread.doomed.get() || is_deadly(thread)
}

/// Does what the current thread must do before it returns to ring 3 in state `context`.
pub fn attend(thread: &'static Thread, context: &mut UserContext) {
    let process = thread.process();
    let mut call = thread.interrupted_call.take();
    thread.attention.set(false);
    loop {
        if thread.doomed.get() {
            exit::end_thread(WaitStatus::exited(0));
        }
        if process.is_stopped() && !is_killed(thread) {
            stop::wait(thread);
            continue;
        }
        let Some((signal, cause)) = take(thread) else {
            break;
        };
        let action = match process.reaction(signal) {
            Reaction::Ignore | Reaction::Default(DefaultAction::Ignore) => continue,
            Reaction::Default(DefaultAction::End) => exit::end_process(WaitStatus::killed(signal)),
            Reaction::Default(DefaultAction::Stop) => {
                stop::stop(process, signal);
                continue;
            }
            Reaction::Call(action) => action,
        };
        if let Some(call) = call.take().filter(|call| call.goes_on_after(action)) {
            context.repeat_call(call.number);
        }
        thread.wait_deadline.set(None);
        frame::reset_if_wanted(process, signal, action);
        if frame::push(thread, context, signal, action, cause, None).is_err() {
            handle_lost_frame(signal, context);
        }
    }
    rseq::leave_section_or_end(thread, context);
    if let Some(call) = call {
        context.repeat_call(call.number);
    }
    if let Some(blocked) = thread.saved_blocked_signals.take() {
        super::set_blocked(thread, blocked);
        // A signal may be pending that only the wait blocked; nothing else is saved now.
        if thread.needs_attention() {
            attend(thread, context);
        }
    }
}

/// A signal's frame could not be written: this is a fault of its own, unless there was no room
/// for the frame of one.
fn handle_lost_frame(signal: Signal, context: &mut UserContext) {
    let fault = Signal::SIGSEGV;
    if signal == fault || !frame::handle_fault(context, fault, Cause::KERNEL, None) {
        exit::end_process(WaitStatus::killed(fault));
    }
}
