//! What a VMM has while a guest runs, as its host sees it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;

use crate::support::elf::TempFile;
use crate::support::suite::{self, Case};
use crate::support::{Running, Target, binary, host_info, output_with_input};

const CASES: &[Case] = &[
    ("inherits_little", inherits_little),
    ("each_thread_is_confined", each_thread_is_confined),
    ("less_of_the_sandbox", less_of_the_sandbox),
    (
        "the_report_says_what_is_in_force",
        the_report_says_what_is_in_force,
    ),
];

pub fn trials() -> Vec<Trial> {
    let mut trials = suite::on(&Target::ALL, CASES);
    trials.push(suite::plain(
        "each_thread_of_a_comparison_is_confined",
        each_thread_of_a_comparison_is_confined,
    ));
    trials.push(suite::plain(
        "each_thread_of_bench_is_confined",
        each_thread_of_bench_is_confined,
    ));
    let name = "what_the_host_lacks_is_said";
    trials.push(suite::plain(name, what_the_host_lacks_is_said));
    trials
}

/// What was open when it started is closed, unless it is named; and it cannot have more rights.
fn inherits_little(target: Target) {
    let [named, other] = ["named", "other"].map(|name| TempFile::new(name, name.as_bytes()));
    let [named, other] = [named.path(), other.path()];
    let script = format!(
        "exec \"$@\" 7<'{}' 8<'{}'",
        other.display(),
        named.display()
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh"]).arg(binary());
    command.arg("run").args(target.options());
    command.args([
        "--file",
        "/proc/self/fd/8:/name",
        "sh",
        "-c",
        "cat /name; cat",
    ]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut vmm = Running(command.spawn().expect("there is a shell"));
    let output = vmm.0.stdout.as_mut().expect("it is piped");
    let mut printed = [0; "named".len()];
    let read = output.read_exact(&mut printed);
    read.expect("the guest prints what the file has");
    assert_eq!(&printed, b"named");

    let process = PathBuf::from(format!("/proc/{}", vmm.0.id()));
    let open = open_files(&process);
    assert!(!open.contains(other), "{open:?}");
    let status = fs::read_to_string(process.join("status")).expect("it runs");
    assert!(status.contains("\nNoNewPrivs:\t1\n"), "{status}");
}

/// What a process's descriptors lead to.
fn open_files(process: &Path) -> BTreeSet<PathBuf> {
    let descriptors = fs::read_dir(process.join("fd")).expect("it runs");
    let paths = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    paths.collect()
}

/// A shell that prints a line and then waits for input.
pub fn shell(target: Target, options: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("run").args(target.options()).args(options);
    command.args(["sh", "-c", "echo runs; cat"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// Starts it; its guest runs by now.
pub fn runs(mut shell: Command) -> Running {
    let mut vmm = Running(shell.spawn().expect("it is a program"));
    let output = vmm.0.stdout.as_mut().expect("it is piped");
    let mut printed = [0; "runs".len()];
    output
        .read_exact(&mut printed)
        .expect("the guest prints it");
    assert_eq!(&printed, b"runs");
    vmm
}

/// A field of each thread's status, by its name.
fn of_each_thread(vmm: &Running, field: &str) -> Vec<(String, String)> {
    let tasks = fs::read_dir(format!("/proc/{}/task", vmm.0.id())).expect("it runs");
    // One may end meanwhile.
    let status = tasks.filter_map(|task| {
        let path = task.ok()?.path().join("status");
        let status = fs::read_to_string(path).ok()?;
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.expect("Linux says it").trim().to_owned()
        };
        Some((value("Name:"), value(field)))
    });
    // Threads of KVM's own are the kernel's.
    status
        .filter(|(name, _)| !name.starts_with("kvm-"))
        .collect()
}

/// By default each thread has a filter, and no capability.
fn each_thread_is_confined(target: Target) {
    let vmm = runs(shell(target, &[]));
    let filtered = of_each_thread(&vmm, "Seccomp:");
    assert!(filtered.len() >= 3, "{filtered:?}");
    assert!(filtered.iter().all(|(_, mode)| mode == "2"), "{filtered:?}");
    for set in ["CapInh:", "CapPrm:", "CapEff:"] {
        let held = of_each_thread(&vmm, set);
        let none = |held: &str| held.bytes().all(|digit| digit == b'0');
        assert!(held.iter().all(|(_, held)| none(held)), "{set} {held:?}");
    }
}

/// A comparison whose first guest prints a line and then has enough to do.
pub fn comparison() -> Command {
    let mut command = Command::new(binary());
    command.args(["compare", "sh", "-c", "echo runs; sleep 1000"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// So is the one that makes machines, but for the right to count instructions.
fn each_thread_of_a_comparison_is_confined() {
    const PERFMON: u64 = 1 << 38;
    let vmm = runs(comparison());
    let filtered = of_each_thread(&vmm, "Seccomp:");
    assert!(filtered.len() >= 4, "{filtered:?}");
    assert!(filtered.iter().all(|(_, mode)| mode == "2"), "{filtered:?}");
    for (name, held) in of_each_thread(&vmm, "CapEff:") {
        let held = u64::from_str_radix(&held, 16).expect("a number");
        let most = if name == "vmm" { PERFMON } else { 0 };
        assert_eq!(held & !most, 0, "{name}");
    }
}

/// The filter's mode of each thread, when a guest runs.
pub fn filters_beside_a_guest(vmm: &Running) -> Vec<(String, String)> {
    let filters = || of_each_thread(vmm, "Seccomp:");
    let of_guest = |(name, _): &(String, String)| name.starts_with("vcpu");
    while !filters().iter().any(of_guest) {
        let status = fs::read_to_string(format!("/proc/{}/status", vmm.0.id()));
        let status = status.expect("it has not been waited for");
        assert!(!status.contains("State:\tZ"), "it ended before");
        thread::sleep(Duration::from_millis(1));
    }
    // Others were looked at before that one was there.
    filters()
}

/// So are those of `bench`, which measures processes too: another one starts them.
fn each_thread_of_bench_is_confined() {
    let mut command = Command::new(binary());
    command.args(["bench", "--on", "emu", "--samples", "100000", "lat_ctx"]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let bench = Running(command.spawn().expect("it is a program"));
    let filtered = filters_beside_a_guest(&bench);
    assert!(filtered.len() >= 2, "{filtered:?}");
    assert!(filtered.iter().all(|(_, mode)| mode == "2"), "{filtered:?}");
}

/// What is asked for is what there is.
fn less_of_the_sandbox(target: Target) {
    for (level, mode) in [("full", "2"), ("seccomp", "2"), ("none", "0")] {
        let vmm = runs(shell(target, &["--sandbox", level]));
        let filtered = of_each_thread(&vmm, "Seccomp:");
        assert!(
            filtered.iter().all(|(_, found)| found == mode),
            "{level}: {filtered:?}"
        );
    }
}

/// The same as what `vmm info` says of this host.
fn the_report_says_what_is_in_force(target: Target) {
    let found = &host_info()["sandbox"];
    assert_eq!(
        (&found["level"], &found["seccomp"]),
        (&"full".into(), &true.into())
    );
    assert_eq!(&target.vmm("hello").run().report["sandbox"], found);
    let some = target.vmm("hello").options(&["--sandbox", "seccomp"]).run();
    let some = &some.report["sandbox"];
    assert_eq!(
        (&some["seccomp"], some["landlock"].is_null()),
        (&true.into(), true)
    );
    let none = target.vmm("hello").options(&["--sandbox", "none"]).run();
    let none = &none.report["sandbox"];
    assert_eq!(
        (&none["level"], &none["seccomp"]),
        (&"none".into(), &false.into())
    );
    assert!(none["landlock"].is_null());
}

/// Every command that runs guests says it once, here on a host without Landlock.
fn what_the_host_lacks_is_said() {
    const LINE: &str = "vmm: the sandbox is not whole: this host has no Landlock (Linux 5.13)\n";
    for (words, expected) in [
        ("run --accel emu hello", LINE),
        ("compare --runs 1 hello", LINE),
        ("bench --quick --on emu exit_pio_out", LINE),
        ("run --accel emu --sandbox seccomp hello", ""),
        ("info", "lists of system calls, no Landlock\n"),
    ] {
        let mut command = Command::new(binary());
        command.args(words.split(' '));
        without_landlock(&mut command);
        let output = output_with_input(&mut command, None);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(output.status.success(), "{words}: {said}");
        let times = said.matches("Landlock").count();
        assert_eq!(times, usize::from(!expected.is_empty()), "{words}: {said}");
        assert!(said.contains(expected), "{words}: {said}");
    }
}

/// Has the program that `command` starts find no such system call.
fn without_landlock(command: &mut Command) {
    let instruction = |code: u32, jf: u8, k: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf,
        k,
    };
    let fails = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
    let mut filter = [
        // The call's number is first in `seccomp_data`.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        instruction(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            1,
            libc::SYS_landlock_create_ruleset as u32,
        ),
        instruction(libc::BPF_RET | libc::BPF_K, 0, fails),
        instruction(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let set = move || {
        let program = libc::sock_fprog {
            len: filter.len() as u16,
            filter: filter.as_mut_ptr(),
        };
        // SAFETY: the kernel reads the program, which is complete.
        let set = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) == 0
        };
        set.then_some(()).ok_or_else(io::Error::last_os_error)
    };
    // SAFETY: it makes two system calls.
    unsafe { command.pre_exec(set) };
}
