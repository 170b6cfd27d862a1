//! Files of the host in the guest: roots, and what is added to the bundled programs.

use std::fs;
use std::path::PathBuf;
use std::process::{self, Command};

use crate::Case;
use crate::support::{Target, elf, shell_status};

pub const CASES: &[Case] = &[
    ("folders_and_files_are_added", folders_and_files_are_added),
    ("the_process_starts_as_asked", the_process_starts_as_asked),
    ("a_folder_is_the_root", a_folder_is_the_root),
    ("an_archive_is_the_root", an_archive_is_the_root),
    ("the_host_stays_as_it_is", the_host_stays_as_it_is),
    ("what_is_not_saved_fails", what_is_not_saved_fails),
    ("trees_are_saved", trees_are_saved),
    ("the_hosts_own_root", the_hosts_own_root),
];

/// A folder of the host for one case.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, target: Target) -> Self {
        let name = format!("ringfence-{name}-{target}-{}", process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    /// Writes a file, and its folders.
    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("it is in a folder")).expect("a folder");
        fs::write(&path, bytes).expect("a file");
        text(path)
    }

    /// A root with programs that exit with 7, by path, and with 8, along PATH.
    fn root(&self) -> String {
        use std::os::unix::fs::PermissionsExt;
        for (name, status) in [("root/opt/seven", 7), ("root/usr/bin/eight", 8)] {
            let path = self.file(name, &elf::program(status));
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
        }
        std::os::unix::fs::symlink("usr/bin", self.0.join("root/bin")).expect("a link");
        text(self.0.join("root"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn text(path: PathBuf) -> String {
    path.into_os_string()
        .into_string()
        .expect("temporary paths are text")
}

/// Text of so many lines.
fn lines(count: usize) -> String {
    (0..count).map(|line| format!("line {line}\n")).collect()
}

fn folders_and_files_are_added(target: Target) {
    let scratch = Scratch::new("added", target);
    let large = lines(5000);
    scratch.file("data/large", large.as_bytes());
    scratch.file("data/deep/small", b"small\n");
    let one = scratch.file("one", b"one\n");
    let folder = format!("{}:/srv/data", text(scratch.0.join("data")));
    target
        .vmm("cat")
        .options(&["--dir", &folder, "--file", &one])
        .args(&["/srv/data/deep/small", &one, "/srv/data/large"])
        .run()
        .status(0)
        .prints(&format!("small\none\n{large}"));
    target
        .vmm("ls")
        .options(&["--dir", &folder])
        .args(&["/srv/data"])
        .run()
        .status(0)
        .prints("deep/\nlarge\n");
}

fn the_process_starts_as_asked(target: Target) {
    let scratch = Scratch::new("starts", target);
    let file = format!("{}:/srv/here", scratch.file("here", b""));
    let run = target
        .vmm("args")
        .options(&["--env", "ONE=1", "--env", "SPACED=a b", "--env", "NO_SUCH"])
        .run();
    run.prints_part("\"ONE=1\"\n")
        .prints_part("\"SPACED=a b\"\n");
    assert!(!run.stdout.contains("NO_SUCH"), "{run}");
    target
        .vmm("ls")
        .options(&["--file", &file, "--cwd", "/srv"])
        .run()
        .prints("here\n");
    target
        .vmm("cat")
        .options(&["--hostname", "cellar"])
        .args(&["/proc/sys/kernel/hostname"])
        .run()
        .prints("cellar\n");
}

fn a_folder_is_the_root(target: Target) {
    let scratch = Scratch::new("folder", target);
    let root = scratch.root();
    for (program, status) in [("/opt/seven", 7), ("eight", 8), ("/bin/eight", 8)] {
        let run = target.vmm(program).options(&["--root", &root]).run();
        run.status(status).prints("");
    }
}

fn an_archive_is_the_root(target: Target) {
    let scratch = Scratch::new("archive", target);
    let root = scratch.root();
    for (options, name) in [("-cf", "root.tar"), ("-czf", "root.tar.gz")] {
        let archive = text(scratch.0.join(name));
        let made = Command::new("tar")
            .args([options, &archive, "-C", &root, "."])
            .status();
        assert!(made.expect("tar is there").success());
        let run = target.vmm("eight").options(&["--root", &archive]).run();
        run.status(8).prints("");
    }
}

fn the_host_stays_as_it_is(target: Target) {
    let scratch = Scratch::new("stays", target);
    let kept = scratch.file("data/kept", b"kept\n");
    let folder = format!("{}:/tmp/data", text(scratch.0.join("data")));
    target
        .vmm("sh")
        .options(&["--dir", &folder])
        .input("echo new > /tmp/data/kept\ncat /tmp/data/kept\necho x > /tmp/data/made\n")
        .run()
        .status(0)
        .prints_part("new\n");
    assert_eq!(fs::read(kept).expect("it is there"), b"kept\n");
    assert_eq!(
        fs::read_dir(scratch.0.join("data"))
            .map(Iterator::count)
            .ok(),
        Some(1)
    );
}

fn what_is_not_saved_fails(target: Target) {
    let scratch = Scratch::new("save", target);
    let save = format!("/no/such:{}", text(scratch.0.join("saved")));
    let run = target.vmm("hello").options(&["--save", &save]).run();
    run.status(125).outcome("error");
    // A program that fails has nothing to be saved.
    let options = ["--save", &save];
    let run = target
        .vmm("exit_status")
        .options(&options)
        .args(&["3"])
        .run();
    run.status(3);
}

fn trees_are_saved(target: Target) {
    let scratch = Scratch::new("trees", target);
    let large = lines(5000);
    scratch.file("data/large", large.as_bytes());
    scratch.file("data/deep/kept", b"kept\n");
    std::os::unix::fs::symlink("deep/kept", scratch.0.join("data/link")).expect("a link");
    let folder = format!("{}:/tmp/data", text(scratch.0.join("data")));
    let saved = scratch.0.join("saved");
    let save = format!("/tmp/data:{}", text(saved.clone()));
    target
        .vmm("sh")
        .options(&["--dir", &folder, "--save-always", &save])
        .input("echo new > /tmp/data/deep/made\nexit 3\n")
        .run()
        .status(3);
    let read = |name: &str| fs::read_to_string(saved.join(name)).ok();
    assert_eq!(read("large"), Some(large));
    assert_eq!(read("deep/made").as_deref(), Some("new\n"));
    assert_eq!(read("deep/kept").as_deref(), Some("kept\n"));
    let link = fs::read_link(saved.join("link")).expect("it is one");
    assert_eq!(link, PathBuf::from("deep/kept"));
}

/// What dynamic programs and scripts of the host print and return, they do in a guest that has
/// the host's root.
fn the_hosts_own_root(target: Target) {
    let commands: [&[&str]; 3] = [
        &["/bin/sh", "-c", "ls /usr/bin | wc -l; exit 5"],
        &["/bin/ls", "/usr"],
        &[
            "/bin/sh",
            "-c",
            "echo one two | sed s/one/three/ | tr a-z A-Z",
        ],
    ];
    for command in commands {
        let host = Command::new(command[0]).args(&command[1..]).output();
        let host = host.expect("a Linux has it");
        target
            .vmm(command[0])
            .args(&command[1..])
            .options(&["--root", "/", "--cwd", "/"])
            .run()
            .status(shell_status(host.status))
            .prints(&String::from_utf8_lossy(&host.stdout));
    }
}
