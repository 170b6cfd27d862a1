//! The command line: errors for bad input and for a host without KVM. And checks of the
//! sources: README and layers.

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod broken_out;
mod check;
mod command_line;
mod confined;
mod host;
mod images;
mod kvm_access;
mod layers;
mod perf_map;
mod readme;
mod strace;
mod traced;

use std::ffi::OsStr;
use std::process::Command;

use support::{Target, binary, output_with_input, suite};

/// Status of a failure of the VMM.
const FAILURE: i32 = 125;
/// Status of an invalid command line.
const USAGE: i32 = 2;

/// Asserts that `vmm` with these arguments says one line, with all of `parts` in it, and
/// ends with `status`.
#[track_caller]
fn refused(args: &[&str], status: i32, parts: &[&str]) {
    let words: Vec<_> = args.iter().map(OsStr::new).collect();
    refused_words(&words, status, parts);
}

/// The same for words of any bytes.
#[track_caller]
fn refused_words(args: &[&OsStr], status: i32, parts: &[&str]) {
    let output = output_with_input(Command::new(binary()).args(args), None);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let context = format!("{args:?} -> {:?}\n{stderr}", output.status.code());
    assert_eq!(output.status.code(), Some(status), "{context}");
    assert_eq!(output.stdout, b"", "{context}");
    assert_eq!(stderr.lines().count(), 1, "{context}");
    assert!(stderr.starts_with("vmm: "), "{context}");
    for part in parts {
        assert!(stderr.contains(part), "no {part:?}: {context}");
    }
}

fn main() {
    let mut trials = bad_input::trials();
    trials.extend(command_line::trials());
    trials.extend(suite::on(&Target::ALL, command_line::CASES));
    trials.extend(broken_out::trials());
    trials.extend(check::trials());
    trials.extend(confined::trials());
    trials.extend(host::trials());
    trials.extend(images::trials());
    trials.extend(kvm_access::trials());
    trials.extend(layers::trials());
    trials.extend(perf_map::trials());
    trials.extend(readme::trials());
    trials.extend(traced::trials());
    suite::main(trials);
}
