//! Tracing: every event of a run, one by one and in time order (`vmm trace`).
//!
//! ```text
//!   guest kernel ──ring──► ring ─► record ─┐
//!                                          ├─► Tracer ─filter─► sinks: text, perfetto, summary
//!   run loop ─────exits────────────────────┤   who runs, calls under way
//!   emulator ─────translation──────────────┘
//! ```
//!
//! The tracer belongs to the thread that serves an exit. It reads the ring before it reports
//! a VM exit, or that a vCPU has slept, while that vCPU is stopped: so the order of its events
//! needs no clock. Times are nanoseconds of guest time since the machine was made; the guest's
//! are its time-stamp counter, brought into the span since the last event.
//!
//! The ring is untrusted: its contents are checked, memory for them is bounded, and an
//! invalid ring ends the guest's events with a note. A kernel without a ring has VM exits
//! alone.
//!
//! Rejected: a thread of its own for the output, which would need a queue without bound or
//! a guest that waits for it. A sink that is slow makes the guest slow, as with `strace`.

pub(crate) mod arguments;
mod calls;
mod clock;
mod event;
mod filter;
mod guest;
mod names;
mod perfetto;
mod record;
mod ring;
mod sink;
mod summary;
pub(crate) mod text;
mod translation;

use std::collections::HashMap;
use std::io;
use std::mem;
use std::sync::Arc;

pub(crate) use calls::call_numbers;
pub use event::{Call, Chunk, Event, ExitEvent, FaultEvent, ThreadId, TrapEvent, What};
pub use filter::{Class, Filter, UnknownClass};
pub use perfetto::PerfettoSink;
pub use ring::Ring;
pub use sink::TraceSink;
pub use summary::{SummarySink, Unit};
pub use text::TextSink;
pub use translation::TranslationEvent;

use crate::cpu::{CpuError, GuestClock, Location, Vcpu};
use crate::exit::VmExit;
use crate::report::Namer;
use clock::TscClock;
use guest::Guest;
use record::{Malformed, Record, Stamp};
use translation::Translations;

/// What to trace and where to.
pub struct Trace {
    /// Which events.
    pub filter: Filter,
    /// Who gets them.
    pub sinks: Vec<Box<dyn TraceSink>>,
}

/// Turns records of the ring and exits of the run loop into events.
pub struct Tracer {
    trace: Trace,
    /// CPUs of the machine.
    cpus: usize,
    guest: Option<Guest>,
    /// A note to be written before the first event.
    note: Option<String>,
    /// The time of the last event.
    last_ns: u64,
    /// The exit that is being served.
    exit: Option<(u64, ExitEvent)>,
    translations: Option<Translations>,
    error: Option<io::Error>,
}

impl Tracer {
    /// Tells the kernel of a machine with `cpus` CPUs, of which `vcpu` is the first and none has
    /// run yet, what is wanted; it says that in `ring`.
    ///
    /// # Errors
    /// The vCPU's time cannot be read.
    pub fn start(
        trace: Trace,
        ring: Option<Ring>,
        cpus: usize,
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
                    running: vec![None; cpus],
                    calls: HashMap::new(),
                    buffer: Vec::new(),
                });
            }
        }
        Ok(Self {
            trace,
            cpus,
            guest,
            note,
            last_ns: 0,
            exit: None,
            translations: None,
            error: None,
        })
    }

    /// Has `vcpus`, none of which has run yet, tell of what they translate, if that is wanted;
    /// `namer` is to know the guest's functions.
    pub fn tell_translations(&mut self, vcpus: &mut [Box<dyn Vcpu>], namer: Namer) {
        if self.trace.filter.has_translations() {
            self.translations = Translations::of(vcpus, namer);
        }
    }

    /// A vCPU has left the guest, or goes on: what the guest has said until now comes first.
    #[cold]
    pub fn catch_up(&mut self, clock: &GuestClock) {
        let now_ns = clock.now_ns();
        if let Some(translations) = &mut self.translations {
            translations.read();
        }
        self.drain(now_ns);
        self.translations_until(now_ns);
        self.last_ns = self.last_ns.max(now_ns);
    }

    /// The exit has been served, so what it read is there.
    #[cold]
    pub fn exit_served(&mut self, exit: &VmExit<'_>, clock: &GuestClock) {
        self.exit = Some((clock.now_ns(), ExitEvent::new(exit)));
    }

    /// Reports the exit, at which this vCPU's guest is at `location`.
    #[cold]
    pub fn exit_ends(&mut self, location: Location, cpu: usize) {
        let Some((served_ns, mut exit)) = self.exit.take() else {
            return;
        };
        exit.location = location;
        exit.served_ns = served_ns.saturating_sub(self.last_ns);
        let ns = self.last_ns;
        self.emit(ns, Some(cpu), self.running(cpu), &What::Exit(&exit));
        self.last_ns = self.last_ns.max(served_ns);
    }

    /// This vCPU has waited for an interrupt.
    #[cold]
    pub fn slept(&mut self, since_ns: u64, cpu: usize, clock: &GuestClock) {
        self.catch_up(clock);
        let (ns, thread) = (self.last_ns, self.running(cpu));
        self.emit(ns, Some(cpu), thread, &What::Slept { since_ns });
    }

    /// The guest waits: flushes the trace, so that the reader sees why.
    #[cold]
    pub fn flush(&mut self) {
        self.with_sinks(|sink| sink.flush());
    }

    /// The run has ended. Returns the failure of the host that ended tracing, if any.
    pub fn finish(mut self, clock: &GuestClock) -> Option<io::Error> {
        self.catch_up(clock);
        let ns = self.last_ns;
        self.abandon_calls(ns);
        self.with_sinks(|sink| sink.finish(ns));
        self.error
    }

    fn running(&self, cpu: usize) -> Option<ThreadId> {
        self.guest.as_ref().and_then(|guest| guest.running(cpu))
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
            result = record::parse(rest).and_then(|(stamp, record, after)| {
                rest = after;
                self.record(stamp, record, now_ns)
            });
        }
        words.clear();
        match (result, &mut self.guest) {
            (Ok(()), Some(guest)) => guest.buffer = words,
            (Err(error), Some(guest)) => {
                guest.ring.want(0);
                self.abandon_calls(self.last_ns);
                self.guest = None;
                let note = format!("the guest's trace ends here, its ring is broken: {error}");
                self.emit(self.last_ns, None, None, &What::Note(&note));
            }
            (_, None) => {}
        }
    }

    /// Reports what was translated until then.
    fn translations_until(&mut self, ns: u64) {
        while let Some(translations) = &mut self.translations
            && let Some(next) = translations.next_until(ns)
        {
            self.last_ns = self.last_ns.max(next.ns);
            let (namer, cpu) = (Arc::clone(&translations.namer), next.cpu.into());
            for block in &next.blocks {
                let event = TranslationEvent::new(&next, block, &namer);
                let thread = self.running(cpu);
                self.emit(self.last_ns, Some(cpu), thread, &What::Translation(&event));
            }
        }
    }

    /// Reports one record.
    fn record(&mut self, stamp: Stamp, record: Record, now_ns: u64) -> Result<(), Malformed> {
        let Stamp { tsc, cpu } = stamp;
        let Some(clock) = self.guest.as_ref().map(|guest| guest.clock) else {
            return Ok(());
        };
        let ns = clock.ns(tsc).min(now_ns);
        self.translations_until(ns);
        let Some(guest) = &mut self.guest else {
            return Ok(());
        };
        let ns = ns.max(self.last_ns);
        self.last_ns = ns;
        let has_cpu = guest.running.get_mut(cpu).ok_or(Malformed::Cpu)?;
        let running = *has_cpu;
        let on = Some(cpu);
        match record {
            Record::Call(mut call) => {
                (call.started_ns, call.cpu) = (ns, cpu);
                call.runs(ns);
                self.emit(ns, on, running, &What::Call(&call));
                if let Some(guest) = &mut self.guest {
                    guest.keep(call)?;
                }
            }
            Record::Return {
                number,
                result,
                mut chunks,
            } => {
                let mut call = guest.take(cpu, number, ns);
                call.chunks.append(&mut chunks);
                let call = &call;
                self.emit(ns, on, running, &What::Return { call, result });
            }
            Record::Run { thread, name } => {
                *has_cpu = Some(thread);
                if running != Some(thread) {
                    guest.switch(running, Some(thread), ns);
                    let name = &name;
                    self.emit(ns, on, running, &What::Switch { thread, name });
                }
            }
            Record::Idle => {
                if has_cpu.take().is_some() {
                    guest.switch(running, None, ns);
                    self.emit(ns, on, running, &What::Idle);
                }
            }
            Record::End { thread, status } => {
                if let Some(mut call) = guest.calls.remove(&thread.tid) {
                    call.stops(ns);
                    self.emit(ns, on, Some(thread), &What::Abandoned(&call));
                }
                self.emit(ns, on, Some(thread), &What::End { thread, status });
            }
            Record::Trap(trap) => self.emit(ns, on, running, &What::Trap(trap)),
            Record::Fault(fault) => self.emit(ns, on, running, &What::Fault(fault)),
            Record::Tick(count) => self.emit(ns, on, running, &What::Tick(count)),
            Record::Start(thread) => self.emit(ns, on, running, &What::Start(thread)),
            Record::Exec(name) => self.emit(ns, on, running, &What::Exec(&name)),
        }
        Ok(())
    }

    /// Reports the calls that will never return, in the order of their threads.
    fn abandon_calls(&mut self, ns: u64) {
        let Some(guest) = &mut self.guest else {
            return;
        };
        let mut calls: Vec<_> = mem::take(&mut guest.calls).into_iter().collect();
        calls.sort_unstable_by_key(|&(tid, _)| tid);
        for (tid, mut call) in calls {
            call.stops(ns);
            let thread = ThreadId { pid: call.pid, tid };
            self.emit(ns, Some(call.cpu), Some(thread), &What::Abandoned(&call));
        }
    }

    /// Reports an event of a CPU, or of none.
    fn emit(&mut self, ns: u64, cpu: Option<usize>, thread: Option<ThreadId>, what: &What<'_>) {
        if let Some(note) = self.note.take() {
            let note = Event {
                ns,
                cpu: None,
                thread: None,
                what: What::Note(&note),
            };
            self.with_sinks(|sink| sink.event(&note));
        }
        let event = Event {
            ns,
            cpu: cpu.filter(|_| self.cpus > 1).map(|cpu| cpu as u8),
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
