//! Standard input that is no terminal is a stream of bytes.

use std::io::{self, Read, Write};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::run::{Kind, start, vmm};
use crate::support::elf::TempFile;
use crate::support::suite::Case;
use crate::support::{Target, shell_status};

pub const CASES: &[Case] = &[
    ("any_bytes_pass", any_bytes_pass),
    ("long_lines_pass", long_lines_pass),
    ("much_takes_few_exits", much_takes_few_exits),
    ("nothing_is_an_end", nothing_is_an_end),
    ("a_line_comes_when_it_is_written", a_line_comes_when_written),
    ("input_that_cannot_be_read_is_an_end", unreadable),
];

/// Bytes that a terminal would not pass unchanged: every byte, the keys for signals and for
/// the end among them, and no end of the last line.
fn any_bytes_pass(target: Target) {
    let bytes: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
    for kind in Kind::ALL {
        passes(target, kind, &bytes);
    }
}

/// Longer than any buffer on the way.
fn long_lines_pass(target: Target) {
    const MIB: usize = 1 << 20;
    for kind in [Kind::Pipe, Kind::File] {
        passes(target, kind, &line(MIB));
    }
    let mut command = vmm(target, &["wc"]);
    command.stdin(Kind::Pipe.input(&line(MIB)));
    assert_eq!(output(command), format!("0 1 {MIB}\n").as_bytes());
}

/// Ten megabytes come in and go out in pieces: an exit carries as many bytes as the program
/// reads or writes at once.
fn much_takes_few_exits(target: Target) {
    const MIB: usize = 1 << 20;
    const MOST: u64 = 1000;
    let (bytes, report) = (line(10 * MIB), TempFile::new("report", b""));
    let mut command = vmm(target, &[]);
    let report_to = ["--tick", "1s", "--report", "json", "--report-file"];
    command.args(report_to).arg(report.path()).arg("cat");
    command.stdin(Kind::File.input(&bytes));
    assert!(output(command) == bytes);
    let report = std::fs::read(report.path()).expect("there is a report");
    let report: Value = serde_json::from_slice(&report).expect("it is JSON");
    // What a KVM that emulates ring 0 leaves to the VMM is beside the point.
    let rows = report["exits"].as_array().into_iter().flatten();
    let rows = rows.filter(|row| row["reason"] != "emulated");
    let exits: u64 = rows.filter_map(|row| row["count"].as_u64()).sum();
    assert!((1..=MOST).contains(&exits), "{report:#}");
}

/// One word that shows a lost or doubled piece.
fn line(len: usize) -> Vec<u8> {
    let numbers = (0..).flat_map(|number: u32| format!("{number}-").into_bytes());
    numbers.take(len).collect()
}

/// Asserts that `cat` writes what it reads.
#[track_caller]
fn passes(target: Target, kind: Kind, bytes: &[u8]) {
    let mut command = vmm(target, &["cat"]);
    let (stdout, out) = kind.output();
    command.stdin(kind.input(bytes)).stdout(stdout);
    let mut child = start(command);
    assert_eq!(
        shell_status(child.wait().expect("our child")),
        0,
        "{kind:?}"
    );
    let passed = out.all();
    let differs = passed.iter().zip(bytes).position(|(out, byte)| out != byte);
    assert_eq!((passed.len(), differs), (bytes.len(), None), "{kind:?}");
}

fn output(mut command: Command) -> Vec<u8> {
    let output = command.output().expect("the binary under test starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!((shell_status(output.status), &*errors), (0, ""));
    output.stdout
}

fn nothing_is_an_end(target: Target) {
    let kinds = Kind::ALL.map(|kind| kind.input(b""));
    for input in kinds.into_iter().chain([Stdio::null()]) {
        let mut command = vmm(target, &["cat"]);
        command.stdin(input);
        assert_eq!(output(command), b"");
    }
    // As a shell's `<&-`.
    let mut closed = vmm(target, &["cat"]);
    crate::run::close_stdin(&mut closed);
    assert_eq!(output(closed), b"");
}

/// The program waits for it, and nothing is held back until there is more.
fn a_line_comes_when_written(target: Target) {
    let (reader, mut writer) = io::pipe().expect("descriptors");
    let (mut out, stdout) = io::pipe().expect("descriptors");
    let mut command = vmm(target, &["cat"]);
    command.stdin(reader).stdout(stdout);
    let mut child = start(command);
    for line in ["one\n", "two\n", "end"] {
        writer.write_all(line.as_bytes()).expect("it is read");
        let mut passed = vec![0; line.len()];
        out.read_exact(&mut passed).expect("it comes");
        assert_eq!(passed, line.as_bytes());
    }
    drop(writer);
    assert_eq!(shell_status(child.wait().expect("our child")), 0);
    assert_eq!(out.read(&mut [0]).expect("it can be read"), 0);
}

fn unreadable(target: Target) {
    let folder = std::fs::File::open(std::env::temp_dir()).expect("a folder");
    let mut command = vmm(target, &["cat"]);
    let output = command.stdin(folder).output().expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!((shell_status(output.status), output.stdout.len()), (0, 0));
    assert_eq!(
        errors,
        "vmm: standard input: Is a directory (os error 21)\n"
    );
    // As a shell's `0>&1`.
    let (_reader, writer) = io::pipe().expect("descriptors");
    let mut command = vmm(target, &["cat"]);
    let output = command.stdin(writer).output().expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!((shell_status(output.status), output.stdout.len()), (0, 0));
    assert_eq!(
        errors,
        "vmm: standard input: Bad file descriptor (os error 9)\n"
    );
}
