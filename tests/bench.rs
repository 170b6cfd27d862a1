//! `vmm bench`: every measure on every machine of this host. Counts are asserted; times
//! must only be present.

mod support;

use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use support::elf::TempFile;
use support::suite::{self, Case, plain};
use support::{Target, binary, list, output_with_input, reported, reported_json};

fn main() {
    let cases: &[Case] = &[("every_measure", every_measure), ("two_cpus", two_cpus)];
    let mut trials = suite::on(&Target::ALL, cases);
    trials.push(plain("table", table));
    trials.push(plain("without_a_file", without_a_file));
    trials.push(plain("measures_are_listed", measures_are_listed));
    trials.push(plain("interrupted", interrupted));
    trials.push(plain("baseline", baseline));
    trials.push(plain("bad_baseline", bad_baseline));
    trials.push(plain("unknown_measure", unknown_measure));
    suite::main(trials);
}

/// What `vmm bench` prints with these arguments.
fn bench(args: &[&str]) -> Output {
    output_with_input(Command::new(binary()).arg("bench").args(args), None)
}

/// Names of all measures.
fn names() -> Vec<String> {
    let output = bench(&["--list"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("a list is text");
    let names = text.lines().filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

/// Measure, port exits and system calls of an operation, whoever runs it.
const COUNTS: [(&str, f64, f64); 11] = [
    ("call", 0.0, 0.0),
    ("lat_syscall_null", 0.0, 1.0),
    ("lat_syscall_null_int80", 0.0, 1.0),
    ("lat_syscall_write", 0.0, 1.0),
    ("store", 0.0, 0.0),
    // Batching saves the system calls and not the exits.
    ("write_each", 1.0, 1.0),
    ("bw_console", 1.0, 0.0),
    ("lat_ctx", 0.0, 1.0),
    ("lat_pipe", 0.0, 4.0),
    ("lat_proc_fork", 0.0, 3.0),
    ("lat_pagefault", 0.0, 0.0),
];

/// Instructions in ring 0 of a system call that does nothing, with room for a tick.
const NULL_LIMIT: f64 = 130.0;

fn every_measure(target: Target) {
    let machine = target.to_string();
    let (status, stdout, json) = reported_json(&["bench", "--quick", "--on", &machine]);
    assert_eq!((status, stdout.as_str()), (Some(0), ""));
    assert_eq!(json["machines"], serde_json::json!([machine]));
    assert_eq!(json["samples"], 1);
    assert!(json["host"]["kernel"].is_string(), "{:#}", json["host"]);
    assert!(
        json["host"]["cpus"].as_u64() >= Some(1),
        "{:#}",
        json["host"]
    );
    let measures = list(&json["measures"]);
    let measured = measures
        .iter()
        .filter_map(|measure| measure["name"].as_str());
    assert_eq!(measured.collect::<Vec<_>>(), names());

    let figure = |name: &str| -> &Value {
        let measure = measures.iter().find(|measure| measure["name"] == name);
        &measure.unwrap_or_else(|| panic!("no {name}"))["figures"][0]
    };
    let count = |name: &str, count: &str| -> f64 {
        let value = figure(name)[count].as_f64();
        value.unwrap_or_else(|| panic!("no {count} of {name}: {:#}", figure(name)))
    };
    for measure in measures {
        let (name, absent) = (measure["name"].as_str().unwrap_or(""), &measure["absent"]);
        if SEVERAL_CPUS.contains(&name) {
            let reason = "it takes several CPUs: see --cpus";
            assert_eq!(absent[0]["reason"], reason, "{measure:#}");
            continue;
        }
        if target == Target::Kvm && name.contains("hlt") {
            let reason = absent[0]["reason"].as_str().unwrap_or_default();
            assert!(reason.starts_with("a halt stays in KVM"), "{measure:#}");
            continue;
        }
        assert_eq!(list(absent).len(), 0, "{measure:#}");
        assert_eq!(figure(name)["machine"], *machine, "{measure:#}");
        assert!(figure(name)["ns"]["median"].is_f64(), "{measure:#}");
        if name.starts_with("exit_") {
            assert_eq!(count(name, "exits"), 1.0, "{measure:#}");
        }
        if name.starts_with("ring3_") {
            assert!(count(name, "host_ns") > 0.0, "{measure:#}");
        }
    }
    for (name, port_exits, syscalls) in COUNTS {
        // A wait may take one call more or less, of many.
        let near = |count: f64, expected: f64| (count - expected).abs() < 0.1;
        let figure = figure(name);
        assert_eq!(count(name, "port_exits"), port_exits, "{name}: {figure:#}");
        assert!(
            near(count(name, "syscalls"), syscalls),
            "{name}: {figure:#}"
        );
    }
    assert!(count("call", "exits") < 0.1, "{:#}", figure("call"));
    if target == Target::Kvm {
        // Not even a tick is one.
        assert_eq!(count("lat_syscall_null", "exits"), 0.0);
    }
    if target == Target::Emu {
        let cost = count("lat_syscall_null", "ring0_instructions");
        assert!((1.0..NULL_LIMIT).contains(&cost), "{cost}");
        assert!(count("call", "ring0_instructions") < 1.0);
        assert_eq!(count("exit_pio_out", "ring0_instructions"), 2.0);
    }
}

/// Measures that take several CPUs.
const SEVERAL_CPUS: [&str; 5] = [
    "lat_ipi",
    "lat_shootdown",
    "lat_wake",
    "scale_processes",
    "scale_threads",
];

/// Figures of all measures that take two CPUs, and of one that is of one CPU.
fn two_cpus(target: Target) {
    let machine = target.to_string();
    let args = ["bench", "--quick", "--on", &machine, "--cpus", "2", "call"];
    let args = [&args[..], &SEVERAL_CPUS].concat();
    let (status, stdout, json) = reported_json(&args);
    assert_eq!((status, stdout.as_str()), (Some(0), ""));
    assert_eq!(json["cpus"], 2);
    let measures = list(&json["measures"]);
    assert_eq!(measures.len(), SEVERAL_CPUS.len() + 1, "{measures:#?}");
    for measure in measures {
        let [figure] = list(&measure["figures"]) else {
            panic!("{measure:#}");
        };
        let name = measure["name"].as_str().unwrap_or_default();
        assert!(name == "call" || SEVERAL_CPUS.contains(&name), "{name}");
        let is_positive = |value: &Value| value.as_f64().is_some_and(|value| value > 0.0);
        let scales = name.starts_with("scale_");
        // Of the others it is a difference, which a busy host can make nothing of.
        let ns = &figure["ns"]["median"];
        assert!(is_positive(ns) || !scales && ns.is_f64(), "{measure:#}");
        for part in ["one_cpu_ns", "host_ns"] {
            assert_eq!(is_positive(&figure[part]), scales, "{part}: {measure:#}");
        }
        let expected = match name {
            "lat_ipi" => 1.0,
            "lat_shootdown" => 2.0,
            _ => continue,
        };
        let calls = figure["syscalls"].as_f64().unwrap_or_default();
        // The two threads may wait for each other before and after.
        assert!((calls - expected).abs() < 0.1, "{measure:#}");
    }
}

fn table() {
    let (status, stdout, text) = reported(&["bench", "--quick", "exit_pio_out", "exit_hlt"]);
    assert_eq!((status, stdout.as_str()), (Some(0), ""));
    for part in [
        "Host     ",
        "\nSamples  1 of each, medians\n",
        "\n  Time of an operation ",
        "\n  VM exits of an operation ",
    ] {
        assert!(text.contains(part), "no {part:?}: {text}");
    }
    for target in Target::ALL {
        let missing = text.contains(&format!("\n{target}  not on this host: "));
        assert_eq!(missing, target.missing().is_some(), "{target}: {text}");
    }
    // Nothing that was not requested.
    assert!(!text.contains("lat_pipe"), "{text}");

    let scale = ["--quick", "--on", "emu", "scale_threads"];
    let (_, _, text) = reported(&[&["bench", "--cpus", "2"], &scale[..]].concat());
    for part in [
        "\nCPUs     2 for measures that take several, else 1\n",
        "\n  On one CPU ",
        "\n  On 2 CPUs against one ",
    ] {
        assert!(text.contains(part), "no {part:?}: {text}");
    }
}

/// No guest prints here, so the report is what the command is for.
fn without_a_file() {
    let output = bench(&["--quick", "--on", "emu", "--report", "json", "store"]);
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON on standard output");
    assert_eq!(json["measures"][0]["name"], "store");
}

fn measures_are_listed() {
    let names = names();
    for name in ["exit_pio_out", "lat_ctx", "lat_proc_fork", "cold_start"] {
        assert!(
            names.iter().any(|listed| listed == name),
            "no {name}: {names:?}"
        );
    }
}

/// What was measured until then is reported.
fn interrupted() {
    let mut command = Command::new(binary());
    command.args([
        "bench",
        "--on",
        "emu",
        "--samples",
        "100000",
        "exit_pio_in",
        "ring3_fib",
    ]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped());
    let child = child.stderr(Stdio::piped()).spawn().expect("it starts");
    // Long enough for a sample of the first, and far too short for all.
    thread::sleep(Duration::from_secs(3));
    let pid = Pid::from_raw(child.id().try_into().expect("a process id"));
    kill(pid, Signal::SIGINT).expect("our child");
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(
        text.contains("\nStopped  early: killed by signal 2"),
        "{text}"
    );
    let row = text.contains("\n  exit_pio_in ");
    assert!(row, "no samples until then: {text}");
}

fn baseline() {
    let args = ["bench", "--on", "emu", "--samples", "2", "exit_pio_in"];
    let (_, _, text) = reported(&[&args[..], &["--report", "json"]].concat());
    let earlier = TempFile::new("earlier.json", text.as_bytes());
    let path = earlier.path().to_str().expect("temporary paths are text");
    let args = [&args[..], &["--baseline", path]].concat();
    let (status, _, text) = reported(&args);
    assert_eq!(status, Some(0), "{text}");
    let table = text
        .split_once("\n  Against the baseline")
        .expect("a table")
        .1;
    let row = table.lines().nth(1).unwrap_or_default();
    assert!(
        row.starts_with("  exit_pio_in ") && row.ends_with('x'),
        "{text}"
    );
    let (_, _, json) = reported_json(&args);
    let ratio = json["measures"][0]["figures"][0]["baseline_ratio"].as_f64();
    assert!(ratio > Some(0.0), "{json:#}");
}

/// Asserts one line on standard error, with these parts, and `status`.
fn refused(args: &[&str], status: i32, parts: &[&str]) {
    let output = bench(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{stderr}");
    assert!(
        stderr.starts_with("vmm: ") && stderr.lines().count() == 1,
        "{stderr}"
    );
    for part in parts {
        assert!(stderr.contains(part), "no {part:?}: {stderr}");
    }
}

fn bad_baseline() {
    refused(
        &["--baseline", "/nonexistent/file"],
        125,
        &["/nonexistent/file: No such file"],
    );
    for contents in ["", "not JSON", "{}", "{\"measures\": [{\"name\": 7}]}"] {
        let file = TempFile::new("baseline", contents.as_bytes());
        let path = file.path().to_str().expect("temporary paths are text");
        refused(
            &["--baseline", path],
            125,
            &[path, "not a report of `vmm bench"],
        );
    }
}

fn unknown_measure() {
    let remedy = "see `vmm bench --list`";
    refused(
        &["lat_pip"],
        2,
        &["no measure \"lat_pip\"", "did you mean lat_pipe", remedy],
    );
    refused(&["zzz"], 2, &["no measure \"zzz\";", remedy]);
}
