//! Linux as distributions ship it: an unmodified kernel and busybox, to a shell and to the end.
//!
//! The kernel is the file that `RINGFENCE_LINUX` names, or the one that the nested host boots
//! (`target/nested`). Where KVM emulates ring 0, Linux takes an hour, and is not tried.

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::support::elf::TempFile;
use crate::support::suite::{self, Case};
use crate::support::{
    Ended, TIMEOUT, Target, binary, busybox, output_with_input, required, software_kvm,
};
use vmm::boot::Initramfs;

/// Names the kernel.
const KERNEL: &str = "RINGFENCE_LINUX";
/// Where `tests/nested/run.sh` keeps the one that it boots, in a folder by its version.
const NESTED: &str = "target/nested/kernel";

const CASES: &[Case] = &[
    ("linux_shell", a_shell_runs_commands_and_powers_off),
    ("linux_resets", a_reset_ends_the_run),
    ("linux_unpacks_itself", a_kernel_may_unpack_itself),
];

/// On the emulator only.
const REPEATED: &[Case] = &[
    ("linux_repeats", two_runs_are_the_same),
    ("linux_on_several_cpus_repeats", several_cpus_repeat_exactly),
];

const SEVERAL: &[Case] = &[("linux_on_several_cpus", several_cpus_run)];
const SEVERAL_TARGETS: [Target; 3] = [Target::Emu4Cpus, Target::Kvm2Cpus, Target::KvmUserApic2Cpus];

/// The tests of this module.
pub fn trials() -> Vec<Trial> {
    let missing = missing();
    assert!(
        missing.is_none() || !required("linux"),
        "{}",
        missing.unwrap_or_default()
    );
    let mut trials = suite::on_unless(missing, &Target::ALL, CASES);
    trials.extend(suite::on_unless(missing, &[Target::Emu], REPEATED));
    trials.extend(suite::on_unless(missing, &SEVERAL_TARGETS, SEVERAL));
    if software_kvm() {
        const WHY: &str = "KVM emulates ring 0 here, and Linux takes an hour";
        eprintln!("kvm: does not run Linux: {WHY}");
        trials = trials
            .into_iter()
            .map(|trial| {
                let ignored = trial.name().contains("::kvm");
                let ignored = ignored || trial.has_ignored_flag();
                trial.with_ignored_flag(ignored)
            })
            .collect();
    }
    trials
}

/// Why there is no Linux here, if there is none.
fn missing() -> Option<&'static str> {
    match (kernel(), busybox::missing()) {
        (None, _) => Some("no kernel: RINGFENCE_LINUX names none, and target/nested has none"),
        (_, busybox) => busybox,
    }
}

fn kernel() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(KERNEL) {
        return Some(path.into());
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(NESTED);
    let versions = std::fs::read_dir(folder).ok()?;
    let kernels = versions.filter_map(|entry| Some(entry.ok()?.path().join("vmlinuz")));
    kernels.filter(|path| path.is_file()).max()
}

/// An initramfs with busybox, whose `/init` is `script`.
fn initramfs(script: &str) -> TempFile {
    let busybox = busybox::path().expect("it is there");
    let busybox = std::fs::read(busybox).expect("it can be read");
    let mut archive = Initramfs::new();
    for folder in ["bin", "dev", "proc"] {
        archive.directory(folder);
    }
    archive.executable("bin/busybox", &busybox);
    archive.executable("init", script.as_bytes());
    TempFile::new("initramfs", &archive.finish())
}

/// A run of `kernel` with `script` and `input`.
fn run(target: Target, kernel: &Path, script: &str, input: Option<&str>, more: &[&str]) -> Ended {
    let initramfs = initramfs(script);
    let report = TempFile::new("report", b"");
    let mut command = Command::new(binary());
    command.arg("run").args(target.options());
    command.args(["--timeout", TIMEOUT, "--memory", "256M", "--report", "json"]);
    command.arg("--report-file").arg(report.path());
    command.arg("--kernel").arg(kernel);
    command.arg("--initrd").arg(initramfs.path());
    command
        .args(["--cmdline", "console=ttyS0 quiet panic=-1"])
        .args(more);
    let output = output_with_input(&mut command, input.map(str::as_bytes));
    let report = std::fs::read(report.path()).unwrap_or_default();
    Ended::new(&command, &output, &report)
}

/// A shell whose commands come from the console.
const SHELL: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
exec sh
";

fn a_shell_runs_commands_and_powers_off(target: Target) {
    let input = "before=$(cut -d. -f1 /proc/uptime)
sleep 1
echo slept $(($(cut -d. -f1 /proc/uptime) - before))
echo hello | md5sum
poweroff -f
";
    let kernel = kernel().expect("it is there");
    let ended = run(target, &kernel, SHELL, Some(input), &[]);
    // A second, unless it is busy; an echo of the command does not have the number.
    let slept = ended
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("slept "));
    let slept = slept.and_then(|seconds| seconds.trim().parse().ok());
    assert!(slept.is_some_and(|seconds: u32| seconds >= 1), "{ended}");
    ended.prints_part("b1946ac92492d2347c6235b4d2611184");
    ended.status(0);
    assert_eq!(ended.report["outcome"]["kind"], "powered_off", "{ended}");
    assert!(ended.report["guest"]["syscalls"].is_null(), "{ended}");
}

fn a_reset_ends_the_run(target: Target) {
    let script = "#!/bin/busybox sh\nexec /bin/busybox reboot -f\n";
    let kernel = kernel().expect("it is there");
    // By what the kernel chooses (firmware, in real mode), ACPI, the keyboard controller.
    for way in ["", "reboot=acpi", "reboot=kbd"] {
        let ended = run(target, &kernel, script, None, &["--cmdline", way]);
        ended.status(0);
        assert_eq!(ended.report["outcome"]["kind"], "reset", "{way}: {ended}");
    }
}

/// Without the place of its payload, only the kernel's own code can unpack it.
fn a_kernel_may_unpack_itself(target: Target) {
    const PAYLOAD: std::ops::Range<usize> = 0x248..0x250;
    let mut image = std::fs::read(kernel().expect("it is there")).expect("it can be read");
    image[PAYLOAD].fill(0);
    let image = TempFile::new("vmlinuz", &image);
    let script = "#!/bin/busybox sh\n/bin/busybox echo up\nexec /bin/busybox poweroff -f\n";
    let ended = run(target, image.path(), script, None, &[]);
    ended.prints_part("up\r\n").status(0);
}

/// What the emulator has counted: not how long the host took to translate.
fn counted(ended: &Ended) -> Value {
    let mut counts = ended.report["emu"].clone();
    assert!(counts["translating_ns"].take().is_u64(), "{ended}");
    counts
}

fn two_runs_are_the_same(target: Target) {
    let script = "#!/bin/busybox sh
/bin/busybox sleep 3
/bin/busybox date -u +%F
/bin/busybox mount -t proc proc /proc
/bin/busybox cat /proc/uptime /proc/interrupts
exec /bin/busybox poweroff -f
";
    let kernel = kernel().expect("it is there");
    let one = || run(target, &kernel, script, None, &["--deterministic"]);
    let (first, second) = (one(), one());
    first.prints_part("2026-01-01\r\n").status(0);
    assert_eq!(first.stdout, second.stdout);
    assert_eq!(counted(&first), counted(&second));
    assert_eq!(first.report["exits_total"], second.report["exits_total"]);
}

/// Each CPU runs a process that is bound to it, all at once; the last field but some of
/// `/proc/PID/stat` is where that ran.
const ON_EACH_CPU: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs none /dev
mount -t proc proc /proc
echo there are $(nproc)
for cpu in $(seq 0 $(($(nproc) - 1))); do
    taskset -c $cpu sh -c '
        n=0
        while [ $n -lt 3000 ]; do n=$((n + 1)); done
        echo counted $n on $(cut -d\" \" -f39 /proc/self/stat)' &
done
wait
cat /proc/interrupts
poweroff -f
";

fn each_cpu_runs(target: Target, cpus: usize, more: &[&str]) -> Ended {
    let kernel = kernel().expect("it is there");
    let ended = run(target, &kernel, ON_EACH_CPU, None, more);
    ended
        .prints_part(&format!("there are {cpus}\r\n"))
        .status(0);
    for cpu in 0..cpus {
        ended.prints_part(&format!("counted 3000 on {cpu}\r\n"));
    }
    assert_eq!(ended.report["cpus"], cpus, "{ended}");
    ended
}

fn several_cpus_run(target: Target) {
    each_cpu_runs(target, target.cpus(), &[]);
}

fn several_cpus_repeat_exactly(target: Target) {
    let one = || each_cpu_runs(target, 3, &["--deterministic", "--cpus", "3"]);
    let (first, second) = (one(), one());
    assert_eq!(first.stdout, second.stdout);
    assert_eq!(counted(&first), counted(&second));
}
