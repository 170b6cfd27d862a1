//! Who runs on each CPU of the guest, and which calls are under way.

use std::collections::HashMap;

use super::clock::TscClock;
use super::event::{Call, ThreadId};
use super::record::Malformed;
use super::ring::Ring;

/// Threads with a call under way that are kept apart; the kernel has fewer at a time.
pub(super) const MAX_CALLS: usize = 1 << 16;

/// What is known of the guest from its records.
pub(super) struct Guest {
    pub(super) ring: Ring,
    pub(super) clock: TscClock,
    /// The thread that has each CPU; `None` while that CPU is idle.
    pub(super) running: Vec<Option<ThreadId>>,
    pub(super) calls: HashMap<u32, Call>,
    pub(super) buffer: Vec<u64>,
}

impl Guest {
    /// The thread that has a CPU.
    pub(super) fn running(&self, cpu: usize) -> Option<ThreadId> {
        self.running.get(cpu).copied().flatten()
    }

    /// Keeps the call of a thread until it returns.
    pub(super) fn keep(&mut self, mut call: Call) -> Result<(), Malformed> {
        let running = self.running(call.cpu);
        let thread = running.map_or(0, |thread| thread.tid);
        call.pid = running.map_or(0, |thread| thread.pid);
        if self.calls.len() >= MAX_CALLS && !self.calls.contains_key(&thread) {
            return Err(Malformed::Calls);
        }
        self.calls.insert(thread, call);
        Ok(())
    }

    /// The call of the thread that has this CPU, which is `number` if its records make sense.
    pub(super) fn take(&mut self, cpu: usize, number: u64, ns: u64) -> Call {
        let thread = self.running(cpu).map_or(0, |thread| thread.tid);
        match self.calls.remove(&thread) {
            Some(mut call) if call.number == number => {
                call.stops(ns);
                call
            }
            _ => Call::unknown(number, ns, cpu),
        }
    }

    /// A CPU goes from one thread to another; of either there may be none.
    pub(super) fn switch(&mut self, from: Option<ThreadId>, to: Option<ThreadId>, ns: u64) {
        if let Some(call) = from.and_then(|thread| self.calls.get_mut(&thread.tid)) {
            call.stops(ns);
        }
        if let Some(call) = to.and_then(|thread| self.calls.get_mut(&thread.tid)) {
            call.runs(ns);
        }
    }
}
