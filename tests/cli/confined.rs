//! What a VMM has while a guest runs, as its host sees it.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::elf::TempFile;
use crate::support::suite::Case;
use crate::support::{Running, Target, binary};

pub const CASES: &[Case] = &[("inherits_little", inherits_little)];

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
