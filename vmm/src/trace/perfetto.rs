//! The trace as Chrome's Trace Event JSON, which ui.perfetto.dev opens: the array form of
//! "Trace Event Format" (Google, 2016), one event a line.
//!
//! | track | what is on it |
//! |---|---|
//! | virtual machine / vCPU | a slice for each VM exit and each time that it is halted |
//! | virtual machine / running | a slice for each turn of a thread |
//! | virtual machine / vCPU 0, running on CPU 0 ... | the same, where there are several |
//! | a process / a thread | a slice for each system call; traps, faults and ticks as instants |
//!
//! A slice is written when it ends, so the file is written as the guest goes on, and what
//! is kept is a name for each thread.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Write};

use serde_json::{Value, json};

use super::TraceSink;
use super::arguments::{self, call_name, result};
use super::event::{Call, Event, ExitEvent, ThreadId, What};
use super::text::{fault_text, trap_name};
use crate::cpu::emu::CodeLine;
use crate::report::SCHEMA;
use crate::report::{ExitDetail, text as report};

/// The machine as a process, and the first of its tracks; those of the guest have lower numbers.
const MACHINE: u32 = 1 << 30;

/// What a CPU has a track for.
#[derive(Clone, Copy)]
enum Track {
    /// Its exits.
    Vcpu,
    /// The thread that has it.
    Running,
}

/// Threads whose names are kept. Beyond these all are named anew.
const MAX_THREADS: usize = 1 << 16;

/// Writes events as JSON.
pub struct PerfettoSink<W> {
    writer: W,
    has_begun: bool,
    /// Names of the threads that have been told.
    names: HashMap<ThreadId, String>,
    /// The machine's tracks that have been told.
    tracks: HashSet<u32>,
    /// Who runs on each CPU, and since when.
    turns: BTreeMap<Option<u8>, (ThreadId, u64)>,
}

impl<W: Write + Send> PerfettoSink<W> {
    /// A file to `writer`.
    pub fn new(writer: W) -> Self {
        Self {
            writer,
            has_begun: false,
            names: HashMap::new(),
            tracks: HashSet::new(),
            turns: BTreeMap::new(),
        }
    }

    fn write(&mut self, event: &Value) -> io::Result<()> {
        if !self.has_begun {
            self.has_begun = true;
            self.writer.write_all(b"[\n")?;
            self.name_machine()?;
        } else {
            self.writer.write_all(b",\n")?;
        }
        serde_json::to_writer(&mut self.writer, event)?;
        Ok(())
    }

    fn name_machine(&mut self) -> io::Result<()> {
        let machine = ThreadId {
            pid: MACHINE,
            tid: MACHINE,
        };
        let mut event = metadata("process_name", machine, "virtual machine");
        event["args"]["schema"] = SCHEMA.into();
        serde_json::to_writer(&mut self.writer, &event)?;
        self.writer.write_all(b",\n")
    }

    /// A track of a CPU: of the only one, or of one of several.
    fn cpu_track(&mut self, cpu: Option<u8>, track: Track) -> io::Result<ThreadId> {
        let (place, name) = match (cpu, track) {
            (None, Track::Vcpu) => (0, "vCPU".to_owned()),
            (None, Track::Running) => (0, "running".to_owned()),
            (Some(cpu), Track::Vcpu) => (1 + u32::from(cpu), format!("vCPU {cpu}")),
            (Some(cpu), Track::Running) => (1 + u32::from(cpu), format!("running on CPU {cpu}")),
        };
        let tid = MACHINE + 2 * place + track as u32;
        let track = ThreadId { pid: MACHINE, tid };
        if self.tracks.insert(tid) {
            self.write(&metadata("thread_name", track, &name))?;
        }
        Ok(track)
    }

    /// Says what a thread's track, and its process's, is called.
    fn name(&mut self, thread: ThreadId, name: &str) -> io::Result<()> {
        if self.names.get(&thread).is_some_and(|known| known == name) {
            return Ok(());
        }
        if self.names.len() >= MAX_THREADS {
            self.names.clear();
        }
        self.names.insert(thread, name.to_owned());
        if thread.pid == thread.tid {
            self.write(&metadata("process_name", thread, name))?;
        }
        self.write(&metadata("thread_name", thread, name))
    }

    /// The track of an event's thread, which has a name then.
    fn track(&mut self, event: &Event<'_>) -> io::Result<ThreadId> {
        let Some(thread) = event.thread else {
            return self.cpu_track(event.cpu, Track::Running);
        };
        if !self.names.contains_key(&thread) {
            self.name(thread, &format!("process {}", thread.pid))?;
        }
        Ok(thread)
    }

    fn slice(
        &mut self,
        track: ThreadId,
        category: &str,
        name: &str,
        span: (u64, u64),
        args: Value,
    ) -> io::Result<()> {
        self.write(&json!({
            "ph": "X", "cat": category, "name": name, "pid": track.pid, "tid": track.tid,
            "ts": micros(span.0), "dur": micros(span.1.saturating_sub(span.0)), "args": args,
        }))
    }

    fn instant(
        &mut self,
        event: &Event<'_>,
        category: &str,
        name: &str,
        args: Value,
    ) -> io::Result<()> {
        let track = self.track(event)?;
        self.write(&json!({
            "ph": "i", "s": "t", "cat": category, "name": name, "pid": track.pid,
            "tid": track.tid, "ts": micros(event.ns), "args": args,
        }))
    }

    fn exit(&mut self, event: &Event<'_>, exit: &ExitEvent) -> io::Result<()> {
        let detail = exit.detail;
        let detail = detail.map_or(ExitDetail::None, |detail| {
            ExitDetail::new(exit.reason, detail)
        });
        let name = match detail {
            ExitDetail::None => exit.reason.name().to_owned(),
            detail => format!("{} {}", exit.reason.name(), report::device(detail)),
        };
        let args = json!({
            "detail": detail, "size": exit.size, "value": exit.value().map(hex),
            "rip": hex(exit.location.rip), "ring": exit.location.ring,
        });
        let span = (event.ns, event.ns.saturating_add(exit.served_ns));
        let track = self.cpu_track(event.cpu, Track::Vcpu)?;
        self.slice(track, "exits", &name, span, args)
    }

    fn call(&mut self, event: &Event<'_>, call: &Call, result: Option<String>) -> io::Result<()> {
        let track = self.track(event)?;
        let args = json!({ "arguments": arguments::all(call), "result": result });
        let span = (call.started_ns, event.ns);
        self.slice(track, "syscalls", &call_name(call.number), span, args)
    }

    /// Ends the turn of whoever runs on this CPU.
    fn end_turn(&mut self, cpu: Option<u8>, ns: u64) -> io::Result<()> {
        let Some((thread, since)) = self.turns.remove(&cpu) else {
            return Ok(());
        };
        let name = self.names.get(&thread).cloned().unwrap_or_default();
        let args = json!({ "pid": thread.pid, "tid": thread.tid });
        let track = self.cpu_track(cpu, Track::Running)?;
        self.slice(track, "sched", &name, (since, ns), args)
    }
}

impl<W: Write + Send> TraceSink for PerfettoSink<W> {
    fn event(&mut self, event: &Event<'_>) -> io::Result<()> {
        let ns = event.ns;
        match event.what {
            What::Exit(exit) => self.exit(event, exit),
            What::Slept { since_ns } => {
                let track = self.cpu_track(event.cpu, Track::Vcpu)?;
                self.slice(track, "exits", "halted", (since_ns, ns), Value::Null)
            }
            What::Call(_) => self.track(event).map(|_| ()),
            What::Return {
                call,
                result: value,
            } => self.call(event, call, Some(result(call.number, value))),
            What::Abandoned(call) => self.call(event, call, None),
            What::Trap(trap) => {
                let args = json!({
                    "ss": hex(trap.ss), "rsp": hex(trap.rsp), "rflags": hex(trap.rflags),
                    "cs": hex(trap.cs), "rip": hex(trap.rip), "error": hex(trap.error),
                });
                self.instant(event, "traps", &trap_name(trap.vector), args)
            }
            What::Fault(fault) => self.instant(
                event,
                "faults",
                "page fault",
                json!({ "what": fault_text(fault) }),
            ),
            What::Tick(number) => self.instant(event, "ticks", "tick", json!({ "number": number })),
            What::Switch { thread, name } => {
                self.end_turn(event.cpu, ns)?;
                self.name(thread, name)?;
                self.turns.insert(event.cpu, (thread, ns));
                Ok(())
            }
            What::Idle => self.end_turn(event.cpu, ns),
            What::Start(thread) => {
                let args = json!({ "pid": thread.pid, "tid": thread.tid });
                self.instant(event, "procs", "start", args)
            }
            What::Exec(name) => {
                if let Some(thread) = event.thread {
                    self.name(thread, name)?;
                }
                self.instant(event, "procs", "exec", json!({ "name": name }))
            }
            What::End { status, .. } => {
                let status = status.map(arguments::status);
                self.instant(event, "procs", "end", json!({ "status": status }))
            }
            What::Translation(block) => {
                let text = |line: Option<&CodeLine>| line.map(|line| line.text.clone());
                let code = block.rows().map(|(guest, host)| [text(guest), text(host)]);
                let args = json!({
                    "address": hex(block.address), "ring": block.ring,
                    "symbol": block.symbol.as_ref().map(ToString::to_string),
                    "guest_bytes": block.guest_len, "host_bytes": block.host_len,
                    "code": code.collect::<Vec<_>>(),
                });
                self.instant(event, "translations", "translation", args)
            }
            What::Note(text) => self.instant(event, "notes", text, Value::Null),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    fn finish(&mut self, ns: u64) -> io::Result<()> {
        while let Some((&cpu, _)) = self.turns.first_key_value() {
            self.end_turn(cpu, ns)?;
        }
        if !self.has_begun {
            self.writer.write_all(b"[")?;
        }
        self.writer.write_all(b"\n]\n")?;
        self.writer.flush()
    }
}

fn metadata(kind: &str, track: ThreadId, name: &str) -> Value {
    json!({
        "ph": "M", "name": kind, "pid": track.pid, "tid": track.tid, "ts": 0,
        "args": { "name": name },
    })
}

/// Times are in microseconds; exact to the nanosecond for a month.
fn micros(ns: u64) -> f64 {
    ns as f64 / 1000.0
}

fn hex(value: u64) -> String {
    format!("{value:#x}")
}
