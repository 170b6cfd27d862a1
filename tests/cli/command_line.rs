//! Parsing of the command line, and the status of errors.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::thread;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::support::suite::{Case, plain};
use crate::support::{Target, binary, output_with_input};

use super::{FAILURE, USAGE, refused, refused_words};

pub const CASES: &[Case] = &[
    ("smallest_memory", smallest_memory),
    ("as_many_cpus_as_the_host", as_many_cpus_as_the_host),
    ("what_a_report_has_is_explained", report_is_explained),
];

pub fn trials() -> Vec<Trial> {
    vec![
        plain("words_after_the_program", words_after_the_program),
        plain("words_that_are_no_text", words_that_are_no_text),
        plain("status_of_misuse", status_of_misuse),
        plain("text_fits_a_terminal", text_fits_a_terminal),
        plain("json_has_a_schema", json_has_a_schema),
        plain("names_are_explained", names_are_explained),
        plain("required_accelerator", required_accelerator),
        plain("too_little_of_the_host", too_little_of_the_host),
    ]
}

/// Standard output of `vmm` with these arguments, which must succeed.
#[track_caller]
fn output(args: &[&str]) -> String {
    let output = output_with_input(Command::new(binary()).args(args), None);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {stderr}");
    String::from_utf8(output.stdout).expect("text")
}

fn words_after_the_program() {
    let vmm = ["run", "--accel", "emu", "--report", "none", "args"];
    for words in [
        &["--help"][..],
        &["--report", "none"],
        &["--tick", "1"],
        &["a", "--version", "-x", "--", "--memory=1"],
        &["--"],
    ] {
        let shown = output(&[&vmm[..], words].concat());
        let expected = words.iter().enumerate().map(|(number, word)| {
            let number = number + 1;
            format!("argument {number}: {word:?}")
        });
        let arguments = shown.lines().filter(|line| line.starts_with("argument "));
        let arguments: Vec<_> = arguments.skip(1).map(ToOwned::to_owned).collect();
        assert_eq!(arguments, expected.collect::<Vec<_>>());
    }
}

fn as_many_cpus_as_the_host(target: Target) {
    let host = thread::available_parallelism().expect("the host says so");
    let run = target.vmm("cat").args(&["/proc/cpuinfo"]);
    let run = run.options(&["--cpus", "auto"]).run();
    let expected = host.get().min(32);
    let processors = run.stdout.lines();
    let processors = processors.filter(|line| line.starts_with("processor\t"));
    assert_eq!(processors.count(), expected, "{run}");
    assert_eq!(run.report["cpus"], expected, "{run}");
    run.status(0);
}

fn words_that_are_no_text() {
    let word = OsStr::from_bytes(b"\xff");
    let args = ["run".as_ref(), "args".as_ref(), word];
    refused_words(&args, USAGE, &["not UTF-8", "\\xFF"]);
    refused_words(&["run".as_ref(), word], USAGE, &["no program"]);
    refused_words(&["bench".as_ref(), word], USAGE, &["UTF-8", "\\xFF"]);
    // A path may be of any bytes, and stays on its line.
    let path = OsStr::from_bytes(b"/no\nsuch\x1b[31m\xff");
    refused_words(&["run".as_ref(), path], USAGE, &["/no\\nsuch\\u{1b}[31m"]);
}

fn status_of_misuse() {
    refused(&["trace", "--pid", "0", "hello"], USAGE, &["--pid <N>"]);
    refused(&["bench", "lat_pip"], USAGE, &["did you mean lat_pipe"]);
    refused(&["bench", "--samples", "0"], USAGE, &["--samples <N>"]);
    for option in [
        &["--max-instructions", "5"][..],
        &["--deterministic"],
        &["--seed", "1"],
    ] {
        let args = [&["run", "--accel", "kvm"], option, &["hello"]].concat();
        refused(&args, USAGE, &[option[0], "--accel emu"]);
    }
    let long = "x".repeat(70_000);
    refused(&["run", "hello", &long], USAGE, &["at most 65535 fit"]);
}

fn text_fits_a_terminal() {
    let mut all = vec![
        vec!["--help"],
        vec!["list"],
        vec!["info"],
        vec!["bench", "--list"],
        vec!["explain"],
        vec!["explain", "x2apic"],
        vec!["bench", "--quick", "exit_pio_out", "call"],
    ];
    for command in [
        "run", "compare", "check", "bench", "trace", "explain", "info", "list", "images",
    ] {
        all.push(vec![command, "--help"]);
    }
    for args in all {
        for line in output(&args).lines() {
            assert!(line.chars().count() <= 80, "{args:?}: {line}");
        }
    }
    let mut command = Command::new(binary());
    command.args(["compare", "--runs", "3", "interleave", "2"]);
    let compared = output_with_input(&mut command, None);
    for line in String::from_utf8_lossy(&compared.stderr).lines() {
        assert!(line.chars().count() <= 80, "compare: {line}");
    }
    // Every sentence is whole.
    let list = output(&["list"]);
    let programs = list.lines().filter(|line| !line.starts_with(' ')).count();
    assert!(programs > 50, "{list}");
    for entry in list.replace("\n ", " ").lines() {
        assert!(entry.ends_with('.') || entry.ends_with(')'), "{entry}");
    }
}

fn json_has_a_schema() {
    for args in [
        &["list", "--json"][..],
        &["info", "--json"],
        &["explain", "--json"],
        &[
            "bench", "--quick", "--on", "emu", "--report", "json", "call",
        ],
    ] {
        let json: Value = serde_json::from_str(&output(args)).expect("JSON");
        assert_eq!(json["schema"], 1, "{args:?}");
    }
    for command in ["run", "compare"] {
        let mut vmm = Command::new(binary());
        vmm.args([command, "--report", "json", "hello"]);
        let output = output_with_input(&mut vmm, None);
        let json: Value = serde_json::from_slice(&output.stderr).expect("JSON");
        assert_eq!(json["schema"], 1, "{command}");
    }
}

fn names_are_explained() {
    let text = output(&["explain", "pio_out"]);
    for part in [
        "exit pio_out\n",
        "\n  Cause   ",
        "\n  Cost  ",
        "\n  Avoid  ",
        "\n  Source",
    ] {
        assert!(text.contains(part), "no {part:?}: {text}");
    }
    assert_eq!(output(&["explain", "exit", "pio_out"]), text);
    let list = output(&["explain"]);
    for name in [
        "pio_out",
        "halt_exits",
        "serial (0x3f8)",
        "lstar (0xc0000082)",
        "fork (57)",
    ] {
        assert!(list.contains(name), "no {name}: {list}");
    }
    let json = output(&["explain", "--json", "port", "0x3f8"]);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let found = &json["explanations"][0];
    assert_eq!(
        (&found["name"], &found["kind"]),
        (&"serial".into(), &"port".into())
    );
    assert_eq!(found["numbers"][0]["start"], 0x3f8);
    refused(&["explain", "pio_ot"], USAGE, &["did you mean pio_out"]);
    refused(&["explain", "0xffff"], USAGE, &["0xffff"]);
}

/// Each exit and each counter of ours that a run reports has a text. KVM's counters are as many as
/// the host's kernel has.
fn report_is_explained(target: Target) {
    let run = target.vmm("hello").run();
    let exits = run.report["exits"].as_array().expect("a list").iter();
    let mut names: Vec<_> = exits
        .map(|exit| exit["reason"].as_str().expect("a name"))
        .collect();
    for part in ["remedies", "emu", "guest"] {
        let counters = run.report[part].as_object().into_iter().flatten();
        names.extend(counters.map(|(name, _)| name.as_str()));
    }
    names.sort_unstable();
    names.dedup();
    assert!(names.len() > 8, "{run}");
    for name in names {
        output(&["explain", name]);
    }
}

fn required_accelerator() {
    let bench = |on| ["bench", "--quick", "--require", "kvm", "--on", on, "call"];
    let emulated = output_with_input(Command::new(binary()).args(bench("emu")), None);
    assert_eq!(emulated.status.code(), Some(FAILURE));
    let stderr = String::from_utf8_lossy(&emulated.stderr);
    assert_eq!(
        stderr,
        "vmm: KVM does not run here, and --require kvm asks for it\n"
    );
    let status = match Target::Kvm.missing() {
        None => 0,
        Some(_) => FAILURE,
    };
    let args = ["compare", "--runs", "1", "--require", "kvm", "hello"];
    for args in [&bench("kvm")[..], &args] {
        let output = output_with_input(Command::new(binary()).args(args), None);
        assert_eq!(output.status.code(), Some(status), "{output:?}");
    }
}

/// A lack of host resources is reported in one line, and no process ends by a signal.
fn too_little_of_the_host() {
    // Of descriptors 3 are taken, and the loader needs one; of memory so many KiB.
    let descriptors = (5..16).map(|limit| format!("-n {limit}"));
    let memory = (60_000..140_000).step_by(8_000);
    for limit in descriptors.chain(memory.map(|limit| format!("-v {limit}"))) {
        let mut command = Command::new("sh");
        let script = format!("ulimit {limit} && exec \"$0\" run --accel emu hello");
        command.args(["-c", &script]).arg(binary());
        let output = output_with_input(&mut command, None);
        let stderr = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => assert_eq!(output.stdout, b"Hello from ring 3!\n", "{limit}"),
            status => {
                assert_eq!(status, Some(FAILURE), "{limit}: {stderr}");
                assert_eq!(stderr.lines().count(), 1, "{limit}: {stderr}");
                assert!(stderr.starts_with("vmm: "), "{limit}: {stderr}");
            }
        }
    }
}

fn smallest_memory(target: Target) {
    let run = |memory: &str| {
        let mut command = Command::new(binary());
        command.args(["run", "--report", "none", "--memory", memory]);
        command.args(target.options()).arg("hello");
        output_with_input(&mut command, None)
    };
    let refused = run("4K");
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(USAGE), "{stderr}");
    let least = stderr.split("between ").nth(1).expect("the bounds");
    let least = least.split(' ').next().expect("a size");
    let smallest = run(least);
    assert_eq!(smallest.stdout, b"Hello from ring 3!\n", "{smallest:?}");
    assert_eq!(smallest.status.code(), Some(0), "{smallest:?}");
}
