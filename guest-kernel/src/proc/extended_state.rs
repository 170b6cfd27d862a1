//! Threads' extended states (`arch::extended_state`): the running thread's is in the CPU;
//! another one has a copy, if it was in use when it last ran.

use arch::extended_state::{in_use, reset};
use mm::OutOfMemory;
use mm::extended_state::ExtendedState;

use crate::proc::exit;
use crate::proc::signal::Signal;
use crate::proc::thread::Thread;
use crate::proc::wait_status::WaitStatus;

/// A copy of the CPU's for a new thread, which needs none if nothing is in use.
///
/// # Errors
/// There is no memory.
pub(super) fn for_new_thread() -> Result<Option<ExtendedState>, OutOfMemory> {
    match in_use() {
        0 => Ok(None),
        _ => ExtendedState::of_cpu().map(Some),
    }
}

/// Starts anew, as a program does and a handler.
pub(super) fn start_anew() {
    if in_use() != 0 {
        reset();
    }
}

/// Takes the CPU's from `thread`, and gives it that of `next`.
#[inline]
pub(super) fn switch(thread: &Thread, next: &Thread) {
    let in_use = in_use();
    if in_use != 0 || ExtendedState::exists() {
        exchange(thread, next, in_use);
    }
}

#[inline(never)]
fn exchange(thread: &Thread, next: &Thread, in_use: u64) {
    thread.save(in_use);
    next.load(in_use);
}

/// Gives the CPU that of `next`, where nobody wants the one that is there.
pub(super) fn load(next: &Thread) {
    next.load(in_use());
}

impl Thread {
    /// Copies the CPU's, of which these components are in use. The memory for it stays: a
    /// thread that has used it once will do so again.
    fn save(&self, in_use: u64) {
        let mut copy = self.extended_state.borrow_mut();
        if copy.is_none() && in_use != 0 {
            *copy = ExtendedState::new().ok();
        }
        match copy.as_mut() {
            Some(copy) => copy.save(in_use),
            None if in_use == 0 => {}
            // As for a page that the program touches and cannot have.
            None => exit::doom(self.process(), WaitStatus::killed(Signal::SIGKILL)),
        }
    }

    /// Loads it into the CPU, in which these components are in use.
    fn load(&self, in_use: u64) {
        match self.extended_state.borrow().as_ref() {
            Some(copy) => copy.load(),
            None if in_use == 0 => {}
            None => reset(),
        }
    }
}
