//! Tracing: every event of a run, one by one and in time order (`vmm trace`).
//!
//! ```text
//!   guest kernel ──ring──► ring ─► record ─┐
//!                                          ├─► Tracer ─filter─► sinks: text, perfetto
//!   run loop ─────exits────────────────────┘   who runs, calls under way
//! ```
//!
//! The tracer belongs to the thread that serves an exit. It reads the ring before it reports a VM exit,
//! while the guest is stopped: so the order of events needs no clock. Times are nanoseconds
//! of guest time since the machine was made; the guest's are its time-stamp counter,
//! brought into the span since the last event.
//!
//! The ring is untrusted: its contents are checked, memory for them is bounded, and an
//! invalid ring ends the guest's events with a note. A kernel without a ring has VM exits
//! alone.
//!
//! Rejected: a thread of its own for the output, which would need a queue without bound or
//! a guest that waits for it. A sink that is slow makes the guest slow, as with `strace`.

mod arguments;
mod calls;
mod event;
mod filter;
mod names;
mod perfetto;
mod record;
mod ring;
mod text;

use std::collections::HashMap;
use std::io;
use std::mem;

pub use event::{Call, Chunk, Event, ExitEvent, FaultEvent, ThreadId, TrapEvent, What};
pub use filter::{Class, Filter, UnknownClass};
pub use perfetto::PerfettoSink;
pub use text::TextSink;

use crate::cpu::{CpuError, GuestClock, Location, Vcpu};
use crate::exit::VmExit;
use record::{Malformed, Record};
pub(crate) use ring::Ring;

/// A destination of events. Its memory must be bounded: guests make any number of events.
pub trait TraceSink: Send {
    /// Takes one event; they come in the order of their times.
    ///
    /// # Errors
    /// The host cannot write it: the trace ends.
    fn event(&mut self, event: &Event<'_>) -> io::Result<()>;

    /// Flushes the events so far, as the guest waits.
    ///
    /// # Errors
    /// As for [`event`](Self::event).
    fn flush(&mut self) -> io::Result<()>;

    /// The run has ended, at this time.
    ///
    /// # Errors
    /// As for [`event`](Self::event).
    fn finish(&mut self, ns: u64) -> io::Result<()>;
}

/// What to trace and where to.
pub struct Trace {
    /// Which events.
    pub filter: Filter,
    /// Who gets them.
    pub sinks: Vec<Box<dyn TraceSink>>,
}

/// Threads with a call under way that are kept apart; the kernel has fewer at a time.
const MAX_CALLS: usize = 1 << 16;

/// Turns records of the ring and exits of the run loop into events.
pub(crate) struct Tracer {
    trace: Trace,
    guest: Option<Guest>,
    /// A note to be written before the first event.
    note: Option<String>,
    /// The time of the last event.
    last_ns: u64,
    /// The exit that is being served.
    exit: Option<(u64, ExitEvent)>,
    error: Option<io::Error>,
}

/// What is known of the guest from its records.
struct Guest {
    ring: Ring,
    clock: TscClock,
    /// The thread that has the CPU; `None` while the CPU is idle.
    running: Option<ThreadId>,
    calls: HashMap<u32, Call>,
    buffer: Vec<u64>,
}

impl Guest {
    /// Keeps the call of a thread until it returns.
    fn keep(&mut self, mut call: Call) -> Result<(), Malformed> {
        let thread = self.running.map_or(0, |thread| thread.tid);
        call.pid = self.running.map_or(0, |thread| thread.pid);
        if self.calls.len() >= MAX_CALLS && !self.calls.contains_key(&thread) {
            return Err(Malformed::Calls);
        }
        self.calls.insert(thread, call);
        Ok(())
    }

    /// The call of the thread that runs, which is `number` if its records make sense.
    fn take(&mut self, number: u64, ns: u64) -> Call {
        let thread = self.running.map_or(0, |thread| thread.tid);
        match self.calls.remove(&thread) {
            Some(call) if call.number == number => call,
            _ => Call::unknown(number, ns),
        }
    }
}

/// The guest's time-stamp counter as guest time.
#[derive(Clone, Copy, Debug)]
struct TscClock {
    khz: u32,
    /// What to add to the counter's nanoseconds, modulo 2^64.
    offset_ns: u64,
}

impl TscClock {
    fn of(vcpu: &mut dyn Vcpu) -> Result<Self, CpuError> {
        let mut clock = Self {
            khz: vcpu.tsc_khz().max(1),
            offset_ns: 0,
        };
        let tsc = vcpu.state()?.tsc;
        clock.offset_ns = vcpu.clock().now_ns().wrapping_sub(clock.ns(tsc));
        Ok(clock)
    }

    fn ns(self, tsc: u64) -> u64 {
        let ns = u128::from(tsc) * 1_000_000 / u128::from(self.khz);
        (ns as u64).wrapping_add(self.offset_ns)
    }
}

impl Tracer {
    /// Tells the kernel of `vcpu`'s machine, which has not run yet, what is wanted; it says
    /// that in `ring`.
    pub(crate) fn start(
        trace: Trace,
        ring: Option<Ring>,
        vcpu: &mut dyn Vcpu,
    ) -> Result<Self, CpuError> {
        let wanted = trace.filter.wanted();
        let (mut guest, mut note) = (None, None);
        match ring {
            _ if wanted == 0 => {}
            None => note = Some("this kernel has no trace ring: VM exits only".to_owned()),
            Some(ring) => {
                ring.want(wanted);
                guest = Some(Guest {
                    ring,
                    clock: TscClock::of(vcpu)?,
                    running: None,
                    calls: HashMap::new(),
                    buffer: Vec::new(),
                });
            }
        }
        Ok(Self {
            trace,
            guest,
            note,
            last_ns: 0,
            exit: None,
            error: None,
        })
    }

    /// The vCPU has left the guest: what the guest has said until now comes first.
    #[cold]
    pub(crate) fn exit_begins(&mut self, clock: &GuestClock) {
        let now_ns = clock.now_ns();
        self.drain(now_ns);
        self.last_ns = self.last_ns.max(now_ns);
    }

    /// The exit has been served, so what it read is there.
    #[cold]
    pub(crate) fn exit_served(&mut self, exit: &VmExit<'_>, clock: &GuestClock) {
        self.exit = Some((clock.now_ns(), ExitEvent::new(exit)));
    }

    /// Reports the exit, at which the guest is at `location`; of this vCPU, if there are
    /// several.
    #[cold]
    pub(crate) fn exit_ends(&mut self, location: Location, cpu: Option<u8>) {
        let Some((served_ns, mut exit)) = self.exit.take() else {
            return;
        };
        (exit.location, exit.cpu) = (location, cpu);
        exit.served_ns = served_ns.saturating_sub(self.last_ns);
        let ns = self.last_ns;
        self.emit(ns, self.running(), &What::Exit(&exit));
        self.last_ns = self.last_ns.max(served_ns);
    }

    /// The vCPU, of which it is said which if there are several, has waited for an interrupt.
    #[cold]
    pub(crate) fn slept(&mut self, since_ns: u64, cpu: Option<u8>, clock: &GuestClock) {
        self.last_ns = self.last_ns.max(clock.now_ns());
        let ns = self.last_ns;
        self.emit(ns, self.running(), &What::Slept { cpu, since_ns });
    }

    /// The guest waits: flushes the trace, so that the reader sees why.
    #[cold]
    pub(crate) fn flush(&mut self) {
        self.with_sinks(|sink| sink.flush());
    }

    /// The run has ended. Returns the failure of the host that ended tracing, if any.
    pub(crate) fn finish(mut self, clock: &GuestClock) -> Option<io::Error> {
        let now_ns = clock.now_ns();
        self.drain(now_ns);
        let ns = self.last_ns.max(now_ns);
        self.abandon_calls(ns);
        self.with_sinks(|sink| sink.finish(ns));
        self.error
    }

    fn running(&self) -> Option<ThreadId> {
        self.guest.as_ref().and_then(|guest| guest.running)
    }

    /// Reports all records in the ring.
    fn drain(&mut self, now_ns: u64) {
        let Some(guest) = &mut self.guest else {
            return;
        };
        let mut words = mem::take(&mut guest.buffer);
        let mut result = guest.ring.take(&mut words);
        let mut rest = words.as_slice();
        while result.is_ok() && !rest.is_empty() {
            result = record::parse(rest).and_then(|(tsc, record, after)| {
                rest = after;
                self.record(tsc, record, now_ns)
            });
        }
        words.clear();
        match (result, &mut self.guest) {
            (Ok(()), Some(guest)) => guest.buffer = words,
            (Err(error), Some(guest)) => {
                guest.ring.want(0);
                self.abandon_calls(now_ns);
                self.guest = None;
                let note = format!("the guest's trace ends here, its ring is broken: {error}");
                self.emit(self.last_ns, None, &What::Note(&note));
            }
            (_, None) => {}
        }
    }

    /// Reports one record.
    fn record(&mut self, tsc: u64, record: Record, now_ns: u64) -> Result<(), Malformed> {
        let Some(guest) = &mut self.guest else {
            return Ok(());
        };
        let ns = guest.clock.ns(tsc).min(now_ns).max(self.last_ns);
        self.last_ns = ns;
        let running = guest.running;
        match record {
            Record::Call(mut call) => {
                call.started_ns = ns;
                self.emit(ns, running, &What::Call(&call));
                if let Some(guest) = &mut self.guest {
                    guest.keep(call)?;
                }
            }
            Record::Return {
                number,
                result,
                mut chunks,
            } => {
                let mut call = guest.take(number, ns);
                call.chunks.append(&mut chunks);
                let call = &call;
                self.emit(ns, running, &What::Return { call, result });
            }
            Record::Run { thread, name } => {
                let before = guest.running.replace(thread);
                if before != Some(thread) {
                    let name = &name;
                    self.emit(ns, running, &What::Switch { thread, name });
                }
            }
            Record::Idle => {
                if guest.running.take().is_some() {
                    self.emit(ns, running, &What::Idle);
                }
            }
            Record::End { thread, status } => {
                if let Some(call) = guest.calls.remove(&thread.tid) {
                    self.emit(ns, Some(thread), &What::Abandoned(&call));
                }
                self.emit(ns, Some(thread), &What::End { thread, status });
            }
            Record::Trap(trap) => self.emit(ns, running, &What::Trap(trap)),
            Record::Fault(fault) => self.emit(ns, running, &What::Fault(fault)),
            Record::Tick(count) => self.emit(ns, running, &What::Tick(count)),
            Record::Start(thread) => self.emit(ns, running, &What::Start(thread)),
            Record::Exec(name) => self.emit(ns, running, &What::Exec(&name)),
        }
        Ok(())
    }

    /// Reports the calls that will never return, in the order of their threads.
    fn abandon_calls(&mut self, ns: u64) {
        let Some(guest) = &mut self.guest else {
            return;
        };
        let running = guest.running;
        let mut calls: Vec<_> = mem::take(&mut guest.calls).into_iter().collect();
        calls.sort_unstable_by_key(|&(tid, _)| tid);
        for (tid, call) in calls {
            let pid = running.filter(|thread| thread.tid == tid);
            let thread = pid.unwrap_or(ThreadId { pid: call.pid, tid });
            self.emit(ns, Some(thread), &What::Abandoned(&call));
        }
    }

    fn emit(&mut self, ns: u64, thread: Option<ThreadId>, what: &What<'_>) {
        if let Some(note) = self.note.take() {
            let what = What::Note(&note);
            let thread = None;
            self.with_sinks(|sink| sink.event(&Event { ns, thread, what }));
        }
        let event = Event {
            ns,
            thread,
            what: *what,
        };
        if self.trace.filter.lets_pass(&event) {
            self.with_sinks(|sink| sink.event(&event));
        }
    }

    /// Does something with each sink; the first failure ends tracing.
    fn with_sinks(&mut self, act: impl Fn(&mut dyn TraceSink) -> io::Result<()>) {
        for sink in &mut self.trace.sinks {
            if let Err(error) = act(sink.as_mut()) {
                self.error.get_or_insert(error);
            }
        }
        if self.error.is_some() {
            self.trace.sinks.clear();
            if let Some(guest) = self.guest.take() {
                guest.ring.want(0);
            }
        }
    }
}

#[cfg(test)]
mod tests;
