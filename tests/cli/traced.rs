//! The lists of system calls against what `strace` shows of runs: nothing else is called once a
//! guest runs, and nothing is listed that no run needs.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use libtest_mimic::{Failed, Trial};
use vmm::accel::{AccelChoice, Accelerator};
use vmm::cpu::HostKind;
use vmm::sandbox::{Allowed, Needs, Role, allowed};

use crate::strace::{Call, Input, Run};
use crate::support::elf::TempFile;
use crate::support::{Target, required, software_kvm};

/// The option `--sandbox`: without one a call that is on no list is a line here, not the end.
const LEVELS: [&str; 2] = ["none", "full"];
const TARGETS: [Target; 5] = [
    Target::Emu,
    Target::Emu2Cpus,
    Target::Kvm,
    Target::KvmUserApic,
    Target::Kvm2Cpus,
];

/// What is listed although none of these runs makes it.
#[rustfmt::skip]
const RARE: [(&str, &str); 26] = [
    ("clock_gettime", "where the C library has no clock of its own"),
    ("epoll_pwait", "by C libraries that wait so"),
    ("fcntl 1=0x1", "by builds with debug assertions: F_GETFD"),
    ("fcntl 1=0x24", "where another run has the terminal: F_OFD_GETLK"),
    ("fstat", "by C libraries, and on hosts, without statx"),
    ("getrandom", "by the first hash table of a thread"),
    ("ioctl 1=0x4008ae6a", "by kernels with level-triggered interrupts: KVM_SET_GSI_ROUTING"),
    ("ioctl 1=0x4008ae89", "by a remedy that writes one: KVM_SET_MSRS"),
    ("ioctl 1=0x4040aea0", "likewise: KVM_SET_VCPU_EVENTS"),
    ("ioctl 1=0x4080aea2", "likewise: KVM_SET_DEBUGREGS"),
    ("ioctl 1=0x4138ae84", "likewise: KVM_SET_SREGS"),
    ("ioctl 1=0x4188aea7", "likewise: KVM_SET_XCRS"),
    ("ioctl 1=0x80082407", "on hosts with performance counters: PERF_EVENT_IOC_ID"),
    ("ioctl 1=0xae9a", "by a local APIC of ours: KVM_NMI"),
    ("ioctl 1=0x5413", "when a window has another size: TIOCGWINSZ"),
    ("mprotect 2&0x4=0x0", "by the heap of a thread that is not the first"),
    ("mremap 3=0x1", "by what is large and grows"),
    ("openat 2=0x80000", "by such a heap that shrinks"),
    ("nanosleep", "by C libraries that sleep so"),
    ("ppoll", "by C libraries that wait so"),
    ("restart_syscall", "by Linux, for a thread that was stopped"),
    ("rt_sigaction 0!=0x1f", "by a process that aborts"),
    ("rt_sigreturn", "at the end of a signal's handler"),
    ("sched_yield", "by a thread that has to wait for a moment"),
    ("sendto 5=0x0", "where output is a socket"),
    ("writev", "by the C library's last words"),
];

/// A test for each target, and one of all of them.
pub fn trials() -> Vec<Trial> {
    let version = Command::new("strace").arg("--version").output();
    let missing = (version.is_err()).then_some("the host has no strace");
    if let Some(why) = missing {
        eprintln!("strace_shows_listed_calls: does not run: {why}");
    }
    let ignored = missing.is_some() && !required("strace");
    let mut trials = Vec::from_iter(TARGETS.map(|target| {
        let name = format!("strace_shows_listed_calls::{target}");
        let no_target = target.missing();
        let trial = Trial::test(name, move || match missing.or(no_target) {
            Some(why) => Err(Failed::from(why)),
            None => {
                let others = &of(target).others;
                assert!(others.is_empty(), "{}", others.join("\n"));
                Ok(())
            }
        });
        trial.with_ignored_flag(ignored || no_target.is_some() && !target.required())
    }));
    let all = Trial::test("each_listed_call_is_made", move || match missing {
        Some(why) => Err(Failed::from(why)),
        None => {
            each_is_made();
            Ok(())
        }
    });
    trials.push(all.with_ignored_flag(ignored));
    trials
}

/// What is listed is made, or it is said why it is listed.
fn each_is_made() {
    let here = TARGETS.iter().filter(|target| target.missing().is_none());
    let found = Vec::from_iter(here.map(|&target| of(target)));
    let mut made = all(found.iter().map(|found| &found.listed));
    // What the lists of runs have too is for those whom their makers start.
    for (row, is_made) in all(found.iter().map(|found| &found.makers)) {
        made.entry(row).or_insert(is_made);
    }
    // Elsewhere KVM does more by itself.
    let is_elsewhere =
        |row: &str| !software_kvm() && row.starts_with("ioctl") && row.contains("ae");
    let is_rare = |row: &str| RARE.iter().any(|(rare, _)| *rare == row);
    let made_or_rare = |row: &str, is_made| is_made || is_rare(row) || is_elsewhere(row);
    let never = made
        .iter()
        .filter(|&(row, is_made)| !made_or_rare(row, *is_made));
    let never = Vec::from_iter(never.map(|(row, _)| *row));
    assert_eq!(never, [""; 0], "listed, and made by none of these runs");
    let unlisted = RARE.iter().filter(|(row, _)| !made.contains_key(row));
    let unlisted = Vec::from_iter(unlisted.map(|(row, _)| *row));
    assert!(!software_kvm() || unlisted.is_empty(), "{unlisted:?}");
}

/// Whether each line was made in any of these.
fn all<'a>(lists: impl Iterator<Item = &'a BTreeMap<String, bool>>) -> BTreeMap<&'a str, bool> {
    let mut made = BTreeMap::<&str, bool>::new();
    for (row, is_made) in lists.flatten() {
        *made.entry(row).or_default() |= is_made;
    }
    made
}

/// What the runs on a target have shown.
#[derive(Default)]
struct Found {
    /// Calls that are on no list of their thread, or come at the wrong time.
    others: Vec<String>,
    /// What is listed for a thread, and whether it was made.
    listed: BTreeMap<String, bool>,
    /// The same of threads that make machines.
    makers: BTreeMap<String, bool>,
}

fn of(target: Target) -> &'static Found {
    static FOUND: [OnceLock<Found>; TARGETS.len()] = [const { OnceLock::new() }; TARGETS.len()];
    let index = TARGETS.iter().position(|&one| one == target);
    FOUND[index.expect("it is one of these")].get_or_init(|| {
        let files = Files::new(target);
        let mut found = Found::default();
        for level in LEVELS {
            for run in files.runs(target) {
                found.look_at(target, level, &run);
            }
        }
        if target == Target::Emu {
            // Without a sandbox nothing shows when it would begin.
            found.look_at(target, "full", &files.comparison());
        }
        found
    })
}

/// Files of the host for guests; they are removed at the end.
struct Files {
    top: PathBuf,
    report: TempFile,
}

impl Files {
    fn new(target: Target) -> Self {
        let name = format!("ringfence-traced-{}-{target}", std::process::id());
        let top = std::env::temp_dir().join(name);
        let folder = top.join("folder");
        fs::create_dir_all(folder.join("inner")).expect("a folder");
        fs::write(folder.join("small"), "small\n").expect("a file");
        fs::write(folder.join("large"), [b'\n'; 100_000]).expect("a file");
        std::os::unix::fs::symlink("small", folder.join("link")).expect("a link");
        let report = TempFile::new("report", b"");
        Self { top, report }
    }

    /// Different runs, so that each thing that a list is for is done.
    fn runs(&self, target: Target) -> Vec<Run> {
        let top = self.top.display();
        let with = |what: &str| format!("run --{what}");
        let report = self.report.path().display();
        let folder = format!("dir {top}/folder:/d");
        let mut runs = Vec::from([
            Run::new("run", "hello"),
            Run::new("run", "threads"),
            Run::new(&with("console serial"), "exec"),
            Run::new("trace", "hello"),
            Run::new(&with(&format!("report json --report-file {report}")), "ls"),
            Run::shell(&with(&folder), "cat /d/large /d/link; ls /d/inner /d").with_files(),
            Run::shell(&with(&format!("file {top}/folder/large:/f")), "wc /f").with_files(),
            Run {
                input: Input::Late,
                ..Run::new("run", "cat")
            },
            Run {
                status: 124,
                ..Run::new(&with("timeout 300ms"), "spin 3600000")
            },
            Run {
                status: 136,
                ..Run::new("run", "divide")
            },
            Run {
                input: Input::Terminal,
                ..Run::new("run", "isatty")
            },
        ]);
        let saved = self.top.join("saved");
        let _ = fs::remove_dir_all(&saved);
        let save = format!("{folder} --save /d:{}", saved.display());
        let mut saving = Run::shell(&with(&save), "echo more > /d/small").with_files();
        saving.needs.makes = vec![self.top.clone()];
        runs.push(saving);
        if target.accel() == "emu" {
            runs.push(Run::new("run", "usertests"));
        }
        runs
    }

    /// More machines than walls of Landlock can stand around each other (16).
    fn comparison(&self) -> Run {
        let command = format!("compare --runs 7 --dir {}/folder:/d", self.top.display());
        let mut run = Run::shell(&command, "cat /d/large").with_files();
        run.needs.heaps = true;
        run
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // It exists: `new` made it.
        let _ = fs::remove_dir_all(&self.top);
    }
}

impl Found {
    fn look_at(&mut self, target: Target, level: &str, run: &Run) {
        let what = format!("{:?} {:?}, {level}", run.command, run.program);
        let text = run.traced(target, level);
        let mut calls = Vec::from_iter(text.lines().filter_map(Call::of));
        let process = calls.first().expect("it calls something").thread;
        // The lists are for this process.
        for call in calls.iter_mut().filter(|call| call.name == "tgkill") {
            if call.arguments[0] == process {
                call.arguments[0] = std::process::id().into();
            }
        }
        let first_run = calls.iter().position(Call::runs_kvm);
        let mut threads = BTreeMap::<u64, Vec<(usize, &Call)>>::new();
        for (at, call) in calls.iter().enumerate() {
            threads.entry(call.thread).or_default().push((at, call));
        }
        for (&thread, calls) in &threads {
            let confined = calls.iter().rposition(|(_, call)| match level {
                "full" => call.name == "seccomp",
                // The first thread would be confined once it has started the others,
                _ if thread == process => call.name == "clone3" || call.name == "clone",
                // and they at once, when the library has started them.
                _ => call.name == "sigaltstack" && call.arguments[0] != 0,
            });
            let confined = confined.unwrap_or_else(|| panic!("{what}: {:?}", calls[0].1));
            let (at, last) = calls[confined];
            let role = role(&last.by, run);
            let is_of_all_runs = !run.is_comparison() || thread == process || role == Role::Watcher;
            let is_late = first_run.is_some_and(|first_run| first_run < at);
            if level == "full" && is_of_all_runs && is_late {
                self.others
                    .push(format!("{what}: a guest ran before {last:?}"));
            }
            if !is_of_all_runs {
                // Until then it has what the one has that started it.
                self.hold(
                    &what,
                    Role::Maker,
                    &rows(Role::Maker, target, run),
                    &calls[..=confined],
                );
            }
            self.hold(
                &what,
                role,
                &rows(role, target, run),
                &calls[confined + 1..],
            );
        }
    }

    /// Holds the calls of a confined thread against its list.
    fn hold(&mut self, what: &str, role: Role, rows: &[Allowed], calls: &[(usize, &Call)]) {
        let listed = match role {
            Role::Maker => &mut self.makers,
            _ => &mut self.listed,
        };
        for row in rows {
            let made = calls.iter().any(|(_, call)| call.is_of(row));
            *listed.entry(row.to_string()).or_default() |= made;
        }
        for (_, call) in calls {
            if !rows.iter().any(|row| call.is_of(row)) {
                self.others.push(format!("{what}: {call:?}"));
            }
        }
    }
}

/// What a thread with this role may call.
fn rows(role: Role, target: Target, run: &Run) -> Vec<Allowed> {
    let hosts = match run.is_comparison() {
        true => vec![HostKind::Emulator, kind(Target::Kvm)],
        false => vec![kind(target)],
    };
    let lists = hosts.into_iter().map(|host| {
        let needs = run.needs.clone();
        allowed(role, &Needs { host, ..needs })
    });
    lists.flatten().collect()
}

/// What a thread of this name does.
fn role(name: &str, run: &Run) -> Role {
    match name {
        "vmm" if run.is_comparison() => Role::Maker,
        "vmm" | "events" => Role::Events,
        "ending" | "terminal" => Role::Watcher,
        _ if name.starts_with("vcpu") => Role::Vcpu,
        _ => panic!("a thread {name}"),
    }
}

fn kind(target: Target) -> HostKind {
    match target.accel() {
        "emu" => HostKind::Emulator,
        _ => Accelerator::open(AccelChoice::Kvm, false)
            .map_or(HostKind::Emulator, |(kvm, _)| kvm.host_kind()),
    }
}
