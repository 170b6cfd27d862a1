//! The bundled programs do the same on all machines, but for those that cannot.

use std::process::Command;

use serde_json::Value;

use crate::compare_json;
use crate::support::{binary, list, output_with_input};

/// Arguments of programs that do more with them, or less where it would take minutes.
const ARGUMENTS: &[&[&str]] = &[
    &["args", "one", "two words"],
    &["collatz", "10000"],
    &["exit_status", "7"],
    &["fork_bomb", "30"],
    &["many", "20"],
    &["memory_hog", "16"],
    &["soak", "3"],
    &["yield", "100"],
];

/// Programs that are not compared in the nested host.
const NOT_NESTED: &[&str] = &[
    // QEMU's processor raises #GP where others raise #SS.
    "signal_frames",
    // No guest of KVM has AVX there: QEMU's SVM does not tell KVM of a guest's `xsetbv`.
    "ymm",
    // Seconds where KVM emulates ring 0, minutes where the emulator is emulated.
    "bounded_buffer",
    "cow",
    "factorial",
    "fork_bomb",
    "many",
    "memory_hog",
    "pipes",
    "signals",
    "soak",
    "stack_growth",
];

/// Programs that are not compared: what they do depends on time or on somebody at the other
/// end, or takes minutes where KVM emulates ring 0.
const NOT_COMPARED: &[&str] = &[
    // Timing: order, progress, ends.
    "fairness",
    "interleave",
    "litmus",
    "loops",
    "sleep",
    "spin",
    "registers",
    "time",
    // Another machine, or a terminal.
    "job_control",
    "link",
    "sh",
    "storage_client",
    "storage_server",
    // Software-backed KVM: where it emulates the program, some faults are others; what it
    // does not announce is there.
    "corners",
    "unannounced",
    // Minutes.
    "usertests",
];

/// Names of the bundled programs.
fn bundled() -> Vec<String> {
    let output = output_with_input(Command::new(binary()).args(["list", "--json"]), None);
    let programs: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let names = list(&programs["programs"]).iter();
    names
        .filter_map(|program| program["name"].as_str().map(ToOwned::to_owned))
        .collect()
}

/// Those that the nested hosts compare too.
pub fn of_bundled_programs() {
    let bundled = bundled();
    for named in NOT_NESTED.iter().chain(NOT_COMPARED) {
        assert!(bundled.iter().any(|name| name == named), "no {named}");
    }
    let elsewhere = |name: &&str| NOT_NESTED.contains(name) || NOT_COMPARED.contains(name);
    let names = bundled.iter().map(String::as_str);
    for name in names.filter(|name| !elsewhere(name)) {
        machines_agree(name, 2);
    }
}

pub fn of_more_programs() {
    for name in NOT_NESTED {
        machines_agree(name, 1);
    }
}

/// All machines end the program of this name in the same way, by the same port I/O.
fn machines_agree(name: &str, runs: usize) {
    let alone = [name];
    let with_arguments = ARGUMENTS.iter().find(|words| words[0] == name);
    let program = with_arguments.map_or(&alone[..], |words| words);
    let (status, _, json) = compare_json(&[&["--runs", &runs.to_string()], program].concat());
    assert_eq!(status, Some(0), "{program:?}: {:#}", json["verdict"]);
    assert_eq!(
        json["verdict"]["not_deterministic"],
        Value::Null,
        "{program:?}"
    );
    assert_eq!(
        list(&json["verdict"]["differences"]).len(),
        0,
        "{program:?}"
    );
    for row in list(&json["exits"]) {
        let reason = row["reason"].as_str().unwrap_or_default();
        let cause = &row["cause"];
        assert!(
            !reason.starts_with("pio_") || cause.is_null(),
            "{program:?}: {row:#}"
        );
        assert_ne!(cause, "program", "{program:?}: {row:#}");
    }
    for machine in list(&json["machines"]) {
        assert_eq!(list(&machine["reports"]).len(), runs, "{program:?}");
        let parts = ["setup_ns", "guest_ns", "vmm_ns", "idle_ns"];
        for report in list(&machine["reports"]) {
            let time = parts.iter().map(|part| report["time"][part].as_u64());
            let sum: Option<u64> = time.sum();
            assert_eq!(sum, report["wall_ns"].as_u64(), "{program:?}");
        }
    }
}
