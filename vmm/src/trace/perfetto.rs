//! The trace as Chrome's Trace Event JSON, which ui.perfetto.dev opens: the array form of
//! "Trace Event Format" (Google, 2016), one event a line.
//!
//! | track | what is on it |
//! |---|---|
//! | virtual machine / vCPU | a slice for each VM exit and each time that it is halted |
//! | virtual machine / running | a slice for each turn of a thread |
//! | a process / a thread | a slice for each system call; traps, faults and ticks as instants |
//!
//! A slice is written when it ends, so the file is written as the guest goes on, and what
//! is kept is a name for each thread.

use std::collections::HashMap;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::TraceSink;
use super::arguments::{self, call_name, result};
use super::event::{Call, Event, ExitEvent, ThreadId, What};
use super::text::{fault_text, trap_name};
use crate::report::SCHEMA;
use crate::report::{ExitDetail, text as report};

/// The machine's own tracks; the guest's processes have lower numbers.
const MACHINE: u32 = 1 << 30;
const VCPU: ThreadId = ThreadId {
    pid: MACHINE,
    tid: MACHINE,
};
const RUNNING: ThreadId = ThreadId {
    pid: MACHINE,
    tid: MACHINE + 1,
};
/// Where there are several vCPUs: the track of the first.
const FIRST_OF_SEVERAL: u32 = MACHINE + 2;

/// Threads whose names are kept. Beyond these all are named anew.
const MAX_THREADS: usize = 1 << 16;

/// Writes events as JSON.
pub struct PerfettoSink<W> {
    writer: W,
    has_begun: bool,
    /// Names of the threads that have been told.
    names: HashMap<ThreadId, String>,
    /// The vCPUs, of several, that have been named, a bit each.
    vcpus: u32,
    /// Who runs, and since when.
    turn: Option<(ThreadId, u64)>,
}

impl<W: Write + Send> PerfettoSink<W> {
    /// A file to `writer`.
    pub fn new(writer: W) -> Self {
        Self {
            writer,
            has_begun: false,
            names: HashMap::new(),
            vcpus: 0,
            turn: None,
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
        for (kind, track, name) in [
            ("process_name", VCPU, "virtual machine"),
            ("thread_name", VCPU, "vCPU"),
            ("thread_name", RUNNING, "running"),
        ] {
            let mut event = metadata(kind, track, name);
            if kind == "process_name" {
                event["args"]["schema"] = SCHEMA.into();
            }
            serde_json::to_writer(&mut self.writer, &event)?;
            self.writer.write_all(b",\n")?;
        }
        Ok(())
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

    /// Makes sure that a track has a name.
    fn track(&mut self, thread: Option<ThreadId>) -> io::Result<ThreadId> {
        let Some(thread) = thread else {
            return Ok(RUNNING);
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
        let track = self.track(event.thread)?;
        self.write(&json!({
            "ph": "i", "s": "t", "cat": category, "name": name, "pid": track.pid,
            "tid": track.tid, "ts": micros(event.ns), "args": args,
        }))
    }

    fn exit(&mut self, ns: u64, exit: &ExitEvent) -> io::Result<()> {
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
        let span = (ns, ns.saturating_add(exit.served_ns));
        let track = self.vcpu(exit.cpu)?;
        self.slice(track, "exits", &name, span, args)
    }

    /// The track of a vCPU: that of the only one, or one for each of several.
    fn vcpu(&mut self, cpu: Option<u8>) -> io::Result<ThreadId> {
        let Some(cpu) = cpu else {
            return Ok(VCPU);
        };
        let track = ThreadId {
            pid: MACHINE,
            tid: FIRST_OF_SEVERAL + u32::from(cpu),
        };
        let bit = 1_u32.checked_shl(cpu.into()).unwrap_or(0);
        if self.vcpus & bit == 0 {
            self.vcpus |= bit;
            let name = format!("vCPU {cpu}");
            self.write(&metadata("thread_name", track, &name))?;
        }
        Ok(track)
    }

    fn call(&mut self, event: &Event<'_>, call: &Call, result: Option<String>) -> io::Result<()> {
        let track = self.track(event.thread)?;
        let args = json!({ "arguments": arguments::all(call), "result": result });
        let span = (call.started_ns, event.ns);
        self.slice(track, "syscalls", &call_name(call.number), span, args)
    }

    /// Ends the turn of whoever runs.
    fn end_turn(&mut self, ns: u64) -> io::Result<()> {
        let Some((thread, since)) = self.turn.take() else {
            return Ok(());
        };
        let name = self.names.get(&thread).cloned().unwrap_or_default();
        let args = json!({ "pid": thread.pid, "tid": thread.tid });
        self.slice(RUNNING, "sched", &name, (since, ns), args)
    }
}

impl<W: Write + Send> TraceSink for PerfettoSink<W> {
    fn event(&mut self, event: &Event<'_>) -> io::Result<()> {
        let ns = event.ns;
        match event.what {
            What::Exit(exit) => self.exit(ns, exit),
            What::Slept { cpu, since_ns } => {
                let track = self.vcpu(cpu)?;
                self.slice(track, "exits", "halted", (since_ns, ns), Value::Null)
            }
            What::Call(_) => self.track(event.thread).map(|_| ()),
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
                self.end_turn(ns)?;
                self.name(thread, name)?;
                self.turn = Some((thread, ns));
                Ok(())
            }
            What::Idle => self.end_turn(ns),
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
            What::Note(text) => self.instant(event, "notes", text, Value::Null),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    fn finish(&mut self, ns: u64) -> io::Result<()> {
        self.end_turn(ns)?;
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
