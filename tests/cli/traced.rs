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

use crate::support::elf::TempFile;
use crate::support::{Target, binary, output_with_input, required, shell_status, software_kvm};

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
const RARE: [(&str, &str); 24] = [
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
    ("ioctl 1=0xae9a", "by a local APIC of ours: KVM_NMI"),
    ("ioctl 1=0x5413", "when a window has another size: TIOCGWINSZ"),
    ("mprotect 2&0x4=0x0", "by the heap of a thread that is not the first"),
    ("mremap 3=0x1", "by what is large and grows"),
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
    let targets = TARGETS.iter().filter(|target| target.missing().is_none());
    let mut made = BTreeMap::<&str, bool>::new();
    for (row, is_made) in targets.flat_map(|&target| &of(target).listed) {
        *made.entry(row).or_default() |= is_made;
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

/// What the runs on a target have shown.
#[derive(Default)]
struct Found {
    /// Calls that are on no list of their thread, or come at the wrong time.
    others: Vec<String>,
    /// What is listed for a thread, and whether it was made.
    listed: BTreeMap<String, bool>,
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
        found
    })
}

/// What there is on standard input.
enum Input {
    None,
    /// A line, when the guest waits for it.
    Late,
    /// A terminal, which is for output too.
    Terminal,
}

/// A command, and what it is to need of the host.
struct Run {
    /// The command and its options, but for those of the target.
    command: Vec<String>,
    program: Vec<String>,
    input: Input,
    needs: Needs,
    status: i32,
}

impl Run {
    fn new(command: &str, program: &str) -> Self {
        let words = |text: &str| Vec::from_iter(text.split(' ').map(str::to_owned));
        Self {
            command: words(command),
            program: words(program),
            input: Input::None,
            needs: Needs::NONE,
            status: 0,
        }
    }

    fn shell(command: &str, script: &str) -> Self {
        let mut run = Self::new(command, "sh -c");
        run.program.push(script.to_owned());
        run
    }

    fn with_files(mut self) -> Self {
        self.needs.files = true;
        self
    }

    /// What strace shows of it.
    fn traced(&self, target: Target, level: &str) -> String {
        let log = TempFile::new("strace", b"");
        let (name, options) = self.command.split_first().expect("a command");
        let mut words = Vec::from(["strace", "-f", "-Y", "-e", "raw=all", "-o"].map(str::to_owned));
        words.extend([log.path(), &binary()].map(|path| path.display().to_string()));
        words.push(name.clone());
        words.extend(target.options().iter().map(ToString::to_string));
        words.extend(["--sandbox".to_owned(), level.to_owned()]);
        words.extend(options.iter().chain(&self.program).cloned());
        let mut command = match self.input {
            Input::None => Command::new("env"),
            Input::Late => {
                let mut shell = Command::new("sh");
                shell.args(["-c", "(sleep 0.3; echo late) | \"$@\"", "sh"]);
                shell
            }
            Input::Terminal => {
                let mut terminal = Command::new("script");
                terminal.args(["-qec", &words.join(" "), "/dev/null"]);
                words.clear();
                terminal
            }
        };
        let output = output_with_input(command.args(&words), None);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            shell_status(output.status),
            self.status,
            "{words:?}: {said}"
        );
        fs::read_to_string(log.path()).expect("strace writes text")
    }
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
        let needs = Needs {
            host: kind(target),
            ..run.needs.clone()
        };
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
            if level == "full" && first_run.is_some_and(|first_run| first_run < at) {
                self.others
                    .push(format!("{what}: a guest ran before {last:?}"));
            }
            self.hold(&what, role(&last.by), &needs, &calls[confined + 1..]);
        }
    }

    /// Holds the calls of a confined thread against its list.
    fn hold(&mut self, what: &str, role: Role, needs: &Needs, calls: &[(usize, &Call)]) {
        let rows = allowed(role, needs);
        for row in &rows {
            let made = calls.iter().any(|(_, call)| call.is_of(row));
            *self.listed.entry(row.to_string()).or_default() |= made;
        }
        for (_, call) in calls {
            if !rows.iter().any(|row| call.is_of(row)) {
                self.others.push(format!("{what}: {call:?}"));
            }
        }
    }
}

/// What a thread of this name does.
fn role(name: &str) -> Role {
    match name {
        "vmm" => Role::Events,
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

/// A line of strace's: who calls what.
#[derive(Debug)]
struct Call {
    thread: u64,
    by: String,
    name: String,
    arguments: [u64; 6],
}

impl Call {
    /// `number<name> call(0x1, 0x2)`, with or without its end; `None` if it is of something else.
    fn of(line: &str) -> Option<Self> {
        let (thread, line) = line.split_once('<')?;
        let (by, line) = line.split_once('>')?;
        let (name, line) = line.trim_start().split_once('(')?;
        if !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            return None;
        }
        let words = line.split([')', ' ', ',']).filter(|word| !word.is_empty());
        let numbers = words.map_while(|word| match word.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => word.parse().ok(),
        });
        let mut arguments = [0; 6];
        for (argument, number) in arguments.iter_mut().zip(numbers) {
            *argument = number;
        }
        Some(Self {
            thread: thread.parse().ok()?,
            by: by.to_owned(),
            name: name.to_owned(),
            arguments,
        })
    }

    fn runs_kvm(&self) -> bool {
        self.name == "ioctl" && self.arguments[1] == vmm::cpu::kvm::RUN_REQUESTS[0]
    }

    fn is_of(&self, row: &Allowed) -> bool {
        row.allows(&self.name, &self.arguments)
    }
}
