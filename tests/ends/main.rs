//! Every command ends when it is told to, whatever the guest and the standard streams do:
//! `--timeout`, SIGINT, SIGTERM and SIGHUP end it within half a second, with the status that
//! says so.
//!
//! Half a second is a promise to people at a terminal, so time is asserted here. A busy
//! host may cause a delay: a run that was late is repeated, and fails if it is late every
//! time.

#[path = "../support/mod.rs"]
mod support;

mod commands;
mod guests;
mod interrupts;
mod processors;
mod streams;

use std::fmt;
use std::fs::{self, File};
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use support::elf::TempFile;
use support::kernel::Kernel;
use support::suite::{self, Case};
use support::{Target, binary, shell_status, software_kvm};

use streams::Output;

/// How long after its limit, or a signal, a run may end.
const PROMISE: Duration = Duration::from_millis(500);
/// What `--timeout` is given where it is to end the run.
const LIMIT: Duration = Duration::from_secs(1);
/// How often a run may be late because the host is busy.
const TRIES: usize = 4;
/// A run that has not ended then hangs.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(2);

fn main() {
    let cases = [
        guests::CASES,
        interrupts::CASES,
        processors::CASES,
        streams::CASES,
        commands::CASES,
    ]
    .concat();
    let mut trials = suite::on(&Target::ALL, &cases);
    let late = software_kvm().then_some("software-backed KVM does not tell when CR8 falls");
    let cases = interrupts::PRIORITY_CASES;
    trials.extend(suite::on(&[Target::Emu, Target::Kvm], cases));
    trials.extend(suite::on_unless(late, &[Target::KvmUserApic], cases));
    trials.push(suite::plain("compare", commands::compare));
    suite::main(trials);
}

/// What ends a run.
#[derive(Clone, Copy, Debug)]
enum Cause {
    Timeout,
    Signal(Signal),
}

impl Cause {
    const SIGNALS: [Self; 3] = [
        Self::Signal(Signal::SIGINT),
        Self::Signal(Signal::SIGTERM),
        Self::Signal(Signal::SIGHUP),
    ];
    const ALL: [Self; 4] = {
        let [interrupt, terminate, hang_up] = Self::SIGNALS;
        [Self::Timeout, interrupt, terminate, hang_up]
    };

    /// What `--timeout` is given: a run that a signal does not end ends too late by it.
    fn limit(self) -> Duration {
        match self {
            Self::Timeout => LIMIT,
            Self::Signal(_) => PATIENCE,
        }
    }

    /// The status that it leads to.
    fn status(self) -> i32 {
        match self {
            Self::Timeout => 124,
            Self::Signal(signal) => 128 + signal as i32,
        }
    }
}

/// Asserts that each [`Cause`] ends `kernel`, and that the status says so. The kernel prints
/// something when it has come to what it does for ever.
fn ends(target: Target, kernel: &Kernel, output: Output) {
    let kernel = kernel.write();
    each_ends(&Cause::ALL, |cause| {
        Running::start(target, &kernel, cause.limit(), output)
    });
}

/// The same on two CPUs. Returns the end by [`Cause::Timeout`]: by then both have come to what
/// they do for ever.
fn both_end(target: Target, kernel: &Kernel) -> Ended {
    let kernel = kernel.write();
    let [timed_out, ..] = Cause::ALL
        .map(|cause| one_ends(cause, || Running::start_two(target, &kernel, cause.limit())));
    timed_out
}

/// Lets each of `causes` end what `start` starts, and asserts that the status says so.
fn each_ends(causes: &[Cause], start: impl Fn(Cause) -> Running) {
    for &cause in causes {
        one_ends(cause, || start(cause));
    }
}

fn one_ends(cause: Cause, start: impl Fn() -> Running) -> Ended {
    let ended = in_time(cause, start);
    assert_eq!(ended.status(), cause.status(), "{cause:?}: {ended}");
    ended
}

/// Asserts that `kernel` ends by `--timeout` at the latest: with the status of that, or of an
/// error before.
fn ends_in_time(target: Target, kernel: &Kernel, output: Output) {
    let (kernel, cause) = (kernel.write(), Cause::Timeout);
    let ended = in_time(cause, || {
        Running::start(target, &kernel, cause.limit(), output)
    });
    assert!([124, 125].contains(&ended.status()), "{ended}");
}

/// Lets `cause` end what `start` starts, again if it was late.
fn in_time(cause: Cause, start: impl Fn() -> Running) -> Ended {
    let mut late = Vec::new();
    while late.len() < TRIES {
        let ended = start().end(cause);
        if ended.late < PROMISE {
            return ended;
        }
        late.push(ended.late);
    }
    panic!("{cause:?}: late by {late:?}");
}

/// Asserts that `kernel` ends by itself, with this status and kind of outcome.
fn ends_itself(target: Target, kernel: &Kernel, status: i32, outcome: &str) {
    let kernel = kernel.write();
    let running = Running::start(target, &kernel, PATIENCE, Output::Pipe);
    running.ends_itself(status, outcome);
}

/// The same on two CPUs.
fn two_end_themselves(target: Target, kernel: &Kernel, status: i32, outcome: &str) -> Ended {
    let kernel = kernel.write();
    Running::start_two(target, &kernel, PATIENCE).ends_itself(status, outcome)
}

/// A command of `vmm`, to end after `limit`.
fn vmm(command: &str, limit: Duration) -> Command {
    let mut vmm = Command::new(binary());
    let limit = format!("{}ms", limit.as_millis());
    vmm.args([command, "--timeout", &limit]);
    vmm
}

/// For commands without one.
fn no_report() -> TempFile {
    TempFile::new("no-report", b"")
}

/// A run that has not ended yet.
struct Running {
    child: Child,
    started: Instant,
    stream: streams::Stream,
    stderr: TempFile,
    report: TempFile,
}

struct Ended {
    status: ExitStatus,
    /// How long after its cause it came.
    late: Duration,
    stderr: String,
    report: Value,
}

impl Ended {
    /// The status that a shell shows.
    fn status(&self) -> i32 {
        shell_status(self.status)
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{:#}", self.status, self.stderr, self.report)
    }
}

impl Running {
    /// Runs `kernel`.
    fn start(target: Target, kernel: &TempFile, limit: Duration, output: Output) -> Self {
        Self::start_with(target, kernel, limit, output, &["hello"])
    }

    /// The same on two CPUs.
    fn start_two(target: Target, kernel: &TempFile, limit: Duration) -> Self {
        Self::start_with(target, kernel, limit, Output::Pipe, &["--cpus", "2"])
    }

    fn start_with(
        target: Target,
        kernel: &TempFile,
        limit: Duration,
        output: Output,
        more: &[&str],
    ) -> Self {
        let report = TempFile::new("report", b"");
        let mut command = vmm("run", limit);
        command
            .args(target.options())
            .args(["--report", "json", "--report-file"])
            .arg(report.path())
            .arg("--kernel")
            .arg(kernel.path())
            .args(more);
        Self::spawn(command, report, output)
    }

    fn spawn(mut command: Command, report: TempFile, output: Output) -> Self {
        let stderr = TempFile::new("stderr", b"");
        let file = File::create(stderr.path()).expect("it can be written");
        let (stream, stdin, stdout, errors) = output.open();
        command
            .stdin(stdin)
            .stdout(stdout)
            .stderr(errors.unwrap_or_else(|| file.into()));
        let started = Instant::now();
        let child = command.spawn().expect("the binary under test starts");
        Self {
            child,
            started,
            stream,
            stderr,
            report,
        }
    }

    /// Lets `cause` come, and waits for the end.
    fn end(mut self, cause: Cause) -> Ended {
        let due = match cause {
            Cause::Timeout => self.started + LIMIT,
            Cause::Signal(signal) => {
                self.stream.wait_until_ready();
                let pid = Pid::from_raw(self.child.id().try_into().expect("a process id"));
                kill(pid, signal).expect("our child");
                Instant::now()
            }
        };
        self.wait(due)
    }

    fn ends_itself(self, status: i32, outcome: &str) -> Ended {
        let ended = self.wait(Instant::now());
        assert_eq!(ended.status(), status, "{ended}");
        assert_eq!(ended.report["outcome"]["kind"], outcome, "{ended}");
        ended
    }

    fn wait(mut self, due: Instant) -> Ended {
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("our child") {
                break status;
            }
            if self.started.elapsed() > 2 * PATIENCE {
                self.child.kill().expect("our child");
                self.child.wait().expect("our child");
                panic!("it does not end");
            }
            thread::sleep(POLL);
        };
        let late = due.elapsed();
        self.stream.assert_unchanged();
        let report = fs::read(self.report.path()).expect("it is there");
        Ended {
            status,
            late,
            stderr: fs::read_to_string(self.stderr.path()).expect("it is text"),
            report: serde_json::from_slice(&report).unwrap_or(Value::Null),
        }
    }
}
