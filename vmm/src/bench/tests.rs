//! The figures' forms, with figures made up, and what a plan measures, in the emulator.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use super::{
    Absent, Bench, Counts, Earlier, Figure, Host, Measure, Measured, Plan, Starter, serve,
};
use crate::compare::{Machine, Missing, Spread};
use crate::events::StopReason;
use crate::report::Outcome;

fn figure(machine: Machine, median: f64) -> Figure {
    Figure {
        machine,
        ns: Spread {
            median,
            min: median / 2.0,
            max: median * 2.0,
        },
        samples_ns: vec![median / 2.0, median, median * 2.0],
        one_cpu_ns: Some(median * 2.0),
        host_ns: None,
        baseline_ratio: Some(1.25),
        counts: Counts {
            vmm_ns: Some(30.0),
            exits: Some(1.0),
            port_exits: Some(1.0),
            ring0_instructions: Some(2.25),
            ..Counts::default()
        },
    }
}

fn absent(machine: Machine) -> Absent {
    Absent {
        machine,
        reason: "timeout".to_owned(),
    }
}

fn bench() -> Bench {
    Bench {
        version: "1",
        host: Host {
            cpu: Some("A processor".to_owned()),
            cpus: 2,
            kernel: None,
            kvm: None,
        },
        samples: NonZeroU32::MIN,
        cpus: 2,
        machines: vec![Machine::KvmUserApic, Machine::Emu],
        stopped: None,
        missing: vec![Missing {
            machine: Machine::Kvm,
            reason: "no such file".to_owned(),
        }],
        measures: vec![
            Measured {
                name: "exit_pio_out",
                about: "out",
                figures: vec![figure(Machine::Emu, 1234.0)],
                absent: vec![absent(Machine::KvmUserApic)],
            },
            Measured {
                name: "exit_hlt",
                about: "hlt",
                figures: vec![],
                absent: vec![absent(Machine::KvmUserApic), absent(Machine::Emu)],
            },
        ],
    }
}

#[test]
fn the_text_has_everything() {
    let expected = "\
Host     A processor (2 usable)
Kernel   -
KVM      none
Samples  1 of each, medians
CPUs     2 for measures that take several, else 1
kvm  not on this host: no such file

  Time of an operation  kvm_user_apic      emu
  exit_pio_out                      -  1.23 us

  Of it in the VMM, where it exits  kvm_user_apic      emu
  exit_pio_out                                  -  30.0 ns

  On one CPU    kvm_user_apic      emu
  exit_pio_out              -  2.47 us

  On 2 CPUs against one  kvm_user_apic    emu
  exit_pio_out                       -  0.50x

  Against the baseline  kvm_user_apic    emu
  exit_pio_out                      -  1.25x

  VM exits of an operation  kvm_user_apic  emu
  exit_pio_out                          -    1

  Counts of an operation  port exits  system calls  ring 0  ring 3
  exit_pio_out                     1             -    2.25       -

Not measured
  exit_pio_out on kvm_user_apic  timeout
  exit_hlt on kvm_user_apic, emu  timeout
";
    assert_eq!(bench().to_string(), expected);
}

#[test]
fn json_is_a_baseline() {
    let path = std::env::temp_dir().join(format!("ringfence-baseline-{}", std::process::id()));
    std::fs::write(&path, bench().to_json()).expect("the folder can be written");
    let baseline = Earlier::read(&path);
    std::fs::remove_file(&path).expect("it is there");
    let baseline = baseline.expect("it is one");
    assert_eq!(baseline.ns("exit_pio_out", Machine::Emu), Some(1234.0));
    assert_eq!(baseline.ns("exit_pio_out", Machine::Kvm), None);
    assert_eq!(baseline.ns("exit_pio_in", Machine::Emu), None);
}

/// Two samples of each in the emulator.
fn plan(names: &[&str]) -> Plan {
    let measures = names.iter().map(|name| Measure::find(name));
    Plan {
        measures: measures.collect::<Result<_, _>>().expect("there are such"),
        machines: vec![Machine::Emu],
        samples: NonZeroU32::new(2).expect("not zero"),
        cpus: 1,
        host: Host::here(),
        baseline: None,
        stop: Vec::new(),
    }
}

/// A process that starts nothing.
fn starter() -> Starter {
    Starter::start(Path::new("true")).expect("every host has it")
}

#[test]
fn what_is_asked_for_is_started() {
    let requests = "\
{\"Native\":{\"worker\":\"Loops\",\"args\":[\"no such loop\"]}}
{\"Native\":{\"worker\":\"Scale\",\"args\":[\"threads\",\"1\"]}}
{\"Cold\":{\"machine\":\"emu\",\"until\":\"Exit\"}}
";
    let mut answers = Vec::new();
    serve(Path::new("/nonexistent"), requests.as_bytes(), &mut answers).expect("requests");
    let answers = String::from_utf8(answers).expect("JSON is text");
    let answers: Vec<serde_json::Value> = answers
        .lines()
        .map(|line| serde_json::from_str(line).expect("an answer is JSON"))
        .collect();
    let [bad_loop, scale, cold] = &answers[..] else {
        panic!("{answers:?}");
    };
    assert!(
        bad_loop["Err"]
            .as_str()
            .is_some_and(|why| why.starts_with("loops printed"))
    );
    assert!(
        scale["Ok"]["ns"].as_f64().is_some_and(|ns| ns > 0.0),
        "{scale}"
    );
    assert!(
        cold["Err"]
            .as_str()
            .is_some_and(|why| why.starts_with("/nonexistent: "))
    );
}

/// Not even a bundled program, of which one is a shell.
#[test]
fn nothing_else_is_started() {
    for worker in ["/bin/busybox", "sh", "loops"] {
        let request = format!("{{\"Native\":{{\"worker\":\"{worker}\",\"args\":[]}}}}\n");
        let mut answers = Vec::new();
        let served = serve(Path::new("true"), request.as_bytes(), &mut answers);
        assert!(served.is_err() && answers.is_empty(), "{worker}");
    }
}

#[test]
fn a_starter_that_has_gone_is_named() {
    let measured = Bench::measure(&plan(&["cold_start"]), &mut starter(), &mut |_, _, _| {});
    let bench = measured.expect("there is an emulator");
    let reason = &bench.measures[0].absent[0].reason;
    assert!(
        reason.starts_with("the process that starts others: "),
        "{reason}"
    );
}

#[test]
fn a_stop_ends_what_runs_without_an_event_loop() {
    let mut plan = plan(&["exit_pio_in"]);
    let (stop, requested) = std::io::pipe().expect("a pipe");
    plan.stop = vec![(Arc::new(stop.into()), StopReason::Signal(15))];
    let mut requested = Some(requested);
    let mut samples = 0;
    // A pipe without a writer is readable.
    let stopped = Bench::measure(&plan, &mut starter(), &mut |_, _, _| {
        samples += 1;
        requested = None;
    });
    let bench = stopped.expect("a stop is no failure");
    assert_eq!(bench.stopped, Some(Outcome::stopped(15)));
    assert!(
        bench.measures.is_empty(),
        "its only measure was not finished"
    );
    assert_eq!((samples, requested.is_none()), (1, true));
}

#[test]
fn samples_are_taken_as_planned() {
    let plan = plan(&["exit_pio_in", "exit_hlt", "hlt_wake"]);
    let mut seen = Vec::new();
    let bench = Bench::measure(&plan, &mut starter(), &mut |measure, machine, number| {
        seen.push((measure.name, machine, number));
    });
    let bench = bench.expect("there is an emulator");
    assert_eq!(seen.len(), 6);
    assert_eq!(seen[1], ("exit_pio_in", Machine::Emu, 2));
    for measured in &bench.measures {
        let [figure] = &measured.figures[..] else {
            panic!("{measured:?}");
        };
        assert_eq!(figure.counts.exits, Some(1.0), "{}", measured.name);
        // The instruction that exits, and the jump back to it.
        assert_eq!(
            figure.counts.ring0_instructions,
            Some(2.0),
            "{}",
            measured.name
        );
        assert!(figure.ns.min <= figure.ns.median && figure.ns.median <= figure.ns.max);
    }
}

#[test]
fn one_cpu_is_too_few_for_some() {
    let bench = Bench::measure(
        &plan(&["lat_ipi", "scale_threads"]),
        &mut starter(),
        &mut |_, _, _| {},
    );
    let bench = bench.expect("there is an emulator");
    assert_eq!(bench.measures.len(), 2);
    for measured in &bench.measures {
        assert!(measured.figures.is_empty(), "{}", measured.name);
        let [absent] = &measured.absent[..] else {
            panic!("{measured:?}");
        };
        assert_eq!(absent.reason, "it takes several CPUs: see --cpus");
    }
}
