//! Programs that compilers of the host make for Linux, with what their libraries bring:
//! unwinding, threads, instructions of x86-64-v3. In a guest they print and return what they do
//! as processes of the host.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use libtest_mimic::{Failed, Trial};
use vmm::boot::Initramfs;

use crate::support::{Target, may_mount, required, shell_status};

/// A program to be.
#[derive(Clone, Copy)]
struct Program {
    name: &'static str,
    /// File in the folder of the sources.
    source: &'static str,
    compiler: &'static str,
    /// What says that it is there.
    version: &'static str,
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
    /// Whether only processors of x86-64-v3 run it.
    is_v3: bool,
    /// Whether it needs libraries of the host.
    is_dynamic: bool,
    /// Whether it shows what only the superuser may, who every program of a guest is.
    needs_superuser: bool,
    /// Whether it mounts file systems, which the superuser of many a container may not.
    needs_mounts: bool,
    /// Whether only hosts with IPv6 run it.
    is_v6: bool,
    /// Machines of KVM with several CPUs that run it; all with one do, and the emulator with any.
    on_kvm: &'static [Target],
}

/// The file, and what it does on the host.
struct Built {
    name: &'static str,
    path: String,
    /// An archive with it and its libraries, if it is dynamic.
    archive: Option<String>,
    output: Output,
}

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guests/compiled");
/// Where compilers leave what they make.
const FOLDER: &str = env!("CARGO_TARGET_TMPDIR");
const STATIC_RUST: &str = "-Ctarget-feature=+crt-static";

const GO: &[(&str, &str)] = &[
    ("CGO_ENABLED", "0"),
    ("GOCACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/go")),
];
const GO_V3: &[(&str, &str)] = &[GO[0], GO[1], ("GOAMD64", "v3")];

const PLAIN: Program = Program {
    name: "",
    source: "",
    compiler: "",
    version: "--version",
    arguments: &[],
    environment: &[],
    is_v3: false,
    is_dynamic: false,
    needs_superuser: false,
    needs_mounts: false,
    is_v6: false,
    on_kvm: &[],
};

/// A program in C.
const fn c(name: &'static str, source: &'static str) -> Program {
    Program {
        name,
        source,
        compiler: "gcc",
        arguments: &["-O2", "-static", "-w", "-pthread"],
        ..PLAIN
    }
}

/// A program in Go.
const fn go(name: &'static str, source: &'static str) -> Program {
    Program {
        name,
        source,
        compiler: "go",
        version: "version",
        arguments: &["build"],
        environment: GO,
        ..PLAIN
    }
}

/// The program in Rust.
const fn rust(name: &'static str) -> Program {
    Program {
        name,
        source: "panics.rs",
        compiler: "rustc",
        arguments: &["-O", STATIC_RUST],
        ..PLAIN
    }
}

const PROGRAMS: &[Program] = &[
    c("fifos", "fifos.c").short(),
    c("links", "links.c"),
    Program {
        needs_superuser: true,
        ..c("attributes", "attributes.c")
    },
    c("pseudo_terminals", "pseudo_terminals.c").short(),
    c("open_flags", "open_flags.c"),
    Program {
        needs_superuser: true,
        ..c("owners", "owners.c")
    },
    Program {
        needs_superuser: true,
        ..c("groups", "groups.c")
    },
    Program {
        needs_superuser: true,
        ..c("others", "others.c").short()
    },
    Program {
        needs_superuser: true,
        ..c("message_queues", "message_queues.c").short()
    },
    Program {
        needs_superuser: true,
        ..c("settings", "settings.c")
    },
    Program {
        needs_superuser: true,
        ..c("ipc_owners", "ipc_owners.c")
    },
    Program {
        needs_mounts: true,
        ..c("capabilities", "capabilities.c")
    },
    Program {
        needs_mounts: true,
        ..c("mounts", "mounts.c")
    },
    Program {
        needs_mounts: true,
        ..c("namespaces", "namespaces.c")
    },
    c("signals_queue", "signals_queue.c").short(),
    c("sigio", "sigio.c"),
    c("signal_io", "signal_io.c").short(),
    c("edges", "edges.c").short(),
    c("futexes", "futexes.c").short(),
    c("futex_locks", "futex_locks.c").short(),
    c("futex_several", "futex_several.c").short(),
    c("clone", "clone.c").short(),
    c("sharing", "sharing.c").short(),
    c("crowd", "crowd.c").short(),
    c("cpus", "cpus.c").at_once(),
    c("translations", "translations.c").short(),
    c("together", "together.c").short(),
    c("at_once", "at_once.c"),
    c("restartable", "restartable.c").short(),
    c("limits", "limits.c"),
    c("timers", "timers.c").short(),
    c("times", "times.c"),
    c("vdso", "vdso.c"),
    Program {
        needs_superuser: true,
        ..c("set_clock", "set_clock.c")
    },
    c("proc", "proc.c"),
    c("process_files", "process_files.c"),
    Program {
        needs_superuser: true,
        ..c("inspection", "inspection.c")
    },
    c("map_names", "map_names.c"),
    c("holes", "holes.c"),
    c("epoll", "epoll.c").short(),
    c("inotify", "inotify.c"),
    c("epoll_sockets", "epoll_sockets.c").short(),
    c("locks", "locks.c").short(),
    c("pipes", "pipes.c").short(),
    c("file_calls", "file_calls.c"),
    c("copies", "copies.c").short(),
    c("scripts", "scripts.c"),
    Program {
        arguments: &["-O2", "-pthread"],
        is_dynamic: true,
        ..c("dynamic", "dynamic.c")
    },
    Program {
        arguments: &["-O2", "-pthread", "-no-pie"],
        is_dynamic: true,
        ..c("dynamic_in_place", "dynamic.c")
    },
    c("unix", "unix.c").short(),
    c("unix_rights", "unix_rights.c"),
    c("tcp", "tcp.c").short(),
    c("udp", "udp.c").short(),
    c("socket_options", "socket_options.c"),
    Program {
        is_v6: true,
        ..c("inet6", "inet6.c")
    },
    go("go_http", "http.go"),
    Program {
        name: "cpp_exceptions",
        source: "exceptions.cc",
        compiler: "g++",
        arguments: &["-O2", "-static"],
        ..PLAIN
    },
    rust("rust_panics"),
    Program {
        arguments: &["-O", STATIC_RUST, "-Ctarget-cpu=x86-64-v3"],
        is_v3: true,
        ..rust("rust_v3")
    },
    Program {
        arguments: &["-O3", "-fno-math-errno", "-static", "-march=x86-64-v3"],
        is_v3: true,
        ..c("c_v3", "vectors.c")
    },
    c("c_shared_memory", "shared_memory.c"),
    c("c_memory_calls", "memory_calls.c"),
    c("c_ipc", "ipc.c").short(),
    go("go_timers", "timers.go"),
    Program {
        environment: GO_V3,
        is_v3: true,
        ..go("go_v3", "goroutines.go")
    },
];

/// Orders of turns that are tried.
const SEEDS: u64 = 10;

/// Each is made once.
static BUILT: [OnceLock<Built>; PROGRAMS.len()] = [const { OnceLock::new() }; PROGRAMS.len()];

/// One test per program and target.
pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (&program, built) in PROGRAMS.iter().zip(&BUILT) {
        let missing = program.missing();
        if let Some(why) = &missing {
            eprintln!("{}: does not run here: {why}", program.name);
        }
        let several = [Target::Emu2Cpus, Target::Emu4Cpus];
        let targets = [Target::ALL.as_slice(), &several, program.on_kvm].concat();
        for target in Target::EVERY.into_iter().filter(|it| it.is_among(&targets)) {
            trials.push(trial(program, built, &missing, (target, compare)));
        }
        if program.name == "at_once" {
            let shuffled = Program {
                name: "at_once_by_seeds",
                ..program
            };
            let test = (Target::Emu4Cpus, by_seeds as Test);
            trials.push(trial(shuffled, built, &missing, test));
        }
    }
    trials
}

type Test = fn(&Built, Target);

/// A test named after `program`, or of what is missing for it.
fn trial(
    program: Program,
    built: &'static OnceLock<Built>,
    missing: &Option<String>,
    (target, test): (Target, Test),
) -> Trial {
    let no_target = target.missing();
    let ignored = (missing.is_some() && !required("compilers"))
        || (no_target.is_some() && !required(target.accel()));
    let why = missing.clone().or(no_target.map(Into::into));
    let trial = Trial::test(format!("{}::{target}", program.name), move || match why {
        Some(why) => Err(Failed::from(why)),
        None => {
            test(built.get_or_init(|| program.build()), target);
            Ok(())
        }
    });
    trial.with_ignored_flag(ignored)
}

/// It does what it did on the host.
fn compare(built: &Built, target: Target) {
    // Go's runtime reserves much.
    let memory = ["--memory", "256M"];
    let run = match &built.archive {
        Some(archive) => target
            .vmm(built.name)
            .options(&["--initrd", archive])
            .options(&memory),
        None => target.vmm(&built.path).options(&memory),
    };
    let run = run.run();
    let output = String::from_utf8_lossy(&built.output.stdout);
    run.status(shell_status(built.output.status))
        .prints(&output);
}

/// It goes well in whatever order CPUs have their turns, and nothing is left of it.
fn by_seeds(built: &Built, target: Target) {
    for seed in 1..=SEEDS {
        let run = target
            .vmm(&built.path)
            .options(&["--deterministic", "--seed", &seed.to_string()])
            .args(&["12", "and what is left"])
            .run();
        run.status(0).prints(concat!(
            "12 rounds, 0 of 4 went wrong\n",
            "12 rounds, 0 of 4 went wrong\n",
            "left: 0 bytes, 0 processes\n",
        ));
    }
}

impl Program {
    /// It has several processes or threads, in a short time.
    const fn short(self) -> Self {
        let on_kvm = &[Target::Kvm2Cpus];
        Self { on_kvm, ..self }
    }

    /// It shows what happens at once.
    const fn at_once(self) -> Self {
        let on_kvm = &[Target::Kvm2Cpus, Target::KvmUserApic2Cpus, Target::Kvm4Cpus];
        Self { on_kvm, ..self }
    }

    /// Why it cannot be made or run here, if it cannot.
    fn missing(self) -> Option<String> {
        let mut compiler = Command::new(self.compiler);
        let version = compiler.arg(self.version).stdout(Stdio::null()).status();
        if !version.is_ok_and(|status| status.success()) {
            return Some(format!("the host has no {}", self.compiler));
        }
        // Its owner is who it acts as.
        let user = fs::metadata("/proc/self").map(|facts| facts.uid());
        if self.needs_superuser && user.ok() != Some(0) {
            return Some("the tests are not the superuser's".into());
        }
        if self.needs_mounts && !may_mount() {
            return Some("the tests may not mount".into());
        }
        let has_v3 = std::is_x86_feature_detected!("avx2")
            && std::is_x86_feature_detected!("fma")
            && std::is_x86_feature_detected!("bmi2")
            && std::is_x86_feature_detected!("lzcnt")
            && std::is_x86_feature_detected!("movbe")
            && std::is_x86_feature_detected!("f16c");
        if self.is_v3 && !has_v3 {
            return Some("the processor has no x86-64-v3".into());
        }
        let has_v6 = || std::net::TcpListener::bind("[::1]:0").is_ok();
        (self.is_v6 && !has_v6()).then(|| "the host has no IPv6".into())
    }

    fn build(self) -> Built {
        let path = PathBuf::from(FOLDER).join(self.name);
        let mut compiler = Command::new(self.compiler);
        compiler
            .args(self.arguments)
            .arg("-o")
            .arg(&path)
            .arg(format!("{SOURCES}/{}", self.source))
            .envs(self.environment.iter().copied());
        let output = compiler.output().expect("the compiler starts");
        assert!(output.status.success(), "{compiler:?}: {output:?}");
        let archive = self.is_dynamic.then(|| {
            let archive = format!("{FOLDER}/{}.cpio", self.name);
            fs::write(&archive, with_libraries(self.name, &path)).expect("the folder is there");
            archive
        });
        Built {
            name: self.name,
            archive,
            output: Command::new(&path).output().expect("it runs on the host"),
            path: path.to_str().expect("the path is text").to_owned(),
        }
    }
}

/// An archive with a program in `/bin`, and its libraries, and that of mathematics, where the host
/// has them.
fn with_libraries(name: &str, program: &Path) -> Vec<u8> {
    let read = |path: &str| fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let listed = Command::new("ldd").arg(program).output();
    let listed = listed.expect("the host has ldd").stdout;
    let listed = String::from_utf8(listed).expect("ldd prints text");
    let paths = listed
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    let mut archive = Initramfs::new();
    let file = fs::read(program).expect("the compiler has made it");
    archive.executable(&format!("bin/{name}"), &file);
    for path in paths {
        archive.executable(path.trim_start_matches('/'), &read(path));
        if let Some(folder) = path.strip_suffix("libc.so.6") {
            let mathematics = format!("{folder}libm.so.6");
            archive.executable(mathematics.trim_start_matches('/'), &read(&mathematics));
        }
    }
    archive.finish()
}
