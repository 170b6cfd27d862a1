//! The tracer on a ring that is filled by hand.

mod broken;
mod summary;

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use abi::trace::{Kind, NO_STATUS, RING_WORDS, Resolution, TraceRing, chunk_head, record_head};
use std::mem::offset_of;
use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::boot::{Entry, KernelImage};
use crate::cpu::CountedTime;
use crate::memory::GuestRam;

const GPA: u64 = 0x10_0000;

/// What a kernel would write.
struct Kernel {
    ram: GuestRam,
    head: u64,
}

impl Kernel {
    fn new() -> (Self, Ring) {
        let ram = GuestRam::new(4 << 20).expect("memory");
        let image = KernelImage {
            entry: Entry::Pvh(0),
            end: 0,
            shared_page: None,
            trace_ring: Some(GPA),
        };
        let ring = Ring::of(&ram, &image).expect("it has one");
        (Self { ram, head: 0 }, ring)
    }

    fn write(&self, offset: usize, value: u64) {
        let at = GuestAddress(GPA + offset as u64);
        self.ram.mmap().write_obj(value, at).expect("RAM");
    }

    fn put(&mut self, words: &[u64]) {
        for &word in words {
            let at = self.head as usize % RING_WORDS;
            self.write(offset_of!(TraceRing, words) + 8 * at, word);
            self.head += 1;
        }
        self.write(offset_of!(TraceRing, head), self.head);
    }

    fn record(&mut self, kind: Kind, tsc: u64, words: &[u64]) {
        self.record_on(0, kind, tsc, words);
    }

    fn record_on(&mut self, cpu: usize, kind: Kind, tsc: u64, words: &[u64]) {
        let head = record_head(kind, words.len() + 2, cpu);
        self.put(&[&[head, tsc], words].concat());
    }
}

/// A writer whose text can be read while it is written.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8(bytes.clone()).expect("text")
    }
}

/// A tracer with both sinks, on a clock of one tick a nanosecond.
fn tracer(ring: Ring, filter: Filter) -> (Tracer, Shared, Shared) {
    tracer_of(1, ring, filter)
}

/// The same of a machine with so many CPUs.
fn tracer_of(cpus: usize, ring: Ring, filter: Filter) -> (Tracer, Shared, Shared) {
    let (text, json) = (Shared::default(), Shared::default());
    let sinks: Vec<Box<dyn TraceSink>> = vec![
        Box::new(TextSink::new(text.clone(), true)),
        Box::new(PerfettoSink::new(json.clone())),
    ];
    let guest = Guest {
        ring,
        clock: TscClock {
            khz: 1_000_000,
            offset_ns: 0,
        },
        running: vec![None; cpus],
        calls: HashMap::new(),
        buffer: Vec::new(),
    };
    let tracer = Tracer {
        trace: Trace { filter, sinks },
        cpus,
        guest: Some(guest),
        note: None,
        last_ns: 0,
        exit: None,
        translations: None,
        error: None,
    };
    (tracer, text, json)
}

fn name(text: &[u8; 16]) -> [u64; 2] {
    let name = u128::from_le_bytes(*text);
    [name as u64, (name >> 64) as u64]
}

const INIT: u64 = 1 | 1 << 32;
const CHILD: u64 = 2 | 2 << 32;

/// The records of a short run.
fn tell(kernel: &mut Kernel) {
    let init = name(b"init\0\0\0\0\0\0\0\0\0\0\0\0");
    let child = name(b"child\0\0\0\0\0\0\0\0\0\0\0");
    kernel.record(Kind::Start, 10, &[INIT]);
    kernel.record(Kind::Run, 20, &[INIT, init[0], init[1]]);
    kernel.record(
        Kind::Fault,
        30,
        &[0x1000, 6, Resolution::CopyOnWrite as u64],
    );
    kernel.record(
        Kind::Trap,
        31,
        &[14, 6, 0x40_0000, 0x23, 0x202, 0x7000, 0x1b, 0x1000],
    );
    let fork = libc::SYS_fork as u64;
    kernel.record(Kind::Call, 40, &[fork, 0, 0, 0, 0, 0, 0]);
    kernel.record(Kind::Start, 41, &[CHILD]);
    kernel.record(Kind::Return, 42, &[fork, 2]);
    let text = u64::from_le_bytes(*b"hi\n\0\0\0\0\0");
    let write = libc::SYS_write as u64;
    kernel.record(
        Kind::Call,
        50,
        &[write, 1, 0x1000, 3, 0, 0, 0, chunk_head(1, 3, 3), text],
    );
    kernel.record(Kind::Return, 51, &[write, 3]);
    let exit = libc::SYS_exit_group as u64;
    kernel.record(Kind::Run, 60, &[CHILD, child[0], child[1]]);
    kernel.record(Kind::Run, 61, &[CHILD, child[0], child[1]]);
    kernel.record(Kind::Call, 62, &[exit, 7, 0, 0, 0, 0, 0]);
    kernel.record(Kind::End, 63, &[CHILD, 0x700]);
    kernel.record(Kind::Idle, 64, &[]);
    kernel.record(Kind::Idle, 65, &[]);
    kernel.record(Kind::Tick, 5, &[9]);
}

#[test]
fn a_guest_s_life_is_told() {
    let (mut kernel, ring) = Kernel::new();
    let (mut tracer, text, json) = tracer(ring, Filter::all());
    tell(&mut kernel);
    tracer.drain(1000);
    tracer.with_sinks(|sink| sink.finish(1000));
    let expected = "\
0.000000010  [kernel]     new process: pid 1
0.000000020  [kernel]     switch to pid 1 (init)
0.000000030  [pid 1]      page fault: write to 0x1000: copy on write
0.000000031  [pid 1]      trap #PF: ss 0x1b, rsp 0x7000, rflags 0x202, cs 0x23, rip 0x400000, error code 0x6, cr2 0x1000
0.000000040  [pid 1]      fork( <unfinished ...>
0.000000041  [pid 1]      new process: pid 2
0.000000042  [pid 1]      <... fork resumed>) = 2
0.000000050  [pid 1]      write(1, \"hi\\n\", 3) = 3
0.000000060  [pid 1]      switch to pid 2 (child)
0.000000062  [pid 2]      exit_group(7) = ?
0.000000063  [pid 2]      process 2 exited with status 7
0.000000064  [pid 2]      waits, the CPU is idle
0.000000065  [kernel]     tick 9
";
    assert_eq!(text.text(), expected);
    let json: Vec<serde_json::Value> = serde_json::from_str(&json.text()).expect("JSON");
    let calls: Vec<_> = json
        .iter()
        .filter(|event| event["cat"] == "syscalls")
        .collect();
    assert_eq!(calls.len(), 3, "{json:#?}");
    assert_eq!(calls[1]["args"]["arguments"], r#"1, "hi\n", 3"#);
}

/// A thread goes from one CPU to another in the middle of a call, as another one comes.
#[test]
fn each_cpu_has_its_thread() {
    let (mut kernel, ring) = Kernel::new();
    let (mut tracer, text, json) = tracer_of(2, ring, Filter::all());
    let init = name(b"init\0\0\0\0\0\0\0\0\0\0\0\0");
    let child = name(b"child\0\0\0\0\0\0\0\0\0\0\0");
    let (pause, getpid) = (libc::SYS_pause as u64, libc::SYS_getpid as u64);
    let mut on = |cpu, kind, tsc, words: &[u64]| kernel.record_on(cpu, kind, tsc, words);
    on(0, Kind::Run, 10, &[INIT, init[0], init[1]]);
    on(1, Kind::Run, 20, &[CHILD, child[0], child[1]]);
    on(0, Kind::Call, 30, &[pause, 0, 0, 0, 0, 0, 0]);
    on(1, Kind::Call, 40, &[getpid, 0, 0, 0, 0, 0, 0]);
    on(1, Kind::Return, 41, &[getpid, 2]);
    on(0, Kind::Idle, 50, &[]);
    on(1, Kind::Run, 60, &[INIT, init[0], init[1]]);
    on(0, Kind::Run, 61, &[CHILD, child[0], child[1]]);
    on(1, Kind::Return, 70, &[pause, -4_i64 as u64]);
    tracer.drain(1000);
    tracer.with_sinks(|sink| sink.finish(1000));
    let expected = "\
0.000000010  CPU 0   [kernel]     switch to pid 1 (init)
0.000000020  CPU 1   [kernel]     switch to pid 2 (child)
0.000000030  CPU 0   [pid 1]      pause( <unfinished ...>
0.000000040  CPU 1   [pid 2]      getpid() = 2
0.000000050  CPU 0   [pid 1]      waits, the CPU is idle
0.000000060  CPU 1   [pid 2]      switch to pid 1 (init)
0.000000061  CPU 0   [kernel]     switch to pid 2 (child)
0.000000070  CPU 1   [pid 1]      <... pause resumed>) = -1 EINTR
";
    assert_eq!(text.text(), expected);
    let json: Vec<serde_json::Value> = serde_json::from_str(&json.text()).expect("JSON");
    let turns = json.iter().filter(|event| event["cat"] == "sched");
    let turns = turns.map(|turn| {
        let figures = [&turn["tid"], &turn["args"]["pid"], &turn["dur"]];
        figures.map(|figure| figure.as_f64().unwrap_or_default())
    });
    let first = f64::from(1 << 30) + 3.0;
    let expected = [
        [first, 1.0, 0.04],
        [first + 2.0, 2.0, 0.04],
        [first, 2.0, 0.939],
        [first + 2.0, 1.0, 0.94],
    ];
    assert!(turns.eq(expected), "{json:#?}");
}

/// What a CPU did while another one was halted is told before that one goes on, at its own time.
#[test]
fn others_do_not_wait_for_one_that_sleeps() {
    let (mut kernel, ring) = Kernel::new();
    let (mut tracer, text, _) = tracer_of(2, ring, Filter::all());
    kernel.record_on(1, Kind::Tick, 20, &[7]);
    let clock = CountedTime::default();
    clock.skip_to(30);
    tracer.slept(10, 0, &GuestClock::Counted(Arc::new(clock)));
    let expected = "\
0.000000020  CPU 1   [kernel]     tick 7
0.000000030  CPU 0   [vCPU]       vCPU was halted for 20.0 ns
";
    assert_eq!(text.text(), expected);
}

#[test]
fn a_filter_leaves_the_rest_out() {
    let (mut kernel, ring) = Kernel::new();
    let filter = Filter {
        classes: vec![Class::Syscalls, Class::Procs],
        pid: Some(2),
    };
    let (mut tracer, text, _) = tracer(ring, filter);
    tell(&mut kernel);
    tracer.drain(1000);
    assert_eq!(
        text.text(),
        "\
0.000000041  [pid 1]      new process: pid 2
0.000000062  [pid 2]      exit_group(7) = ?
0.000000063  [pid 2]      process 2 exited with status 7
"
    );
}

#[test]
fn records_wrap_around_the_ring_s_end() {
    let (mut kernel, ring) = Kernel::new();
    let (mut tracer, text, _) = tracer(ring, Filter::all());
    let mut expected = String::new();
    // Three words each, so that some lie across the end.
    for number in 0..3 * RING_WORDS as u64 {
        kernel.record(Kind::Tick, number, &[number]);
        if number % 1000 == 0 {
            tracer.drain(u64::MAX);
        }
        writeln!(expected, "0.{number:09}  [kernel]     tick {number}").expect("strings grow");
    }
    tracer.drain(u64::MAX);
    assert!(text.text() == expected, "a tick is lost or changed");
}

#[test]
fn endless_threads_are_not_kept() {
    let (mut kernel, ring) = Kernel::new();
    let (mut tracer, text, _) = tracer(
        ring,
        Filter {
            classes: Vec::new(),
            pid: None,
        },
    );
    for thread in 0..2 * guest::MAX_CALLS as u64 {
        kernel.record(Kind::Run, 0, &[thread << 32, 0, 0]);
        kernel.record(Kind::Call, 0, &[0; 7]);
        tracer.drain(0);
    }
    assert!(
        text.text().ends_with("too many threads\n"),
        "{}",
        text.text()
    );
    assert!(tracer.guest.is_none());
}

#[test]
fn the_end_of_a_thread_alone_has_no_status() {
    let (mut kernel, ring) = Kernel::new();
    let (mut tracer, text, _) = tracer(ring, Filter::all());
    kernel.record(Kind::End, 1, &[1 | 5 << 32, NO_STATUS]);
    tracer.drain(7);
    assert_eq!(text.text(), "0.000000001  [pid 1 tid 5] thread 5 ended\n");
}
