use std::io::Write;

use serde_json::Value;

use super::{Cause, Column, Comparison, Machine, Missing, Run, Summary};
use crate::cpu::{Accel, HostKind};
use crate::devices::ApicMode;
use crate::exit::ExitReason;
use crate::output::Recorder;
use crate::report::{
    Counters, EmuCounters, ExitCounts, GuestCounters, GuestCpu, HostInstructions, Outcome, Report,
    Times, VcpuReport,
};
use crate::sandbox::InForce;

const SERIAL: u64 = 0x3f8;
const END_OF_INTERRUPT: u64 = 0xfee0_00b0;

type Exits<'a> = &'a [(ExitReason, Option<u64>, u64)];

fn report(machine: Machine, exits: Exits<'_>, guest_ns: u64) -> Report {
    let mut counts = ExitCounts::new();
    for &(reason, detail, count) in exits {
        for _ in 0..count {
            counts.record(reason, detail, 1);
        }
    }
    let emulated = !machine.is_kvm();
    Report {
        accel: if emulated { Accel::Emu } else { Accel::Kvm },
        apic: match machine {
            Machine::Kvm => ApicMode::Kernel,
            Machine::KvmUserApic | Machine::Emu | Machine::Interpreter => ApicMode::User,
        },
        cpus: 1,
        sandbox: InForce::NONE,
        host_kind: if emulated {
            HostKind::Emulator
        } else {
            HostKind::Hardware
        },
        outcome: Outcome::exited(0),
        state: None,
        warnings: Vec::new(),
        wall_ns: guest_ns + 1000,
        boot_ns: Some(500),
        time: Times {
            setup_ns: 1000,
            guest_ns,
            vmm_ns: 0,
            idle_ns: 0,
        },
        exits: counts.finish(1.0),
        vcpus: Vec::new(),
        kvm: None,
        remedies: None,
        emu: emulated.then_some(EmuCounters {
            instructions: 100,
            ring0: 60,
            ring3: 40,
            ..Default::default()
        }),
        host_instructions: Some(match machine {
            Machine::Emu | Machine::Interpreter => HostInstructions {
                total: Some(1500),
                ..Default::default()
            },
            _ => HostInstructions {
                error: Some("no counter".into()),
                ..Default::default()
            },
        }),
        guest: GuestCounters {
            syscalls: Some(3),
            ..Default::default()
        },
        unsupported_syscalls: Counters::default(),
    }
}

pub fn run(machine: Machine, exits: Exits<'_>, guest_ns: u64, output: &str) -> Run {
    let mut recorder = Recorder::default();
    recorder.write_all(output.as_bytes()).expect("never fails");
    Run {
        report: report(machine, exits, guest_ns),
        output: recorder.transcript(),
    }
}

pub fn column(machine: Machine, mut runs: Vec<Run>) -> Column {
    let first = runs.remove(0);
    Column {
        machine,
        first,
        more: runs,
    }
}

fn comparison(columns: Vec<Column>) -> Comparison {
    Comparison {
        program: "hello".into(),
        args: vec!["you".into()],
        columns,
        missing: Vec::new(),
    }
}

const PORTS: Exits<'static> = &[(ExitReason::PioOut, Some(SERIAL), 3)];

fn three_machines() -> Comparison {
    let user: Exits<'_> = &[
        (ExitReason::PioOut, Some(SERIAL), 3),
        (ExitReason::MmioWrite, Some(END_OF_INTERRUPT), 2),
        (ExitReason::Hlt, None, 1),
    ];
    let emu: Exits<'_> = &[
        (ExitReason::PioOut, Some(SERIAL), 3),
        (ExitReason::MmioWrite, Some(END_OF_INTERRUPT), 4),
        (ExitReason::Hlt, None, 1),
    ];
    let runs = |machine, exits, times: [u64; 3]| {
        let runs = times.map(|ns| run(machine, exits, ns, "hello\n"));
        column(machine, runs.into())
    };
    comparison(vec![
        runs(Machine::Kvm, PORTS, [1000, 1200, 1100]),
        runs(Machine::KvmUserApic, user, [2200, 2200, 2200]),
        runs(Machine::Emu, emu, [11_000, 11_000, 11_000]),
    ])
}

#[test]
fn machines_that_agree() {
    let summary = three_machines().summary();
    assert!(summary.verdict.agrees());
    assert_eq!(summary.verdict.not_deterministic, None);
    let causes: Vec<_> = summary.exits.iter().map(|row| row.cause).collect();
    assert_eq!(causes, [None, Some(Cause::Timer), Some(Cause::Apic)]);
    let slowdowns: Vec<_> = summary.machines.iter().map(|m| m.slowdown).collect();
    assert_eq!(slowdowns, [Some(1.0), Some(2.0), Some(10.0)]);
    let per_guest: Vec<_> = summary.machines.iter().map(|m| m.host_per_guest).collect();
    assert_eq!(per_guest, [None, None, Some(15.0)]);
}

#[test]
fn text_of_machines_that_agree() {
    let mut comparison = three_machines();
    comparison.columns.remove(1);
    comparison.missing.push(Missing {
        machine: Machine::KvmUserApic,
        reason: "no such thing".into(),
    });
    let expected = "\
Program  hello you, medians of 3 runs on each machine

  kvm            KVM, local APIC in KVM
  emu            built-in emulator, local APIC in the VMM
  kvm_user_apic  not on this host: no such thing

  VM exits    detail          device      kvm  emu
  pio_out     port 0x3f8      serial        3    3
  mmio_write  gpa 0xfee000b0  local APIC    0    4  T
  hlt                                       0    1  A
  total                                     3    8

  Guest                 kvm  emu
  syscalls                3    3
  context switches        -    -
  timer ticks             -    -
  page faults             -    -
  forks                   -    -
  frames                  -    -
  instructions, ring 0    -   60
  instructions, ring 3    -   40

  Time                           kvm      emu
  wall                       2.10 us  12.0 us
    in the guest             1.10 us  11.0 us
    in the VMM                  0 ns     0 ns
    idle                        0 ns     0 ns
    setting up               1.00 us  1.00 us
  ring 3 after                500 ns   500 ns
  slowdown, guest and VMM      1.00x    10.0x
  host instructions                -     1500
    for each of the guest's        -     15.0

  Ranges                 kvm      emu
  wall          2.00-2.20 us  12.0 us
  in the guest  1.00-1.20 us  11.0 us
  host instructions are not counted: no counter

Why counts differ
  A  local APIC: in the VMM each access and halt is an exit, in KVM none
  T  time: ticks, and what else depends on how long the program takes

Verdict  port I/O, output and outcome are the same on all machines
";
    assert_eq!(comparison.summary().to_string(), expected);
}

/// A table of all machines is one, as wide as a terminal.
#[test]
fn text_of_all_machines() {
    let mut comparison = three_machines();
    let emu = &comparison.columns[2];
    let runs = emu.runs().cloned().collect();
    comparison.columns.push(column(Machine::Interpreter, runs));
    let text = comparison.summary().to_string();
    for part in [
        "\n  emu            built-in emulator, local APIC in the VMM\n",
        "\n  interpreter    built-in emulator, local APIC in the VMM, nothing translated\n",
        "  device      kvm  kvm_user  emu  interp\n",
        "  local APIC    0         2    4       4  T\n",
        "\n  slowdown, guest and VMM      1.00x     2.00x    10.0x    10.0x\n",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    assert!(text.lines().all(|line| line.len() <= 80), "{text}");
}

fn against_kvm(runs: Vec<Run>) -> Summary {
    let kvm = vec![run(Machine::Kvm, PORTS, 1000, "hello\n")];
    comparison(vec![column(Machine::Kvm, kvm), column(Machine::Emu, runs)]).summary()
}

#[test]
fn another_port_count_is_a_difference() {
    let exits: Exits<'_> = &[
        (ExitReason::PioOut, Some(SERIAL), 2),
        (ExitReason::PioIn, Some(0x64), 1),
    ];
    let summary = against_kvm(vec![run(Machine::Emu, exits, 1000, "hello\n")]);
    assert!(!summary.verdict.agrees());
    assert_eq!(
        summary.verdict.differences,
        [
            "kvm and emu: pio_in port 0x64: 0 and 1 items",
            "kvm and emu: pio_out port 0x3f8: 3 and 2 items"
        ]
    );
    let text = summary.to_string();
    assert!(
        text.contains("\nVerdict  the machines DIFFER\n  kvm and emu: pio_in"),
        "{text}"
    );
    assert!(
        text.contains("\n  !  should be the same on every machine\n"),
        "{text}"
    );
}

#[test]
fn another_output_or_outcome_is_a_difference() {
    let mut other = run(Machine::Emu, PORTS, 1000, "hallo\n");
    other.report.outcome = Outcome::killed(11);
    let summary = against_kvm(vec![other]);
    assert!(!summary.verdict.agrees());
    assert_eq!(
        summary.verdict.differences,
        [
            "kvm and emu: outcome: exited with status 0, killed by signal 11",
            r#"kvm and emu: output: line 1 is "hello" and "hallo""#
        ]
    );
}

#[test]
fn a_program_that_varies_gets_no_verdict() {
    let runs = ["hello\n", "hallo\n"].map(|text| run(Machine::Emu, PORTS, 1000, text));
    let summary = against_kvm(runs.into());
    assert!(summary.verdict.agrees());
    assert_eq!(
        summary.verdict.not_deterministic.as_deref(),
        Some(r#"two runs differ (output: line 1 is "hello" and "hallo") on emu"#)
    );
    let mut failed = run(Machine::Emu, PORTS, 1, "");
    failed.report.outcome = Outcome::error("broken");
    let slowdowns: Vec<_> = against_kvm(vec![failed]).machines;
    let slowdowns: Vec<_> = slowdowns.iter().map(|machine| machine.slowdown).collect();
    assert_eq!(
        slowdowns,
        [Some(1.0), None],
        "a machine that failed is not fast"
    );
    let mut timeout = run(Machine::Emu, PORTS, 1000, "");
    timeout.report.outcome = Outcome::timeout();
    let summary = against_kvm(vec![timeout]);
    assert!(summary.verdict.agrees());
    let text = summary.to_string();
    let verdict = "Verdict  none, the program is not deterministic: the time limit ended a run on\n         emu\n";
    assert!(text.contains(verdict), "{text}");
}

/// A run on two CPUs, one of which has sent so many interrupts.
fn run_on_two(machine: Machine, exits: Exits<'_>, wake_ipis: u64, output: &str) -> Run {
    let mut run = run(machine, exits, 1000, output);
    run.report.cpus = 2;
    run.report.vcpus = vec![VcpuReport::default(); 2];
    for (vcpu, wake_ipis) in run.report.vcpus.iter_mut().zip([wake_ipis, 1]) {
        vcpu.guest = Some(GuestCpu {
            wake_ipis,
            ..Default::default()
        });
    }
    run
}

#[test]
fn what_several_cpus_make_differ_is_no_failure() {
    const COMMAND: (ExitReason, Option<u64>, u64) = (ExitReason::MsrWrite, Some(0x830), 4);
    let kvm = run_on_two(Machine::Kvm, PORTS, 2, "one\ntwo\n");
    let mut emu = run_on_two(Machine::Emu, &[PORTS[0], COMMAND], 3, "one\ntwo\n");
    emu.report.guest.syscalls = Some(7);
    let two = |emu: &Run| {
        let columns = [(Machine::Kvm, &kvm), (Machine::Emu, emu)];
        let columns = columns.map(|(machine, run)| column(machine, vec![run.clone()]));
        comparison(columns.into()).summary()
    };
    let summary = two(&emu);
    assert!(summary.verdict.agrees());
    assert_eq!(summary.verdict.not_deterministic, None);
    assert_eq!(summary.exits[1].cause, Some(Cause::Cpus));
    let row = |name: &str| {
        let mut rows = summary.guest.iter();
        rows.find(|row| row.name == name).expect("it is there")
    };
    assert_eq!(row("syscalls").cause, Some(Cause::Cpus));
    assert_eq!(row("shootdowns").cause, None);
    let wakes = row("wake_ipis");
    let medians = wakes.counts.iter().flatten().map(|counts| counts.median);
    assert!(medians.eq([3, 4]), "{wakes:?}");
    assert_eq!(wakes.cause, Some(Cause::Cpus));
    let text = summary.to_string();
    for part in [
        "Program  hello you, 2 CPUs, one run on each machine\n",
        "\n  wake IPIs               3    4  C\n",
        "\n  C  several CPUs: interrupts between them, ",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    // Who prints first is up to nobody; what they print is not.
    emu = run_on_two(Machine::Emu, PORTS, 2, "two\none\n");
    let why = two(&emu).verdict.not_deterministic.unwrap_or_default();
    assert!(why.contains("in another order on kvm than on emu"), "{why}");
    emu = run_on_two(Machine::Emu, PORTS, 2, "one\n222\n");
    assert!(!two(&emu).verdict.agrees());
}

#[test]
fn another_order_excuses_nothing_else() {
    const FEWER: Exits<'_> = &[(ExitReason::PioOut, Some(SERIAL), 1)];
    const OTHER: (ExitReason, Option<u64>, u64) = (ExitReason::PioOut, Some(SERIAL + 1), 1);
    let agree = |others: &[(Machine, &Run)]| {
        let kvm = run_on_two(Machine::Kvm, PORTS, 2, "one\ntwo\n");
        let all = [&[(Machine::Kvm, &kvm)], others].concat();
        let columns = all
            .into_iter()
            .map(|(machine, run)| column(machine, vec![run.clone()]));
        comparison(columns.collect()).summary().verdict.agrees()
    };
    let reordered = run_on_two(Machine::Emu, FEWER, 2, "two\none\n");
    assert!(agree(&[(Machine::Emu, &reordered)]));
    let ports = run_on_two(Machine::Emu, &[FEWER[0], OTHER], 2, "two\none\n");
    assert!(!agree(&[(Machine::Emu, &ports)]));
    let mut killed = reordered.clone();
    killed.report.outcome = Outcome::killed(11);
    assert!(!agree(&[(Machine::Emu, &killed)]));
    let another = run_on_two(Machine::Emu, PORTS, 2, "one\n222\n");
    let user_apic = (Machine::KvmUserApic, &reordered);
    assert!(!agree(&[user_apic, (Machine::Emu, &another)]));
}

#[test]
fn json_has_the_figures() {
    let summary: Value =
        serde_json::from_str(&three_machines().summary().to_json()).expect("valid JSON");
    assert_eq!(summary["program"], "hello");
    assert_eq!(summary["runs"], 3);
    assert_eq!(summary["cpus"], 1);
    assert_eq!(summary["verdict"]["not_deterministic"], Value::Null);
    assert_eq!(summary["machines"][0]["machine"], "kvm");
    let guest_ns = &summary["machines"][0]["guest_ns"];
    assert_eq!(
        (&guest_ns["median"], &guest_ns["max"]),
        (&1100.into(), &1200.into())
    );
    assert_eq!(summary["machines"][2]["ring3_instructions"]["median"], 40);
    assert_eq!(summary["machines"][2]["reports"][1]["exits_total"], 8);
    let row = &summary["exits"][1];
    assert_eq!(row["detail"], "gpa 0xfee000b0");
    assert_eq!(row["cause"], "timer");
    assert_eq!(row["counts"][2]["median"], 4);
}
