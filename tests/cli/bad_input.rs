//! Bad input: one clear line on standard error, nothing on standard output, status 125, or
//! 2 for an invalid command line.

use std::process::Command;

use libtest_mimic::Trial;

use super::{FAILURE, USAGE, refused};
use crate::support::elf::{self, E_MACHINE, E_TYPE, P_TYPE, TempFile};
use crate::support::suite::plain;
use crate::support::{binary, output_with_input};

const MIB: usize = 1 << 20;

pub fn trials() -> Vec<Trial> {
    vec![
        plain("unknown_program", unknown_program),
        plain("files_that_are_no_program", files_that_are_no_program),
        plain("program_larger_than_memory", program_larger_than_memory),
        plain("sizes_and_durations", sizes_and_durations),
        plain("files_that_cannot_be_opened", files_that_cannot_be_opened),
        plain("kernels_that_are_none", kernels_that_are_none),
        plain(
            "command_lines_that_make_no_sense",
            command_lines_that_make_no_sense,
        ),
        plain("program_of_the_host", program_of_the_host),
        plain("files_of_the_host", files_of_the_host),
    ]
}

/// Asserts that `vmm run` and `vmm compare` refuse a program file of these bytes.
#[track_caller]
fn program_refused(bytes: &[u8], options: &[&str], parts: &[&str]) {
    let file = TempFile::new("program", bytes);
    let path = file.path().to_str().expect("temporary paths are text");
    for command in ["run", "compare"] {
        let args = [&[command], options, &[path]].concat();
        refused(&args, FAILURE, parts);
    }
}

fn unknown_program() {
    refused(
        &["run", "helo"],
        USAGE,
        &["no program \"helo\"", "did you mean hello?", "vmm list"],
    );
    refused(&["compare", "helo"], USAGE, &["did you mean hello?"]);
    refused(
        &["run", "zzzzzz"],
        USAGE,
        &["no program \"zzzzzz\"; see `vmm list`"],
    );
    refused(&["run", ""], USAGE, &["no program \"\""]);
    refused(
        &["run", "./no/such/file"],
        USAGE,
        &["./no/such/file: No such file"],
    );
    refused(&["run", "/"], FAILURE, &["/ is a directory"]);
}

fn files_that_are_no_program() {
    let good = elf::program(0);
    program_refused(b"", &[], &["not an ELF file"]);
    program_refused(b"#!/bin/sh\n", &[], &["not an ELF file"]);
    for length in [5, 20, 63, 64, 100, good.len() - 1] {
        program_refused(&good[..length], &[], &["truncated"]);
    }
    let mut arm = good.clone();
    arm[E_MACHINE] = 183;
    program_refused(&arm, &[], &["x86-64"]);
    let mut dynamic = good.clone();
    dynamic[P_TYPE] = 3;
    program_refused(&dynamic, &[], &["not static", "--root /"]);
    let mut object = good;
    object[E_TYPE] = 1;
    program_refused(&object, &[], &["not an executable"]);
}

fn program_larger_than_memory() {
    let mut large = elf::program(0);
    large.resize(20 * MIB, 0);
    let parts = ["--memory", "20M", "16M"];
    program_refused(&large, &["--memory", "16M"], &parts);
    refused(
        &["run", "--memory", "1M", "hello"],
        USAGE,
        &["between 6M and 1T", "--memory"],
    );
}

fn sizes_and_durations() {
    for (args, part) in [
        (["--memory", "lots"], "--memory <SIZE>"),
        (["--memory", "64X"], "--memory <SIZE>"),
        (["--memory", "6\n\n4X"], "--memory <SIZE>"),
        (["--memory", "99999999999T"], "too large"),
        (["--tick", "10"], "10ms"),
        (["--tick", "soon"], "--tick <TIME>"),
        (["--timeout", "1 fortnight"], "--timeout <TIME>"),
    ] {
        refused(
            &[&["run"], args.as_slice(), &["hello"]].concat(),
            USAGE,
            &[part],
        );
        refused(
            &[&["compare"], args.as_slice(), &["hello"]].concat(),
            USAGE,
            &[part],
        );
    }
    for (args, part) in [
        (["--memory", "0"], "between 6M and 1T"),
        (["--memory", "2T"], "between 6M and 1T"),
        (["--memory", "12345678"], "units of 4K"),
        (["--cpus", "0"], "give between 1 and 32, or auto"),
        (["--cpus", "33"], "give between 1 and 32, or auto"),
        (["--cpus", "many"], "give between 1 and 32, or auto"),
        (["--tick", "10us"], "between 1ms and 1s"),
        (["--tick", "2s"], "between 1ms and 1s"),
    ] {
        refused(
            &[&["run"], args.as_slice(), &["hello"]].concat(),
            USAGE,
            &[part],
        );
    }
}

fn files_that_cannot_be_opened() {
    for option in ["--kernel", "--initrd"] {
        let args = ["run", option, "/no/such/file", "hello"];
        refused(&args, FAILURE, &["/no/such/file: No such file"]);
    }
    let args = ["run", "--report-file", "/no/such/folder/report", "hello"];
    refused(&args, FAILURE, &["/no/such/folder/report: No such file"]);
    let args = ["compare", "--input", "/no/such/file", "hello"];
    refused(&args, FAILURE, &["/no/such/file: No such file"]);
}

fn kernels_that_are_none() {
    for (bytes, part) in [
        (b"no kernel".as_slice(), "kernel: not an ELF file"),
        (&elf::program(0), "kernel: no PVH entry point"),
        (&elf::program(0)[..100], "kernel: truncated"),
    ] {
        let file = TempFile::new("kernel", bytes);
        let path = file.path().to_str().expect("temporary paths are text");
        refused(&["run", "--kernel", path, "hello"], FAILURE, &[part]);
    }
}

fn command_lines_that_make_no_sense() {
    refused(&["run"], USAGE, &["<PROGRAM>"]);
    refused(&["fly"], USAGE, &["fly"]);
    for command in ["run", "compare"] {
        let args = [command, "--report", "html", "hello"];
        refused(&args, USAGE, &["--report html needs --report-file PATH"]);
    }
    let args = ["bench", "--quick", "--html", "page", "report"];
    refused(&args, USAGE, &["--html", "cannot be used with", "--quick"]);
    refused(&["bench", "--html", "page"], USAGE, &["<MEASURE>..."]);
    let args = ["bench", "--html", "page", "/no/such/file"];
    refused(&args, FAILURE, &["/no/such/file: No such file"]);
    refused(
        &["run", "--memroy", "64M", "hello"],
        USAGE,
        &["--memroy", "similar", "--memory"],
    );
    refused(
        &["run", "--accel", "warp", "hello"],
        USAGE,
        &["warp", "auto, kvm, emu"],
    );
    refused(
        &["run", "--apic", "none", "hello"],
        USAGE,
        &["kernel, user"],
    );
    refused(&["compare", "--runs", "0", "hello"], USAGE, &["--runs <N>"]);
    refused(
        &["run", "--accel", "kvm", "--max-instructions", "5", "hello"],
        USAGE,
        &["does not count instructions", "--accel emu"],
    );
    refused(
        &["run", "--accel", "kvm", "--engine", "translator", "hello"],
        USAGE,
        &["--engine needs --accel emu", "the processor executes"],
    );
    refused(
        &["run", "--accel", "kvm", "--perf-map", "hello"],
        USAGE,
        &["--perf-map needs --accel emu", "the processor executes"],
    );
    refused(
        &["run", "--perf-map", "--engine", "interpreter", "hello"],
        USAGE,
        &["--perf-map needs --engine translator", "makes no code"],
    );
}

/// The good file that the bad ones are made from is indeed good.
fn program_of_the_host() {
    let file = TempFile::new("program", &elf::program(7));
    let mut command = Command::new(binary());
    command.args(["run", "--report", "none"]).arg(file.path());
    let output = output_with_input(&mut command, None);
    assert_eq!(output.status.code(), Some(7), "{output:?}");
}

fn files_of_the_host() {
    const ROOT: &str = env!("CARGO_MANIFEST_DIR");
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    let tar = TempFile::new("no.tar", b"no archive");
    let tar = tar.path().to_str().expect("temporary paths are text");
    for (args, parts) in [
        (&["--root", "/no/such", "x"], ["/no/such", "No such file"]),
        (&["--root", tar, "x"], [tar, "docker export"]),
        (
            &["--dir", "/no/such", "hello"],
            ["/no/such", "No such file"],
        ),
        (
            &["--file", "/dev/null", "hello"],
            ["/dev/null", "regular file"],
        ),
        (&["--save", "/x:/", "hello"], ["/ exists", "empty folder"]),
        (
            &["--save", "/x:/no/such/y", "hello"],
            ["/no/such", "No such file"],
        ),
    ] {
        refused(&[&["run"], &args[..]].concat(), FAILURE, &parts);
    }
    for (args, parts) in [
        (&["--root", ROOT, "no_such_program"], ["/usr/bin", "PATH"]),
        (
            &["--root", ROOT, "/Cargo.toml"],
            ["/Cargo.toml", "chmod +x"],
        ),
        (&["--root", ROOT, "/tests"], ["/tests", "is a folder"]),
        (&["--dir", FILE, "hello"], [FILE, "--file"]),
        (&["--file", FOLDER, "hello"], [FOLDER, "--dir"]),
        (&["--dir", "a:b", "hello"], ["a:b", "begins with /"]),
        (&["--env", "=x", "hello"], ["has no name", "NAME=VALUE"]),
        (&["--user", "root", "hello"], ["UID", "1000:1000"]),
        (&["--hostname", "", "hello"], ["--hostname", "1 to 64"]),
        (&["--save", "x:y", "hello"], ["GUEST:HOST", "begins with /"]),
    ] {
        refused(&[&["run"], &args[..]].concat(), USAGE, &parts);
    }
}
