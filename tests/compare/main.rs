//! `vmm compare`: the machines of this host agree on every deterministic program, and when
//! they do not, it says so.

#[path = "../support/mod.rs"]
mod support;

mod agreement;

use std::io::Read;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use support::elf::{self, TempFile};
use support::suite::{self, plain, unless};
use support::{TIMEOUT, Target, binary, list, reported, reported_json, wait_until_caught};

fn main() {
    let no_kvm = Target::Kvm.missing().map(ToOwned::to_owned);
    suite::main(vec![
        plain("bundled_programs_agree", agreement::of_bundled_programs),
        plain("more_programs_agree", agreement::of_more_programs),
        plain("programs_agree_on_two_cpus", on_two_cpus),
        plain("order_on_several_cpus_is_no_difference", order),
        plain("table", table),
        plain("the_interpreter_translates_nothing", interpreter),
        plain("arithmetic_costs_no_exit", arithmetic),
        plain("runs_on_a_time_limit_get_no_verdict", time_limit),
        plain("every_run_has_the_same_input", input),
        plain("a_signal_stops_all_runs", signal),
        unless(
            no_kvm,
            "machines_that_differ_are_found",
            machines_that_differ,
        ),
    ]);
}

/// The exit status, standard output and report of a comparison.
fn compare(args: &[&str]) -> (Option<i32>, String, String) {
    reported(&[&["compare"], args].concat())
}

/// The same with the report as JSON.
fn compare_json(args: &[&str]) -> (Option<i32>, String, Value) {
    reported_json(&[&["compare"], args].concat())
}

fn names(machines: &Value) -> Vec<&str> {
    let names = list(machines).iter();
    names
        .filter_map(|machine| machine["machine"].as_str())
        .collect()
}

/// What scheduling makes differ has a cause, and is no failure.
fn on_two_cpus() {
    for program in ["hello", "fork", "files"] {
        let options = ["--cpus", "2", "--runs", "1", program];
        let (status, _, json) = compare_json(&options);
        assert_eq!(status, Some(0), "{program}: {:#}", json["verdict"]);
        assert!(json["verdict"]["not_deterministic"].is_null(), "{program}");
        assert_eq!(json["cpus"], 2, "{program}");
        let exits = list(&json["exits"]).iter();
        for row in exits.chain(list(&json["guest"])) {
            assert_ne!(row["cause"], "program", "{program}: {row:#}");
        }
        // The emulator's, which is always there, sends what starts the other CPU.
        let mut exits = list(&json["exits"]).iter();
        let commands = exits.find(|row| row["detail"] == "msr 0x830");
        let commands = commands.unwrap_or_else(|| panic!("{program}: {json:#}"));
        let alone = !names(&json["machines"]).contains(&"kvm");
        assert!(alone || commands["cause"] == "cpus", "{commands:#}");
        let mut counters = list(&json["guest"]).iter();
        assert!(counters.any(|row| row["name"] == "wake_ipis"), "{program}");
        for machine in list(&json["machines"]) {
            let report = &machine["reports"][0];
            assert_eq!(list(&report["vcpus"]).len(), 2, "{program}");
        }
    }
}

/// Processes on two CPUs print when they like to.
fn order() {
    let options = ["--cpus", "2", "--runs", "1", "interleave"];
    let (status, _, json) = compare_json(&options);
    assert_eq!(status, Some(0), "{:#}", json["verdict"]);
    let differences = list(&json["verdict"]["differences"]);
    let why = json["verdict"]["not_deterministic"].as_str();
    assert_eq!(why.is_some(), !differences.is_empty(), "{differences:#?}");
}

fn table() {
    let (status, stdout, text) = compare(&["--runs", "2", "sleep", "50"]);
    assert_eq!(status, Some(0), "{text}");
    assert_eq!(stdout, "slept for 50 ms\n", "the output shows once");
    for target in Target::ALL {
        let head = match target.missing() {
            None => format!("\n  {target} "),
            Some(_) => format!("{target}  not on this host: "),
        };
        assert!(text.contains(head.trim_end()), "no {head:?}: {text}");
    }
    for part in [
        "Program  sleep 50, medians of 2 runs on each machine\n",
        "\n  pio_out ",
        "\n    in the guest ",
        "\n    idle ",
        "\n  host instructions ",
        "\nVerdict  ",
    ] {
        assert!(text.contains(part), "no {part:?}: {text}");
    }
    let (_, _, json) = compare_json(&["--runs", "1", "sleep", "50"]);
    let mut all = names(&json["machines"]);
    all.extend(names(&json["missing"]));
    all.sort_unstable();
    assert_eq!(all, ["emu", "interpreter", "kvm", "kvm_user_apic"]);
    for machine in list(&json["machines"]) {
        let idle = machine["idle_ns"]["median"].as_u64().unwrap_or(0);
        assert!(
            idle >= 40_000_000,
            "sleeping is idling, wherever the APIC is: {machine:#}"
        );
    }
}

/// Processor, translator and interpreter are columns of one table.
fn interpreter() {
    let (status, _, json) = compare_json(&["--runs", "1", "collatz", "10000"]);
    assert_eq!(status, Some(0), "{:#}", json["verdict"]);
    let blocks = |name: &str| {
        let mut machines = list(&json["machines"]).iter();
        let machine = machines.find(|machine| machine["machine"] == name);
        let machine = machine.unwrap_or_else(|| panic!("no {name}: {json:#}"));
        assert_eq!(machine["accel"], "emu", "{machine:#}");
        machine["reports"][0]["emu"]["translated_blocks"].as_u64()
    };
    assert_eq!(blocks("interpreter"), Some(0));
    assert!(blocks("emu") > Some(0), "{json:#}");
}

/// Arithmetic in ring 3 causes no exits: as many for ten times the work.
fn arithmetic() {
    let counts = ["1000", "10000"].map(|limit| {
        let (status, stdout, json) = compare_json(&["--runs", "1", "collatz", limit]);
        assert_eq!(status, Some(0), "{:#}", json["verdict"]);
        let exits = list(&json["exits"]).iter();
        let port_exits: u64 = exits
            .filter(|row| row["reason"] == "pio_out")
            .filter_map(|row| row["counts"][0]["median"].as_u64())
            .sum();
        let emu = list(&json["machines"])
            .iter()
            .find(|machine| machine["machine"] == "emu");
        let instructions = emu.and_then(|emu| emu["ring3_instructions"]["median"].as_u64());
        let instructions = instructions.expect("the emulator counts");
        (stdout, port_exits, instructions)
    });
    let [
        (small_text, small_exits, small),
        (large_text, large_exits, large),
    ] = counts;
    assert!(
        small_text.starts_with("871 takes 179 numbers"),
        "{small_text}"
    );
    assert!(
        large_text.starts_with("6171 takes 262 numbers"),
        "{large_text}"
    );
    assert!(large > 10 * small, "{small} and {large} instructions");
    let printed = large_text.len() - small_text.len();
    assert_eq!(
        large_exits - small_exits,
        printed as u64,
        "one exit a byte, and no other"
    );
}

fn time_limit() {
    let args = ["--runs", "1", "--timeout", "300ms", "spin", "3600000"];
    let (status, _, json) = compare_json(&args);
    assert_eq!(status, Some(0), "{:#}", json["verdict"]);
    let why = json["verdict"]["not_deterministic"]
        .as_str()
        .unwrap_or_default();
    assert!(why.starts_with("the time limit ended a run on "), "{why:?}");
}

fn signal() {
    let mut child = Command::new(binary())
        .args(["compare", "spin", "3600000"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary under test starts");
    // Tests signals while the first guest boots or spins, not before the handlers are
    // installed.
    let pid = Pid::from_raw(child.id().try_into().expect("a process id"));
    wait_until_caught(pid, Signal::SIGINT);
    kill(pid, Signal::SIGINT).expect("our child");
    let status = child.wait().expect("our child");
    let mut stderr = String::new();
    let pipe = child.stderr.as_mut().expect("a pipe");
    pipe.read_to_string(&mut stderr).expect("text");
    assert_eq!(status.code(), Some(130), "{stderr}");
    assert_eq!(
        stderr,
        "vmm: killed by signal 2: the VMM was told to stop\n"
    );
}

/// Copies its console input to its output up to the first byte that is EOT, and ends.
#[rustfmt::skip]
const ECHO: &[u8] = &[
    0x66, 0xba, 0xf9, 0x03,         // mov dx, 0x3f9
    0xb0, 0x01, 0xee,               // mov al, 1 ; out dx, al: interrupts on, so input comes
    // next:
    0x66, 0xba, 0xfd, 0x03,         // mov dx, 0x3fd
    // wait:
    0xec,                           // in al, dx
    0xa8, 0x01,                     // test al, 1
    0x74, 0xfb,                     // jz wait
    0x66, 0xba, 0xf8, 0x03,         // mov dx, 0x3f8
    0xec,                           // in al, dx
    0x3c, 0x04,                     // cmp al, 4
    0x74, 0x03,                     // je end
    0xee,                           // out dx, al
    0xeb, 0xeb,                     // jmp next
    // end:
    0x66, 0xba, 0xf4, 0x00,         // mov dx, 0xf4
    0x31, 0xc0, 0xef, 0xf4,         // xor eax, eax ; out dx, eax ; hlt
];

fn input() {
    let kernel = TempFile::new("kernel", &elf::kernel(ECHO));
    let input = TempFile::new("input", b"typed\n");
    let path = |file: &TempFile| {
        file.path()
            .to_str()
            .expect("temporary paths are text")
            .to_owned()
    };
    let (kernel, input) = (path(&kernel), path(&input));
    let args = [
        "--runs",
        "2",
        "--kernel",
        &kernel,
        "--input",
        &input,
        "--timeout",
        TIMEOUT,
        "hello",
    ];
    let (_, stdout, json) = compare_json(&args);
    assert_eq!(stdout, "typed\n", "{:#}", json["verdict"]);
    for machine in list(&json["machines"]) {
        assert_eq!(machine["output_bytes"], 6, "{machine:#}");
        assert_eq!(machine["outcome"]["kind"], "exited", "{machine:#}");
    }
}

/// Prints an `x`, and one more where CPUID says x2APIC, as it does with KVM's local APIC
/// only.
#[rustfmt::skip]
const TELLS_APICS_APART: &[u8] = &[
    0xb8, 0x01, 0x00, 0x00, 0x00,   // mov eax, 1
    0x0f, 0xa2,                     // cpuid
    0xc1, 0xe9, 0x15,               // shr ecx, 21
    0x83, 0xe1, 0x01, 0x41,         // and ecx, 1 ; inc ecx
    0x66, 0xba, 0xf8, 0x03,         // mov dx, 0x3f8
    0xb0, b'x',                     // mov al, 'x'
    0xee, 0xe2, 0xfd,               // out dx, al ; loop to it
    0x66, 0xba, 0xf4, 0x00,         // mov dx, 0xf4
    0x31, 0xc0, 0xef, 0xf4,         // xor eax, eax ; out dx, eax ; hlt
];

fn machines_that_differ() {
    let kernel = TempFile::new("kernel", &elf::kernel(TELLS_APICS_APART));
    let kernel = kernel.path().to_str().expect("temporary paths are text");
    let (status, stdout, json) = compare_json(&["--runs", "2", "--kernel", kernel, "hello"]);
    assert_eq!(status, Some(1), "{:#}", json["verdict"]);
    assert_eq!(stdout, "xx");
    let differences = list(&json["verdict"]["differences"]);
    for expected in [
        r#"kvm and kvm_user_apic: output: line 1 is "xx" and "x""#,
        "kvm and kvm_user_apic: pio_out port 0x3f8: 2 and 1 items",
    ] {
        assert!(
            differences.iter().any(|difference| difference == expected),
            "{differences:#?}"
        );
    }
}
