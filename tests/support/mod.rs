//! Running `vmm` in tests: on which accelerators, with which result.

// Each suite compiles this module for itself and uses a part of it.
#![allow(dead_code)]

pub mod busybox;
pub mod elf;
mod ended;
pub mod kernel;
pub mod processors;
pub mod qemu;
pub mod suite;

use std::env;
use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::Value;
use vmm::accel::{AccelChoice, Accelerator};
use vmm::cpu::HostKind;

use self::elf::TempFile;
pub use self::ended::Ended;

/// Ends a guest that hangs. It is time of the host, so nothing else may depend on it: above
/// what any test needs under nested emulation beside busy processes.
pub const TIMEOUT: &str = "15m";
/// Names what must be there (`kvm`, `qemu`, `compilers`, `strace`), separated by commas: then its absence is a
/// failure, not a skip.
const REQUIRED: &str = "RINGFENCE_REQUIRE";
/// Says that what runs on several CPUs shall do so on every machine that can have them.
const EVERYWHERE: &str = "RINGFENCE_EVERYWHERE";
/// Names a folder that keeps the JSON report of every run.
const REPORTS: &str = "RINGFENCE_REPORTS";
/// The binary under test, where it is not the one that cargo built.
const BINARY: &str = "RINGFENCE_VMM";

/// Whether the guest that was built with these tests has every check on, which takes more
/// instructions: see `vmm/build.rs`.
pub const CHECKED_GUEST: bool = option_env!("RINGFENCE_GUEST_PROFILE").is_some();

/// Why limits of what the guest takes do not count, if they do not.
pub fn checked_guest() -> Option<&'static str> {
    CHECKED_GUEST.then_some("the guest has every check on, which no limit allows for")
}

/// Whether this host's KVM emulates ring 0.
pub fn software_kvm() -> bool {
    Accelerator::open(AccelChoice::Kvm, false)
        .is_ok_and(|(kvm, _)| kvm.host_kind() == HostKind::Software)
}

/// One way to run a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The emulator.
    Emu,
    /// The same with two CPUs.
    Emu2Cpus,
    /// The same with four.
    Emu4Cpus,
    /// KVM with its own local APIC.
    Kvm,
    /// KVM with the VMM's local APIC.
    KvmUserApic,
    /// KVM with its own, and two CPUs.
    Kvm2Cpus,
    /// The same with the VMM's.
    KvmUserApic2Cpus,
    /// KVM with its own, and four CPUs.
    Kvm4Cpus,
    /// The same with the VMM's.
    KvmUserApic4Cpus,
}

impl Target {
    /// All of them with one CPU, the emulator first.
    pub const ALL: [Self; 3] = [Self::Emu, Self::Kvm, Self::KvmUserApic];

    /// All of them, with any number of CPUs.
    pub const EVERY: [Self; 9] = [
        Self::Emu,
        Self::Kvm,
        Self::KvmUserApic,
        Self::Emu2Cpus,
        Self::Emu4Cpus,
        Self::Kvm2Cpus,
        Self::KvmUserApic2Cpus,
        Self::Kvm4Cpus,
        Self::KvmUserApic4Cpus,
    ];

    /// Whether what is meant for `targets` runs on this one. If it is to run everywhere, that is
    /// any with several CPUs, for what some of these have, of KVM too.
    pub fn is_among(self, targets: &[Self]) -> bool {
        let is_everywhere = env::var_os(EVERYWHERE).is_some()
            && self.cpus() > 1
            && targets.iter().any(|target| target.cpus() > 1)
            && targets.iter().any(|target| target.accel() != "emu");
        is_everywhere || targets.contains(&self)
    }

    /// The accelerator's name on the command line.
    pub fn accel(self) -> &'static str {
        match self {
            Self::Emu | Self::Emu2Cpus | Self::Emu4Cpus => "emu",
            Self::Kvm
            | Self::KvmUserApic
            | Self::Kvm2Cpus
            | Self::KvmUserApic2Cpus
            | Self::Kvm4Cpus
            | Self::KvmUserApic4Cpus => "kvm",
        }
    }

    /// Whether KVM has the local APIC, so that halts are no exits.
    pub fn keeps_halts(self) -> bool {
        matches!(self, Self::Kvm | Self::Kvm2Cpus | Self::Kvm4Cpus)
    }

    /// The options of `vmm run` that choose it.
    pub fn options(self) -> &'static [&'static str] {
        match self {
            Self::Emu => &["--accel", "emu"],
            Self::Emu2Cpus => &["--accel", "emu", "--cpus", "2"],
            Self::Emu4Cpus => &["--accel", "emu", "--cpus", "4"],
            Self::Kvm => &["--accel", "kvm", "--apic", "kernel"],
            Self::KvmUserApic => &["--accel", "kvm", "--apic", "user"],
            Self::Kvm2Cpus => &["--accel", "kvm", "--cpus", "2"],
            Self::KvmUserApic2Cpus => &["--accel", "kvm", "--apic", "user", "--cpus", "2"],
            Self::Kvm4Cpus => &["--accel", "kvm", "--cpus", "4"],
            Self::KvmUserApic4Cpus => &["--accel", "kvm", "--apic", "user", "--cpus", "4"],
        }
    }

    /// CPUs of the machine.
    pub fn cpus(self) -> usize {
        match self {
            Self::Emu | Self::Kvm | Self::KvmUserApic => 1,
            Self::Emu2Cpus | Self::Kvm2Cpus | Self::KvmUserApic2Cpus => 2,
            Self::Emu4Cpus | Self::Kvm4Cpus | Self::KvmUserApic4Cpus => 4,
        }
    }

    /// Why it cannot run here, if it cannot.
    pub fn missing(self) -> Option<&'static str> {
        static KVM_ERROR: OnceLock<Option<String>> = OnceLock::new();
        if self.accel() == "emu" {
            return None;
        }
        let error =
            KVM_ERROR.get_or_init(|| host_info()["kvm"]["error"].as_str().map(ToOwned::to_owned));
        error.as_deref()
    }

    /// Whether its absence is a failure.
    pub fn required(self) -> bool {
        required(self.accel())
    }

    /// Starts describing a run of `program` here.
    pub fn vmm(self, program: &str) -> Run {
        Run {
            target: self,
            options: Vec::new(),
            words: vec![program.to_owned()],
            input: None,
        }
    }

    /// The same of a kernel without a program, a file.
    pub fn kernel(self, path: &str) -> Run {
        Run {
            target: self,
            options: vec!["--kernel".to_owned(), path.to_owned()],
            words: Vec::new(),
            input: None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Emu => "emu",
            Self::Emu2Cpus => "emu_2_cpus",
            Self::Emu4Cpus => "emu_4_cpus",
            Self::Kvm => "kvm",
            Self::KvmUserApic => "kvm_user_apic",
            Self::Kvm2Cpus => "kvm_2_cpus",
            Self::KvmUserApic2Cpus => "kvm_user_apic_2_cpus",
            Self::Kvm4Cpus => "kvm_4_cpus",
            Self::KvmUserApic4Cpus => "kvm_user_apic_4_cpus",
        })
    }
}

/// Path of the binary under test.
pub fn binary() -> PathBuf {
    std::env::var_os(BINARY).map_or_else(|| env!("CARGO_BIN_EXE_vmm").into(), PathBuf::from)
}

/// Whether [`REQUIRED`] names `what`.
pub fn required(what: &str) -> bool {
    std::env::var(REQUIRED).is_ok_and(|names| names.split(',').any(|name| name.trim() == what))
}

/// A process that ends with the test, whatever that finds.
#[derive(Debug)]
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What `vmm info --json` says.
pub fn host_info() -> Value {
    let output = Command::new(binary())
        .args(["info", "--json"])
        .output()
        .expect("the binary under test starts");
    serde_json::from_slice(&output.stdout).expect("vmm info --json prints JSON")
}

/// A run to be.
#[derive(Debug)]
pub struct Run {
    target: Target,
    options: Vec<String>,
    words: Vec<String>,
    input: Option<Vec<u8>>,
}

impl Run {
    /// Adds arguments of the program.
    pub fn args(mut self, args: &[&str]) -> Self {
        self.words.extend(args.iter().map(ToString::to_string));
        self
    }

    /// Adds options of `vmm run`.
    pub fn options(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(ToString::to_string));
        self
    }

    /// Gives the console this input.
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = Some(input.into());
        self
    }

    /// Runs the guest to its end.
    pub fn run(self) -> Ended {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let kept = std::env::var_os(REPORTS);
        let program = self.words.first().map_or("kernel", String::as_str);
        let program = program.rsplit('/').next().unwrap_or_default();
        let name = format!(
            "{program}-{}-{}-{count}.json",
            self.target,
            std::process::id()
        );
        let folder = kept.as_ref().map_or_else(std::env::temp_dir, PathBuf::from);
        let report_path = folder.join(name);
        let mut command = Command::new(binary());
        command
            .arg("run")
            .args(self.target.options())
            .args(["--timeout", TIMEOUT, "--report", "json", "--report-file"])
            .arg(&report_path)
            .args(&self.options)
            .args(&self.words);
        let output = output_with_input(&mut command, self.input.as_deref());
        let report = std::fs::read(&report_path).unwrap_or_default();
        if kept.is_none() {
            // The file is there unless the VMM refused to start.
            let _ = std::fs::remove_file(&report_path);
        }
        let ended = Ended::new(&command, &output, &report);
        ended.needs_no_remedy_on_hardware();
        ended
    }
}

/// What a status says, as a shell would: 128+n if signal n killed the process.
pub fn shell_status(status: ExitStatus) -> i32 {
    let killed = status.signal().map(|signal| 128 + signal);
    status.code().or(killed).expect("a process ends either way")
}

/// Whether this process may mount file systems where nobody else sees them.
pub fn may_mount() -> bool {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", "mount -t tmpfs none /tmp"]);
    command.output().is_ok_and(|run| run.status.success())
}

/// Waits until a signal does not simply end the process any more.
pub fn wait_until_caught(pid: Pid, signal: Signal) {
    let path = format!("/proc/{pid}/status");
    let is_caught = || {
        let text = std::fs::read_to_string(&path).expect("it has not been waited for");
        assert!(!text.contains("State:\tZ"), "it ended before");
        let mask = text.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.expect("Linux says") >> (signal as u32 - 1) & 1 != 0
    };
    while !is_caught() {
        thread::sleep(Duration::from_millis(5));
    }
}

/// Runs `command` to its end, with `input` on its standard input.
pub fn output_with_input(command: &mut Command, input: Option<&[u8]>) -> Output {
    let stdin = if input.is_some() {
        Stdio::piped()
    } else {
        Stdio::null()
    };
    let mut child = command
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary under test starts");
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        // The guest may end before it has read everything.
        let _ = std::io::Write::write_all(&mut stdin, input);
    }
    child
        .wait_with_output()
        .expect("the binary under test ends")
}

/// The exit status, standard output and report of a command of `vmm` that takes
/// `--report-file` and says nothing else, though the guest may.
#[track_caller]
pub fn reported(args: &[&str]) -> (Option<i32>, String, String) {
    let report = TempFile::new("report", b"");
    let mut command = Command::new(binary());
    let (name, rest) = args.split_at(1);
    // First, for what comes after a program is the program's.
    command.args(name).arg("--report-file").arg(report.path());
    command.args(rest);
    let output = output_with_input(&mut command, None);
    let text = std::fs::read_to_string(report.path()).expect("the report is text");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let own = stderr.lines().find(|line| line.starts_with("vmm: "));
    assert_eq!(own, None, "{args:?}");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), stdout, text)
}

/// The same with the report as JSON.
#[track_caller]
pub fn reported_json(args: &[&str]) -> (Option<i32>, String, Value) {
    let (command, rest) = args.split_at(1);
    let (status, stdout, text) = reported(&[command, &["--report", "json"], rest].concat());
    let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    (status, stdout, json)
}

/// The elements of a JSON array; none of anything else.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
