//! A host whose `/dev/kvm` is missing or forbidden.
//!
//! The host of the test keeps its device: `vmm` runs in mount and user namespaces of its
//! own, in which `/dev` is empty, or the device lies on a mount that forbids devices.

use std::env;
use std::path::Path;
use std::process::{Command, Output};

use libtest_mimic::Trial;
use serde_json::Value;

use super::FAILURE;
use crate::support::elf::TempFile;
use crate::support::suite::unless;
use crate::support::{binary, host_info, output_with_input};

const EMPTY_DEV: &str = "mount -t tmpfs none /dev";
/// The same in a container, by what Podman puts there.
const CONTAINER: &str =
    "mount -t tmpfs none /dev && mount -t tmpfs none /run && touch /run/.containerenv";
const NO_SYS: &str = "mount -t tmpfs none /sys";
/// The same, by the variable alone, as in one of Podman whose root is read-only.
const READ_ONLY_CONTAINER: &str = "export container=podman && mount -t tmpfs none /dev";
/// What says that the test itself is in one: a file, a variable.
const CONTAINER_MARKS: (&str, &str) = ("/.dockerenv", "container");
const FORBIDDEN: &str = "mount --bind /dev/kvm /dev/kvm && mount -o remount,bind,nodev /dev/kvm";
const DENIED: &str = "/dev/kvm: permission denied";

pub fn trials() -> Vec<Trial> {
    let no_namespaces = (!in_namespace("true", &["info"]).status.success())
        .then(|| "no user and mount namespaces (unshare)".to_owned());
    let no_kvm = no_namespaces.clone().or_else(|| {
        let there = Path::new("/dev/kvm").exists();
        (!there).then(|| "no /dev/kvm to forbid".to_owned())
    });
    vec![
        unless(no_namespaces.clone(), "kvm_missing", kvm_missing),
        unless(no_kvm.clone(), "kvm_forbidden", kvm_forbidden),
        unless(no_kvm.clone(), "kind_without_sys", kind_without_sys),
        unless(no_kvm.clone(), "without_kvm_the_emulator_is_checked", check),
        unless(no_kvm, "a_missing_machine_is_no_success", missing_machine),
        unless(no_namespaces, "without_kvm_the_emulator_runs", fallback),
    ]
}

/// Runs `vmm` after `mounts`, where nobody else sees them.
fn in_namespace(mounts: &str, args: &[&str]) -> Output {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--map-root-user", "sh", "-c"])
        .arg(format!("{mounts} && exec \"$0\" \"$@\""))
        .arg(binary())
        .args(args);
    output_with_input(&mut command, None)
}

/// Asserts that the run is refused in one line with all of `parts`.
#[track_caller]
fn refused(output: &Output, parts: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(FAILURE), "{stderr}");
    assert_eq!(output.stdout, b"", "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for part in parts {
        assert!(stderr.contains(part), "no {part:?} in {stderr}");
    }
}

fn kvm_missing() {
    let output = in_namespace(EMPTY_DEV, &["run", "--accel", "kvm", "hello"]);
    let why = match in_container() {
        true => "not in this container",
        false => "kvm_intel",
    };
    refused(&output, &["/dev/kvm ", why, "--accel emu"]);
    for container in [CONTAINER, READ_ONLY_CONTAINER] {
        let output = in_namespace(container, &["run", "--accel", "kvm", "hello"]);
        refused(&output, &["--device /dev/kvm", "--accel emu"]);
    }
}

fn in_container() -> bool {
    let (file, variable) = CONTAINER_MARKS;
    Path::new(file).exists() || env::var_os(variable).is_some()
}

/// Without /sys only KVM itself shows its kind.
fn kind_without_sys() {
    let here = host_info();
    let output = in_namespace(NO_SYS, &["info", "--json"]);
    let there: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(there["kvm"]["host_kind"], here["kvm"]["host_kind"]);
    assert_eq!(there["auto"], here["auto"]);
}

fn kvm_forbidden() {
    let output = in_namespace(FORBIDDEN, &["run", "--accel", "kvm", "hello"]);
    let how = match in_container() {
        true => "--group-add",
        false => "usermod",
    };
    refused(&output, &[DENIED, how, "--accel emu"]);
    let container = format!("export container=podman && {FORBIDDEN}");
    let output = in_namespace(&container, &["run", "--accel", "kvm", "hello"]);
    refused(&output, &[DENIED, "--group-add keep-groups", "--accel emu"]);
}

fn fallback() {
    let args = ["run", "--report", "none", "hello"];
    let output = in_namespace(EMPTY_DEV, &args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let expected = "vmm: running in the emulator: /dev/kvm ";
    assert!(stderr.starts_with(expected), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

/// What cannot be checked is said; if that is all, nothing is known.
fn missing_machine() {
    let checked = |machines: &str, option: &[&str]| {
        let text = format!("machines = [{machines}]\n[[guest]]\nrun = 'hello'\n");
        let file = TempFile::new("guests.toml", text.as_bytes());
        let path = file.path().to_str().expect("text");
        let output = in_namespace(FORBIDDEN, &[&["check", path], option].concat());
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            stdout.starts_with("kvm is not on this host: /dev/kvm: "),
            "{stdout}"
        );
        output.status.code()
    };
    assert_eq!(checked("'kvm', 'emu'", &[]), Some(0));
    assert_eq!(checked("'kvm'", &[]), Some(FAILURE));
    assert_eq!(
        checked("'kvm', 'emu'", &["--require", "kvm"]),
        Some(FAILURE)
    );
}

fn check() {
    let checked = |args: &[&str]| {
        let output = in_namespace(FORBIDDEN, &[&["info", "--check"], args].concat());
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let checks = stdout.lines().filter(|line| line.starts_with("check: "));
        assert_eq!(checks.count(), 2, "{stdout}");
        for machine in ["emu", "interpreter"] {
            let passed = format!("check: {machine} passed (");
            assert!(stdout.contains(&passed), "{stdout}");
        }
        output.status.code()
    };
    assert_eq!(checked(&[]), Some(0));
    assert_eq!(checked(&["--require", "kvm"]), Some(FAILURE));
}
