//! Making `KVM_RUN` return from another thread, without a race and without a handler.
//!
//! A kick before `KVM_RUN` stays pending and ends it at once, a kick during it interrupts it:
//! see `kick_signal`. One signal at a time is under way: the host queues real-time signals, and
//! would keep each kick of a thread that does not take them.
//!
//! If others send the same signal, to the process or to this thread, the guest is interrupted
//! too: the thread then takes it as it would without a guest. Rejected: to pass it on to the
//! process, from which this thread may get it again and again. Rejected: `immediate_exit` set
//! from a signal handler, which needs a handler that reaches the vCPU's mapping through a
//! thread-local pointer.

use super::kick_signal::{self, Origin, Receiver};
use crate::Kick;
use crate::sync::{Mutex, PoisonError};

/// Where kicks go. The thread is known from its first run until the vCPU is detached.
#[derive(Debug, Default)]
pub struct KickTarget {
    state: Mutex<TargetState>,
}

#[derive(Debug, Default)]
struct TargetState {
    thread: Option<Receiver>,
    /// Whether a kick has not been taken: a signal to the thread, or, while no thread runs the
    /// vCPU, none yet.
    pending: bool,
}

impl Kick for KickTarget {
    fn kick(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut state.pending, true) {
            return;
        }
        if let Some(thread) = &state.thread {
            // The thread is alive: the vCPU is detached from it, under this lock, before it
            // ends. The host may be out of signals: the next kick tries again.
            state.pending = kick_signal::send(thread);
        }
    }
}

impl KickTarget {
    /// Makes the calling thread, which is `receiver`, the target; true if a kick came before.
    pub fn attach(&self, receiver: Receiver) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.thread = Some(receiver);
        std::mem::take(&mut state.pending)
    }

    /// Keeps kicks pending until a thread runs the vCPU again.
    pub fn detach(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.thread = None;
    }

    /// Takes back the signals that made `KVM_RUN` return. If one is no kick, it is delivered.
    pub fn acknowledge(&self) {
        // A kick must not be delivered, so there is none meanwhile.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.pending = false;
        let mut is_foreign = false;
        while let Some(origin) = kick_signal::take() {
            is_foreign |= origin == Origin::Foreign;
        }
        if is_foreign {
            kick_signal::deliver();
        }
    }
}
