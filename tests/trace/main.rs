//! `vmm trace`: every event of a guest, in order, on every accelerator of this host.

#[path = "../support/mod.rs"]
mod support;

mod events;
mod perfetto;
mod processors;
mod summary;
mod translations;

use std::fs;
use std::process::Command;

use support::elf::{self, TempFile};
use support::suite::{self, Case, plain};
use support::{TIMEOUT, Target, binary, output_with_input};

fn main() {
    let cases: Vec<Case> = [events::CASES, perfetto::CASES, summary::CASES].concat();
    let mut trials = suite::on(&Target::ALL, &cases);
    let several = [Target::Emu4Cpus, Target::Kvm2Cpus];
    let on_several = [perfetto::CASES, processors::CASES, summary::CASES].concat();
    trials.extend(suite::on(&several, &on_several));
    trials.extend(suite::on(
        &[Target::Emu, Target::Emu4Cpus],
        &[DETERMINISTIC, summary::DETERMINISTIC].concat(),
    ));
    trials.extend(suite::on(
        &[Target::Emu, Target::Emu4Cpus],
        translations::CASES,
    ));
    trials.push(plain(
        "translations_need_the_translator",
        translations::refused,
    ));
    trials.push(plain("a_kernel_without_a_ring", kernel_without_ring));
    trials.push(plain("a_trace_that_cannot_be_written", full_disk));
    trials.push(plain("unknown_events", unknown_events));
    suite::main(trials);
}

/// A traced run that has ended.
struct Traced {
    status: Option<i32>,
    stdout: String,
    stderr: String,
    /// The trace.
    text: String,
}

impl Traced {
    /// Events without their times; how long exits took is left out too.
    fn events(&self) -> Vec<&str> {
        let events = self.text.lines().map(|line| {
            let (_, event) = line.split_once("  ").unwrap_or_else(|| panic!("{line:?}"));
            event
        });
        events.collect()
    }

    /// Times in nanoseconds.
    fn times(&self) -> Vec<u64> {
        let times = self.text.lines().map(|line| {
            let time = line.split(' ').next().unwrap_or_default();
            let (seconds, ns) = time.split_once('.').unwrap_or_else(|| panic!("{line:?}"));
            assert_eq!(ns.len(), 9, "{line:?}");
            let number = |digits: &str| digits.parse::<u64>().expect("digits");
            number(seconds) * 1_000_000_000 + number(ns)
        });
        times.collect()
    }

    /// How many events have `part` in them.
    fn count(&self, part: &str) -> usize {
        let events = self.text.lines();
        events.filter(|line| line.contains(part)).count()
    }

    #[track_caller]
    fn has(&self, part: &str) -> &Self {
        assert!(self.count(part) > 0, "no {part:?} in\n{}", self.text);
        self
    }
}

/// Traces a program with these options, and then its arguments.
fn trace(target: Target, options: &[&str], program: &[&str]) -> Traced {
    let file = TempFile::new("trace", b"");
    let path = file.path().to_str().expect("temporary paths are text");
    let output = vmm_trace(
        &[target.options(), &["--output", path], options].concat(),
        program,
    );
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Traced {
        status: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
        text: fs::read_to_string(path).expect("the trace is text"),
    }
}

fn vmm_trace(options: &[&str], program: &[&str]) -> std::process::Output {
    let mut command = Command::new(binary());
    command.args(["trace", "--timeout", TIMEOUT]);
    output_with_input(command.args(options).args(program), None)
}

/// For the emulator alone.
const DETERMINISTIC: &[Case] = &[("traces_repeat_exactly", traces_repeat)];

fn traces_repeat(target: Target) {
    let programs: [&[&str]; 6] = [
        &["hello"],
        &["fork"],
        &["sleep", "30"],
        &["spin", "30"],
        &["threads"],
        &["usertests"],
    ];
    for program in programs {
        let run = || {
            let json = TempFile::new("json", b"");
            let path = json.path().to_str().expect("temporary paths are text");
            let options = ["--deterministic", "--tick", "1ms", "--perfetto", path];
            let traced = trace(target, &options, program);
            assert_eq!(traced.status, Some(0), "{}", traced.stderr);
            let json = fs::read_to_string(path).expect("JSON is text");
            (traced.text, json)
        };
        let (first, second) = (run(), run());
        assert!(first.0.lines().count() > 20, "{program:?}: {}", first.0);
        for (one, two) in first.0.lines().zip(second.0.lines()) {
            assert_eq!(one, two, "{program:?}");
        }
        assert!(first == second, "{program:?}: one trace is longer");
    }
}

fn kernel_without_ring() {
    #[rustfmt::skip]
    let kernel = elf::kernel(&[
        0xb0, 0x2a,                     // mov al, 42
        0xe6, 0x80,                     // out 0x80, al
        0x66, 0xba, 0xf4, 0x00,         // mov dx, 0xf4
        0x31, 0xc0, 0xef, 0xf4,         // xor eax, eax ; out dx, eax ; hlt
    ]);
    let kernel = TempFile::new("kernel", &kernel);
    let kernel = kernel.path().to_str().expect("temporary paths are text");
    let traced = trace(Target::Emu, &["--kernel", kernel], &["hello"]);
    assert_eq!(traced.status, Some(0), "{}", traced.stderr);
    let events = traced.events();
    assert_eq!(events.len(), 3, "{}", traced.text);
    assert_eq!(
        events[0],
        "[vmm]        this kernel has no trace ring: VM exits only"
    );
    let out = "[vCPU]       pio_out port 0x80 (unclaimed), 1 byte 0x2a '*', rip 0x1000";
    assert!(events[1].starts_with(out), "{}", traced.text);
    assert!(events[1].contains(", ring 0, "), "{}", traced.text);
    let end = "[vCPU]       pio_out port 0xf4 (debug exit), 4 bytes 0x0, rip 0x1000";
    assert!(events[2].starts_with(end), "{}", traced.text);
}

fn full_disk() {
    let traced = vmm_trace(&["--accel", "emu", "--output", "/dev/full"], &["hello"]);
    assert_eq!(traced.status.code(), Some(125));
    assert_eq!(traced.stdout, b"Hello from ring 3!\n", "the guest runs on");
    let stderr = String::from_utf8_lossy(&traced.stderr);
    assert!(
        stderr.contains("trace: No space left on device"),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

fn unknown_events() {
    let refused = vmm_trace(&["--only", "exits,nonsense"], &["hello"]);
    assert_eq!(refused.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(
        stderr.contains("exits, syscalls, traps, faults"),
        "{stderr}"
    );
}
