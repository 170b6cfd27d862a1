//! Programs that others wrote, in a guest that has the host's own root: what they print and
//! return is what they do on the host, byte for byte. Which of them a host has differs; what it
//! lacks is named.

#[path = "../support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::process::Command;

use libtest_mimic::{Failed, Trial};
use support::{Target, may_mount, output_with_input, shell_status, suite};

/// A script, and the programs and files that it needs.
struct Case {
    name: &'static str,
    needs: &'static [&'static str],
    script: &'static str,
    /// Whether it mounts file systems, which the superuser of many a container may not.
    mounts: bool,
}

const fn case(name: &'static str, needs: &'static [&'static str], script: &'static str) -> Case {
    Case {
        name,
        needs,
        script,
        mounts: false,
    }
}

const CASES: &[Case] = &[
    case("bash", &["bash"], include_str!("bash.sh")),
    case("busybox", &["busybox"], include_str!("busybox.sh")),
    case("compiler", &["gcc", "make"], include_str!("compiler.sh")),
    case("git", &["git"], include_str!("git.sh")),
    case("go", &["go"], include_str!("go.sh")),
    case("nginx", &["nginx", "curl"], include_str!("nginx.sh")),
    Case {
        mounts: true,
        ..case(
            "mounts",
            &["unshare", "findmnt", "mountpoint", "pivot_root", "busybox"],
            include_str!("mounts.sh"),
        )
    },
    case("node", &["node"], include_str!("node.sh")),
    case(
        "packing",
        &["tar", "xz", "gzip", "openssl"],
        include_str!("packing.sh"),
    ),
    case("perl", &["perl"], include_str!("perl.sh")),
    case("python", &["python3"], include_str!("python.sh")),
    // Debian's libpython3.11-testsuite.
    case(
        "python_tests",
        &["/usr/lib/python3.11/test/test_os.py"],
        include_str!("python_tests.sh"),
    ),
    case(
        "redis",
        &["redis-server", "redis-cli"],
        include_str!("redis.sh"),
    ),
    case("ripgrep", &["rg"], include_str!("ripgrep.sh")),
    case("rust", &["rustc"], include_str!("rust.sh")),
    case("sqlite", &["sqlite3"], include_str!("sqlite.sh")),
    case(
        "terminals",
        &["bash", "python3", "script", "stty"],
        include_str!("terminals.sh"),
    ),
    case("tini", &["tini"], include_str!("tini.sh")),
    case(
        "tools",
        &["lua", "tclsh", "jq", "vim", "ssh-keygen", "curl"],
        include_str!("tools.sh"),
    ),
    case("zsh", &["zsh"], include_str!("zsh.sh")),
];

/// One APIC is enough: programs see neither.
const TARGETS: [Target; 2] = [Target::Emu, Target::Kvm];

fn main() {
    let mut trials = Vec::new();
    for case in CASES {
        let lacking = case.needs.iter().find(|name| !is_there(name));
        if let Some(lacking) = lacking {
            eprintln!(
                "{}: does not run here: the host has no {lacking}",
                case.name
            );
        }
        let is_forbidden = case.mounts && !may_mount();
        if is_forbidden {
            eprintln!("{}: does not run here: the tests may not mount", case.name);
        }
        for target in TARGETS {
            let no_target = target.missing();
            let ignored =
                lacking.is_some() || is_forbidden || (no_target.is_some() && !target.required());
            let trial = Trial::test(
                format!("{}::{target}", case.name),
                move || match no_target {
                    Some(why) => Err(Failed::from(why)),
                    None => {
                        compare(case, target);
                        Ok(())
                    }
                },
            );
            trials.push(trial.with_ignored_flag(ignored));
        }
    }
    suite::main(trials)
}

/// Where programs are: first those beside the cargo that runs this, so that `rustc` is the
/// compiler and not what chooses one by the files of a home.
fn search_path() -> String {
    let path = std::env::var("PATH").expect("it is text");
    let cargo = std::env::var("CARGO").unwrap_or_default();
    match cargo.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}:{path}"),
        None => path,
    }
}

/// Whether that leads to a program, or a file is there if the name is a path.
fn is_there(name: &str) -> bool {
    let path = search_path();
    let mut files = std::env::split_paths(&path).map(|folder| folder.join(name));
    files.any(|file: PathBuf| file.is_file())
}

/// Seconds for a script on the host, which may wait for a server that has not started.
const HOST_LIMIT: &str = "300";

fn compare(case: &Case, target: Target) {
    // The same folder is at hand on both sides: it is made anew in each.
    let script = format!("cd \"$(mktemp -d)\" || exit 99\n{}", case.script);
    let path = search_path();
    let mut host = Command::new("timeout");
    host.args([HOST_LIMIT, "/bin/sh", "-c", &script])
        .env_clear();
    host.env("PATH", &path).env("HOME", "/tmp");
    let host = output_with_input(&mut host, None);
    let path = format!("PATH={path}");
    let options = [
        "--root",
        "/",
        "--cwd",
        "/",
        "--env",
        &path,
        "--env",
        "HOME=/tmp",
    ];
    let run = target.vmm("/bin/sh").options(&options);
    run.args(&["-c", &script])
        .run()
        .status(shell_status(host.status))
        .prints(&String::from_utf8_lossy(&host.stdout));
}
