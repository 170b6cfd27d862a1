//! The trace for people: one line an event.
//!
//! ```text
//! seconds      who      what
//! 0.001372441  [pid 1]  write(1, "hello\n", 6) = 6
//! ```
//!
//! Of several CPUs, one is named before who. A translation has more lines: the guest's code,
//! and the host's beside it.
//!
//! A system call's line is kept back until the next event. If that is its end, they are one
//! line; else it is cut in two, as `strace` does it.

use std::fmt::Write as _;
use std::io::{self, Write};

use abi::trace::Resolution;
use x86::PageFaultErrorCode;

use super::TraceSink;
use super::arguments::{self, call_name};
use super::event::{Event, ExitEvent, FaultEvent, ThreadId, TrapEvent, What};
use super::translation::TranslationEvent;
use crate::cpu::emu::CodeLine;
use crate::printable::printable;
use crate::report::{ExitDetail, table, text as report};

/// Writes events as lines.
pub struct TextSink<W> {
    writer: W,
    /// Whether times of the host are shown, which are not the same in any two runs.
    with_durations: bool,
    line: String,
    /// A system call that has begun just now, whose line has not ended.
    open: Option<Place>,
}

/// Where events happen that can be in one line: CPU and thread.
type Place = (Option<u8>, Option<ThreadId>);

impl<W: Write + Send> TextSink<W> {
    /// Lines to `writer`; how long exits took only `with_durations`.
    pub fn new(writer: W, with_durations: bool) -> Self {
        Self {
            writer,
            with_durations,
            line: String::new(),
            open: None,
        }
    }

    /// Starts a line with time and thread.
    fn start(&mut self, event: &Event<'_>) {
        let (seconds, ns) = (event.ns / 1_000_000_000, event.ns % 1_000_000_000);
        self.add(format_args!("{seconds}.{ns:09}  "));
        if let Some(cpu) = event.cpu {
            self.add(format_args!("CPU {cpu:<2}  "));
        }
        self.add(format_args!("{:12} ", who(event)));
    }

    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        // A string takes everything.
        let _ = self.line.write_fmt(text);
    }

    fn end_line(&mut self) -> io::Result<()> {
        self.line.push('\n');
        let result = self.writer.write_all(self.line.as_bytes());
        self.line.clear();
        result
    }

    /// Ends the line of a call that another event has cut.
    fn cut(&mut self) -> io::Result<()> {
        match self.open.take() {
            None => Ok(()),
            Some(_) => {
                self.add(format_args!(" <unfinished ...>"));
                self.end_line()
            }
        }
    }

    fn exit(&mut self, exit: &ExitEvent) {
        let detail = exit.detail;
        let detail = detail.map_or(ExitDetail::None, |detail| {
            ExitDetail::new(exit.reason, detail)
        });
        self.add(format_args!("{}", exit.reason.name()));
        if detail != ExitDetail::None {
            self.add(format_args!(" {detail} ({})", report::device(detail)));
        }
        if exit.refused {
            self.add(format_args!(", refused"));
        }
        let value = value_text(exit);
        if !value.is_empty() {
            self.add(format_args!(", {value}"));
        }
        let location = exit.location;
        self.add(format_args!(
            ", rip {:#x}, ring {}",
            location.rip, location.ring
        ));
        if self.with_durations {
            self.add(format_args!(", {}", table::duration(exit.served_ns as f64)));
        }
    }

    /// All of an event but its time, thread and end of line.
    fn what(&mut self, event: &Event<'_>) {
        match event.what {
            What::Exit(exit) => self.exit(exit),
            What::Slept { since_ns } => {
                let slept = event.ns.saturating_sub(since_ns) as f64;
                self.add(format_args!(
                    "vCPU was halted for {}",
                    table::duration(slept)
                ));
            }
            What::Call(call) => self.add(format_args!("{}", arguments::beginning(call).text)),
            What::Return { call, result } => {
                let (name, end) = (call_name(call.number), arguments::end(call, result));
                self.add(format_args!("<... {name} resumed>{end}"));
            }
            What::Abandoned(call) => {
                self.add(format_args!(
                    "<... {} resumed>) = ?",
                    call_name(call.number)
                ));
            }
            What::Trap(trap) => self.trap(trap),
            What::Fault(fault) => self.add(format_args!("{}", fault_text(fault))),
            What::Tick(number) => self.add(format_args!("tick {number}")),
            What::Switch { thread, name } => {
                self.add(format_args!("switch to {} ({name})", thread_text(thread)));
            }
            What::Idle => self.add(format_args!("waits, the CPU is idle")),
            What::Start(thread) => {
                let kind = if thread.pid == thread.tid {
                    "process"
                } else {
                    "thread"
                };
                self.add(format_args!("new {kind}: {}", thread_text(thread)));
            }
            What::Exec(name) => self.add(format_args!("new program: {name}")),
            What::End { thread, status } => match status {
                Some(word) => {
                    let status = arguments::status(word);
                    self.add(format_args!("process {} {status}", thread.pid));
                }
                None => self.add(format_args!("thread {} ended", thread.tid)),
            },
            What::Translation(event) => self.translation(event),
            What::Note(text) => self.add(format_args!("{text}")),
        }
    }

    fn translation(&mut self, event: &TranslationEvent) {
        let place = match &event.symbol {
            Some(symbol) => format!("{:#x} ({})", event.address, printable(&symbol.to_string())),
            None => format!("{:#x}", event.address),
        };
        self.add(format_args!(
            "translation of {place}, ring {}: {} of {}, {} of host code",
            event.ring,
            counted(event.instructions(), "instruction"),
            bytes(event.guest_len),
            bytes(event.host_len)
        ));
        for (guest, host) in event.rows() {
            let [guest, host] = [guest, host].map(|line| {
                line.map_or_else(String::new, |CodeLine { address, text }| {
                    format!("{address:x}: {text}")
                })
            });
            let row = format!("\n    {guest:44}  {host}");
            self.line.push_str(row.trim_end_matches(' '));
        }
    }

    fn trap(&mut self, trap: TrapEvent) {
        let TrapEvent {
            vector,
            error,
            rip,
            cs,
            rflags,
            rsp,
            ss,
            cr2,
        } = trap;
        self.add(format_args!(
            "{}: ss {ss:#x}, rsp {rsp:#x}, rflags {rflags:#x}, cs {cs:#x}, rip {rip:#x}",
            trap_name(vector)
        ));
        if has_error_code(vector) {
            self.add(format_args!(", error code {error:#x}"));
        }
        if vector == u64::from(x86::vector::PF) {
            self.add(format_args!(", cr2 {cr2:#x}"));
        }
    }
}

impl<W: Write + Send> TraceSink for TextSink<W> {
    fn event(&mut self, event: &Event<'_>) -> io::Result<()> {
        let place = (event.cpu, event.thread);
        match event.what {
            What::Return { call, result } if self.open == Some(place) => {
                self.open = None;
                self.add(format_args!("{}", arguments::end(call, result)));
                return self.end_line();
            }
            What::Abandoned(_) if self.open == Some(place) => {
                self.open = None;
                self.add(format_args!(") = ?"));
                return self.end_line();
            }
            _ => {}
        }
        self.cut()?;
        self.start(event);
        self.what(event);
        if let What::Call(_) = event.what {
            self.open = Some(place);
            return Ok(());
        }
        self.end_line()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    fn finish(&mut self, _ns: u64) -> io::Result<()> {
        self.cut()?;
        self.writer.flush()
    }
}

fn who(event: &Event<'_>) -> String {
    match (&event.what, event.thread) {
        (What::Exit(_) | What::Slept { .. } | What::Translation(_), _) => "[vCPU]".to_owned(),
        (What::Note(_), _) => "[vmm]".to_owned(),
        (_, Some(thread)) => format!("[{}]", thread_text(thread)),
        (_, None) => "[kernel]".to_owned(),
    }
}

fn thread_text(ThreadId { pid, tid }: ThreadId) -> String {
    match pid == tid {
        true => format!("pid {pid}"),
        false => format!("pid {pid} tid {tid}"),
    }
}

fn bytes(count: usize) -> String {
    counted(count, "byte")
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// Exceptions by vector (Intel SDM vol. 3A 7.3.1).
const EXCEPTIONS: [&str; x86::vector::FIRST_INTERRUPT as usize] = [
    "#DE",
    "#DB",
    "NMI",
    "#BP",
    "#OF",
    "#BR",
    "#UD",
    "#NM",
    "#DF",
    "vector 9",
    "#TS",
    "#NP",
    "#SS",
    "#GP",
    "#PF",
    "vector 15",
    "#MF",
    "#AC",
    "#MC",
    "#XM",
    "#VE",
    "#CP",
    "vector 22",
    "vector 23",
    "vector 24",
    "vector 25",
    "vector 26",
    "vector 27",
    "#HV",
    "#VC",
    "#SX",
    "vector 31",
];

/// What an exit has read or written, as in `1 byte 0x41 'A'`; nothing where it has not.
pub(crate) fn value_text(exit: &ExitEvent) -> String {
    let len = bytes(exit.len);
    match exit.value() {
        Some(value) if exit.size == 1 => {
            let character = (value as u8).escape_ascii();
            format!("{len} {value:#x} '{character}'")
        }
        Some(value) => format!("{len} {value:#x}"),
        None if exit.len > 0 => {
            let more = if exit.payload().len() < exit.len {
                "..."
            } else {
                ""
            };
            format!("{len} \"{}\"{more}", exit.payload().escape_ascii())
        }
        None => String::new(),
    }
}

/// As in `trap #PF` or `interrupt 0x20`.
pub(crate) fn trap_name(vector: u64) -> String {
    let exception = usize::try_from(vector).ok();
    match exception.and_then(|vector| EXCEPTIONS.get(vector)) {
        Some(name) => format!("trap {name}"),
        None => format!("interrupt {vector:#x}"),
    }
}

/// Whether the CPU pushes one (Intel SDM vol. 3A 7.13).
pub(crate) fn has_error_code(vector: u64) -> bool {
    matches!(vector, 8 | 10..=14 | 17 | 21 | 29 | 30)
}

/// As in `page fault: write to 0x1000, demand zero`.
pub(crate) fn fault_text(fault: FaultEvent) -> String {
    let error = PageFaultErrorCode::from_bits_retain(fault.error);
    let access = if error.contains(PageFaultErrorCode::INSTRUCTION_FETCH) {
        "execution of"
    } else if error.contains(PageFaultErrorCode::CAUSED_BY_WRITE) {
        "write to"
    } else {
        "read of"
    };
    let by = if error.contains(PageFaultErrorCode::USER_MODE) {
        ""
    } else {
        " by the kernel"
    };
    let done = resolution_text(fault.resolution);
    format!("page fault: {access} {:#x}{by}: {done}", fault.address)
}

/// The resolution of a page fault.
fn resolution_text(resolution: Resolution) -> &'static str {
    match resolution {
        Resolution::DemandZero => "demand zero",
        Resolution::StackGrowth => "stack growth",
        Resolution::FilePage => "file page",
        Resolution::FileInPlace => "file pages in place",
        Resolution::CopyOnWrite => "copy on write",
        Resolution::LastSharer => "no longer shared, writable",
        Resolution::Stale => "already there",
        Resolution::NotMapped => "SIGSEGV, SEGV_MAPERR",
        Resolution::StackOverflow => "SIGSEGV, SEGV_MAPERR (stack overflow)",
        Resolution::Forbidden => "SIGSEGV, SEGV_ACCERR",
        Resolution::PastEndOfFile => "SIGBUS, BUS_ADRERR",
        Resolution::OutOfMemory => "SIGKILL, out of memory",
    }
}
