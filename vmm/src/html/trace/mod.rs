//! The page of a trace: a timeline and a list of all events, drawn by `timeline*.js`.
//!
//! ```text
//! [page, up to its data]
//! <script class="c" data-s="SUMMARY"> CHUNK </script>    for each 256 events
//! <script id="data"> strings, threads, counts </script>
//! [scripts]
//! ```
//!
//! The page is written as the guest goes on, and what is kept of it here has bounds. A summary
//! says what was spent in which state and how many events of a kind there are: of a chunk that is
//! narrower than a few points of the screen it is all that is drawn, so what the browser reads at
//! a time depends on the screen's width and not on the trace's length. Rejected: levels by time,
//! since nobody knows beforehand how long the run will be, and a trace is dense in some places.
//!
//! A CPU is in the VMM while an exit is served, idle while nobody wants it, and otherwise in the
//! ring of what was seen last: there is no event for the return from a trap, so ring 3 goes on
//! where its page fault has been resolved or its tick been counted.

mod chunk;
mod page;

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use serde_json::{Value, json};

use super::escaped;
use crate::printable::printable;
use crate::report::{ExitDetail, SCHEMA, text as report};
use crate::trace::arguments::{self, call_name};
use crate::trace::text::{fault_text, has_error_code, trap_name, value_text};
use crate::trace::{Call, Event, ExitEvent, ThreadId, TraceSink, TrapEvent, What};
use chunk::{Chunks, KINDS, Kind, State};
use page::page;

/// Events in a page; more are counted and left out, since no browser would open it.
const MOST_EVENTS: u64 = 4_000_000;
/// Strings that have a number, and the longest of them; others stand where they are used.
const MOST_STRINGS: usize = 1 << 16;
const LONGEST_STRING: usize = 64;
/// Threads that are told apart; others have the number of none.
const MOST_THREADS: usize = 1 << 16;

/// Calls by which signals are sent and left.
const SIGNAL_CALLS: [&str; 5] = ["kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_sigreturn"];

/// Writes events as a page.
pub struct HtmlSink<W> {
    writer: W,
    /// What of the page comes before the events, until it is written, and after them.
    head: Option<String>,
    tail: String,
    what: String,
    chunks: Chunks,
    threads: HashMap<ThreadId, usize>,
    /// By number: process, thread, name.
    names: Vec<(ThreadId, String)>,
    /// Threads with a call under way.
    calling: HashSet<usize>,
    strings: HashMap<String, usize>,
    kinds: [u64; KINDS],
    signals: u64,
    left_out: u64,
}

impl<W: Write + Send> HtmlSink<W> {
    /// A page to `writer` about the run of `what`: a program and its arguments.
    pub fn new(writer: W, what: &str) -> Self {
        let (head, tail) = page(what);
        Self {
            writer,
            head: Some(head),
            tail,
            what: what.to_owned(),
            chunks: Chunks::new(),
            threads: HashMap::new(),
            names: vec![(ThreadId { pid: 0, tid: 0 }, "kernel".to_owned())],
            calling: HashSet::new(),
            strings: HashMap::new(),
            kinds: [0; KINDS],
            signals: 0,
            left_out: 0,
        }
    }

    /// The number of a thread.
    fn thread(&mut self, thread: Option<ThreadId>) -> usize {
        let Some(thread) = thread else {
            return 0;
        };
        if let Some(&number) = self.threads.get(&thread) {
            return number;
        }
        if self.names.len() >= MOST_THREADS {
            return 0;
        }
        self.threads.insert(thread, self.names.len());
        self.names.push((thread, String::new()));
        self.names.len() - 1
    }

    fn name(&mut self, thread: usize, name: &str) {
        if let Some((_, known)) = self.names.get_mut(thread).filter(|_| thread > 0) {
            // The last program of a process is the one that it is known for.
            name.clone_into(known);
        }
    }

    /// A string as the page has it: its number, or itself.
    fn string(&mut self, text: &str) -> Value {
        if let Some(&number) = self.strings.get(text) {
            return number.into();
        }
        if self.strings.len() >= MOST_STRINGS || text.len() > LONGEST_STRING {
            return text.into();
        }
        let number = self.strings.len();
        self.strings.insert(text.to_owned(), number);
        number.into()
    }

    /// The ring that this CPU goes on in, if nothing says otherwise.
    fn goes_on(&self, cpu: usize, thread: usize) -> State {
        match &self.chunks.cpus[cpu] {
            cpu if cpu.is_free => State::Idle,
            _ if thread == 0 || self.calling.contains(&thread) => State::Ring0,
            _ => State::Ring3,
        }
    }

    /// Adds an event: what is of its kind alone is `rest`.
    fn add(&mut self, event: &Event<'_>, kind: Kind, rest: &[Value]) -> io::Result<()> {
        self.kinds[kind as usize] += 1;
        if self.kinds.iter().sum::<u64>() > MOST_EVENTS {
            self.left_out += 1;
            self.chunks.close();
            return Ok(());
        }
        let (cpu, thread) = (self.chunks.cpu(event), self.thread(event.thread));
        match self.chunks.add(event.ns, kind, (cpu, thread), rest) {
            true => self.end_chunk(),
            false => Ok(()),
        }
    }

    fn signal(&mut self) {
        self.chunks.add_signal();
        self.signals += 1;
    }

    /// Writes the chunk.
    fn end_chunk(&mut self) -> io::Result<()> {
        if let Some(head) = self.head.take() {
            self.writer.write_all(head.as_bytes())?;
        }
        self.writer.write_all(self.chunks.take().as_bytes())
    }

    fn exit(&mut self, event: &Event<'_>, exit: &ExitEvent) -> io::Result<()> {
        let detail = exit.detail;
        let detail = detail.map_or(ExitDetail::None, |detail| {
            ExitDetail::new(exit.reason, detail)
        });
        let device = report::device(detail);
        let refused = if exit.refused { "refused" } else { "" };
        let rest = [
            self.string(exit.reason.name()),
            self.string(&detail.to_string()),
            self.string(device),
            self.string(&value_text(exit)),
            self.string(&hex(exit.location.rip)),
            exit.location.ring.into(),
            exit.served_ns.into(),
            self.string(refused),
        ];
        let (cpu, thread) = (self.chunks.cpu(event), self.thread(event.thread));
        self.chunks.turn(cpu, event.ns, State::Vmm, thread);
        self.add(event, Kind::Exit, &rest)?;
        let state = match self.chunks.cpus[cpu].is_free {
            true => State::Idle,
            false if exit.location.ring == 3 => State::Ring3,
            false => State::Ring0,
        };
        self.chunks
            .turn(cpu, event.ns.saturating_add(exit.served_ns), state, thread);
        Ok(())
    }

    fn call(&mut self, event: &Event<'_>, call: &Call, result: Option<String>) -> io::Result<()> {
        let name = call_name(call.number);
        if SIGNAL_CALLS.contains(&&*name) {
            self.signal();
        }
        let took = event.ns.saturating_sub(call.started_ns);
        let rest = [
            self.string(&name),
            self.string(&arguments::all(call)),
            result.map_or(Value::Null, |result| self.string(&result)),
            took.into(),
        ];
        let (cpu, thread) = (self.chunks.cpu(event), self.thread(event.thread));
        self.calling.remove(&thread);
        let state = self.goes_on(cpu, thread);
        self.chunks.turn(cpu, event.ns, state, thread);
        self.add(event, Kind::Call, &rest)
    }

    fn trap(&mut self, event: &Event<'_>, trap: TrapEvent) -> io::Result<()> {
        let known = |known: bool, value| if known { hex(value) } else { String::new() };
        let error = known(has_error_code(trap.vector), trap.error);
        let cr2 = known(trap.vector == u64::from(x86::vector::PF), trap.cr2);
        let mut rest = vec![self.string(&trap_name(trap.vector))];
        for value in [trap.rip, trap.cs, trap.rflags, trap.rsp, trap.ss].map(hex) {
            rest.push(self.string(&value));
        }
        rest.extend([self.string(&error), self.string(&cr2)]);
        let (cpu, thread) = (self.chunks.cpu(event), self.thread(event.thread));
        // What interrupts an idle CPU is over in a moment, and nothing need come after it.
        if !self.chunks.cpus[cpu].is_free {
            self.chunks.turn(cpu, event.ns, State::Ring0, thread);
        }
        self.add(event, Kind::Trap, &rest)
    }

    /// An event after which the thread goes on.
    fn resume(&mut self, event: &Event<'_>, kind: Kind, rest: &[Value]) -> io::Result<()> {
        let (cpu, thread) = (self.chunks.cpu(event), self.thread(event.thread));
        let state = self.goes_on(cpu, thread);
        self.chunks.turn(cpu, event.ns, state, thread);
        self.add(event, kind, rest)
    }
}

impl<W: Write + Send> TraceSink for HtmlSink<W> {
    fn event(&mut self, event: &Event<'_>) -> io::Result<()> {
        let (cpu, running) = (self.chunks.cpu(event), self.thread(event.thread));
        match event.what {
            What::Exit(exit) => self.exit(event, exit),
            What::Slept { since_ns } => {
                let thread = self.chunks.cpus[cpu].thread;
                self.chunks
                    .turn(cpu, since_ns.min(event.ns), State::Idle, thread);
                let slept = event.ns.saturating_sub(since_ns);
                self.resume(event, Kind::Halted, &[slept.into()])
            }
            What::Call(_) => {
                self.calling.insert(running);
                self.chunks.turn(cpu, event.ns, State::Ring0, running);
                Ok(())
            }
            What::Return { call, result } => {
                self.call(event, call, Some(arguments::result(call.number, result)))
            }
            What::Abandoned(call) => self.call(event, call, None),
            What::Trap(trap) => self.trap(event, trap),
            What::Fault(fault) => {
                let text = fault_text(fault);
                if text.contains("SIG") {
                    self.signal();
                }
                let text = self.string(&text);
                self.resume(event, Kind::Fault, &[text])
            }
            What::Tick(number) => self.resume(event, Kind::Tick, &[number.into()]),
            What::Switch { thread, name } => {
                let to = self.thread(Some(thread));
                self.name(to, name);
                self.chunks.cpus[cpu].is_free = false;
                let state = self.goes_on(cpu, to);
                self.chunks.turn(cpu, event.ns, state, to);
                self.add(event, Kind::Switch, &[to.into()])
            }
            What::Idle => {
                self.chunks.cpus[cpu].is_free = true;
                self.chunks.turn(cpu, event.ns, State::Idle, 0);
                self.add(event, Kind::Idle, &[])
            }
            What::Start(thread) => {
                let started = self.thread(Some(thread));
                self.add(event, Kind::Start, &[started.into()])
            }
            What::Exec(name) => {
                self.name(running, name);
                let name = self.string(name);
                self.add(event, Kind::Exec, &[name])
            }
            What::End { thread, status } => {
                let ended = self.thread(Some(thread));
                let status = status.map(arguments::status);
                if status.as_ref().is_some_and(|status| status.contains("SIG")) {
                    self.signal();
                }
                let status = status.map_or(Value::Null, |status| self.string(&status));
                self.add(event, Kind::End, &[ended.into(), status])
            }
            What::Translation(block) => {
                let place = match &block.symbol {
                    Some(symbol) => symbol.to_string(),
                    None => format!("{:#x}", block.address),
                };
                let (guest, host) = (block.instructions(), block.host_len);
                let text =
                    format!("translation of {place}: {guest} instructions, {host} B of host code");
                let text = self.string(&printable(&text));
                self.add(event, Kind::Note, &[text])
            }
            What::Note(text) => {
                let text = self.string(text);
                self.add(event, Kind::Note, &[text])
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    fn finish(&mut self, ns: u64) -> io::Result<()> {
        self.chunks.reach(ns);
        self.end_chunk()?;
        let mut strings: Vec<_> = self.strings.iter().collect();
        strings.sort_unstable_by_key(|&(_, number)| *number);
        let strings: Vec<_> = strings.into_iter().map(|(text, _)| text).collect();
        let names = self.names.iter();
        let threads: Vec<_> = names
            .map(|(thread, name)| json!([thread.pid, thread.tid, name]))
            .collect();
        let data = json!({
            "schema": SCHEMA, "program": self.what, "ns": ns, "cpus": self.chunks.cpus.len(),
            "kinds": self.kinds, "signals": self.signals, "left_out": self.left_out,
            "threads": threads, "strings": strings,
        });
        writeln!(
            self.writer,
            "<script id=\"data\" type=\"application/json\">{}</script>",
            escaped(&data.to_string())
        )?;
        self.writer.write_all(self.tail.as_bytes())?;
        self.writer.flush()
    }
}

fn hex(value: u64) -> String {
    format!("{value:#x}")
}
