//! Standard output and error are apart, and their end is the program's as on the host.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::Pid;

use crate::run::{start, vmm};
use crate::support::suite::Case;
use crate::support::{Target, shell_status, wait_until_caught};

pub const CASES: &[Case] = &[
    ("errors_are_apart", errors_are_apart),
    ("kernel_lines_are_apart", kernel_lines_are_apart),
    ("one_stream_keeps_the_order", one_stream_keeps_the_order),
    ("a_terminal_is_what_is_one", a_terminal_is_what_is_one),
    ("nobody_reads_output", nobody_reads_output),
    ("nobody_reads_errors", nobody_reads_errors),
    ("nobody_reads_the_report", nobody_reads_the_report),
    ("a_full_disk_is_told", a_full_disk_is_told),
    ("nohup_is_kept", nohup_is_kept),
];

const SIGPIPE: i32 = 128 + Signal::SIGPIPE as i32;
/// Writes to standard output, then to standard error, and ends with the status 7.
const BOTH: [&str; 3] = ["sh", "-c", "echo out; nothing; exit 7"];
const COMPLAINT: &str = "sh: nothing: ENOENT\n";

/// Status, standard output, standard error.
fn outcome(mut command: Command) -> (i32, String, String) {
    let output = command.output().expect("the binary under test starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let [stdout, stderr] = [output.stdout, output.stderr].map(text);
    (shell_status(output.status), stdout, stderr)
}

fn errors_are_apart(target: Target) {
    let ended = outcome(vmm(target, &BOTH));
    assert_eq!(ended, (7, "out\n".to_owned(), COMPLAINT.to_owned()));
}

fn kernel_lines_are_apart(target: Target) {
    let (status, stdout, stderr) = outcome(vmm(target, &["segv", "null"]));
    assert_eq!((status, stdout.as_str()), (139, "accessing null\n"));
    let (kernel, vmm) = stderr.split_once('\n').expect("two lines");
    let said = "kernel: process 1 (segv) killed by SIGSEGV: ";
    assert!(kernel.starts_with(said), "{stderr}");
    assert_eq!(vmm, "vmm: killed by signal 11\n");
}

/// As with `2>&1`.
fn one_stream_keeps_the_order(target: Target) {
    let (mut reader, writer) = io::pipe().expect("descriptors");
    let mut command = vmm(target, &["sh", "-c", "echo a; nothing; echo b; segv null"]);
    command.stdout(writer.try_clone().expect("a descriptor"));
    command.stderr(writer);
    let mut child = start(command);
    let mut said = String::new();
    reader.read_to_string(&mut said).expect("text");
    child.wait().expect("our child");
    let expected = format!("a\n{COMPLAINT}b\naccessing null\nkernel: process ");
    assert!(said.starts_with(&expected), "{said}");
}

/// In every combination, with the terminal at the other places.
fn a_terminal_is_what_is_one(target: Target) {
    for terminals in 0..8 {
        let is_terminal = |fd: usize| terminals >> fd & 1 != 0;
        let pty = openpty(None, None).expect("the host has pseudo-terminals");
        let mut raw = tcgetattr(&pty.slave).expect("it is a terminal");
        cfmakeraw(&mut raw);
        tcsetattr(&pty.slave, SetArg::TCSANOW, &raw).expect("it is a terminal");
        let slave = || Stdio::from(pty.slave.try_clone().expect("a descriptor"));
        let (mut pipe, writer) = io::pipe().expect("descriptors");
        let mut command = vmm(target, &["isatty"]);
        command.stdin(Stdio::null()).stdout(writer);
        if is_terminal(0) {
            command.stdin(slave());
        }
        if is_terminal(1) {
            command.stdout(slave());
        }
        if is_terminal(2) {
            command.stderr(slave());
        } else {
            command.stderr(Stdio::piped());
        }
        let expected: String = (0..3)
            .map(|fd| format!("{fd}: {}\n", is_terminal(fd)))
            .collect();
        let mut child = start(command);
        let mut said = vec![0; expected.len()];
        let mut master = File::from(pty.master);
        let read = match is_terminal(1) {
            true => master.read_exact(&mut said),
            false => pipe.read_exact(&mut said),
        };
        read.expect("the program writes");
        assert_eq!(String::from_utf8_lossy(&said), expected);
        assert_eq!(shell_status(child.wait().expect("our child")), 0);
    }
}

/// `vmm run … | head -1`: a program that writes for ever ends at once, and one that writes
/// no more is not affected.
fn nobody_reads_output(target: Target) {
    let (mut reader, writer) = io::pipe().expect("descriptors");
    let mut command = vmm(target, &["sh", "-c", "echo a; cat"]);
    // It never reads more than the guest can write before the reader is gone.
    command.stdin(File::open("/dev/zero").expect("Linux has it"));
    command.stdout(writer).stderr(Stdio::piped());
    let mut child = start(command);
    reader.read_exact(&mut [0; 2]).expect("the guest writes");
    drop(reader);
    let output = child.wait().expect("our child");
    assert_eq!(shell_status(output), SIGPIPE);
    assert_eq!(
        outcome(without_reader(vmm(target, &["exit_status", "3"]))).0,
        3
    );
}

/// Standard output to a pipe that nobody has open for reading.
fn without_reader(mut command: Command) -> Command {
    command.stdout(io::pipe().expect("descriptors").1);
    command
}

fn nobody_reads_errors(target: Target) {
    let mut command = vmm(target, &BOTH);
    command.stderr(io::pipe().expect("descriptors").1);
    let output = command.stdout(Stdio::piped()).output().expect("it starts");
    assert_eq!(
        (shell_status(output.status), &*output.stdout),
        (SIGPIPE, &b"out\n"[..])
    );
}

fn nobody_reads_the_report(target: Target) {
    let mut command = vmm(target, &["--report", "json", "exit_status", "3"]);
    let gone = io::pipe().expect("descriptors").1;
    let ended = command.stderr(gone).status().expect("it starts");
    assert_eq!(shell_status(ended), SIGPIPE);
}

fn a_full_disk_is_told(target: Target) {
    let full = OpenOptions::new().write(true).open("/dev/full");
    let mut command = vmm(target, &["sh", "-c", "cat; exit 3"]);
    command.stdin(File::open("/dev/zero").expect("Linux has it"));
    command.stdout(OwnedFd::from(full.expect("Linux has it")));
    let output = command.stderr(Stdio::piped()).output().expect("it starts");
    let why = "vmm: error: standard output: No space left on device (os error 28)\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), why);
    assert_eq!(shell_status(output.status), 125);
}

/// A signal that is ignored when `vmm` starts does not end it.
fn nohup_is_kept(target: Target) {
    let mut command = Command::new("sh");
    let mut run = vmm(target, &["spin", "3600000"]);
    run.stdin(Stdio::null());
    command
        .args(["-c", "trap '' HUP; exec \"$@\"", "sh"])
        .arg(run.get_program())
        .args(run.get_args())
        .stderr(Stdio::null());
    let mut child = start(command);
    let pid = Pid::from_raw(child.id().try_into().expect("a process id"));
    wait_until_caught(pid, Signal::SIGTERM);
    kill(pid, Signal::SIGHUP).expect("our child");
    kill(pid, Signal::SIGTERM).expect("our child");
    let ended = child.wait().expect("our child");
    assert_eq!(shell_status(ended), 128 + Signal::SIGTERM as i32);
}
