//! `--deterministic`: two runs of one program are the same run, by either engine.

use std::process::Command;

use serde_json::{Value, json};

use crate::Case;
use crate::support::{Ended, Target, binary, output_with_input};

/// For the emulator alone.
pub const CASES: &[Case] = &[
    ("runs_repeat_exactly", runs_repeat_exactly),
    (
        "either_engine_leaves_the_same_trace",
        either_engine_leaves_the_same_trace,
    ),
    ("translations_are_counted", translations_are_counted),
    ("idle_time_is_skipped", idle_time_is_skipped),
    ("spinners_share_fairly", spinners_share_fairly),
];

/// For the emulator with several CPUs.
pub const SEVERAL_CASES: &[Case] = &[("seeds_repeat_exactly", seeds_repeat_exactly)];

/// Translated is what is executed otherwise.
const INTERPRETER: &[&str] = &["--engine", "interpreter"];

fn run(target: Target, program: &str, args: &[&str]) -> Ended {
    run_with(&[], target, program, args)
}

fn run_with(options: &[&str], target: Target, program: &str, args: &[&str]) -> Ended {
    target
        .vmm(program)
        .options(&["--deterministic", "--tick", "1ms"])
        .options(options)
        .args(args)
        .run()
}

/// What a run did, without the time that it took the host.
fn trace(ended: &Ended) -> Value {
    let report = &ended.report;
    let exits: Vec<Value> = report["exits"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|exit| json!([exit["reason"], exit["detail"], exit["count"]]))
        .collect();
    assert!(!exits.is_empty(), "{ended}");
    let instructions = ["instructions", "ring0", "ring3"].map(|of| &report["emu"][of]);
    json!({
        "status": ended.status,
        "stdout": ended.stdout,
        "outcome": report["outcome"],
        "exits": exits,
        "exits_total": report["exits_total"],
        "instructions": instructions,
        "guest": report["guest"],
    })
}

fn runs_repeat_exactly(target: Target) {
    let programs: [(&str, &[&str]); 8] = [
        ("hello", &[]),
        ("sleep", &["30"]),
        ("spin", &["20"]),
        ("yield", &["20"]),
        ("segv", &[]),
        ("stack_overflow", &[]),
        ("time", &[]),
        ("usertests", &[]),
    ];
    for (program, args) in programs {
        let first = run(target, program, args);
        let second = run(target, program, args);
        assert_eq!(trace(&first), trace(&second), "{program}");
        let third = run_with(INTERPRETER, target, program, args);
        assert_eq!(trace(&first), trace(&third), "{program}");
    }
    // Ticks come by instructions: as many as the program spins for, give or take its start.
    let spin = run(target, "spin", &["20"]);
    let ticks = spin.status(0).count(&["guest", "timer_ticks"]);
    assert!((19..=21).contains(&ticks), "{ticks} ticks of 1 ms\n{spin}");
}

/// A loop of 13 million instructions is a few blocks; the interpreter has none.
fn translations_are_counted(target: Target) {
    let counts = [&["--engine", "translator"], INTERPRETER].map(|engine| {
        let run = run_with(engine, target, "collatz", &["10000"]);
        run.status(0);
        assert!(run.count(&["emu", "tlb_misses"]) > 0, "{run}");
        assert!(run.count(&["emu", "jump_misses"]) > 0, "{run}");
        let named = ["blocks", "bytes"].map(|of| run.count(&["emu", &format!("translated_{of}")]));
        let named = named.into_iter();
        let others = ["translating_ns", "translation_exits"].map(|of| run.count(&["emu", of]));
        named.chain(others).collect::<Vec<_>>()
    });
    let [translated, interpreted] = counts;
    assert_eq!(interpreted, [0; 4]);
    let [blocks, bytes, ns, exits] = translated[..] else {
        panic!("{translated:?}")
    };
    assert!((1..100).contains(&blocks), "{blocks} blocks");
    assert!(bytes > 10 * blocks, "{blocks} blocks of {bytes} bytes");
    assert!(ns > 0 && exits > 0, "{translated:?}");
}

/// Every event, with its time, registers and bytes.
fn either_engine_leaves_the_same_trace(_: Target) {
    for program in ["hello", "usertests", "signals", "threads"] {
        let [translated, interpreted] = ["translator", "interpreter"].map(|engine| {
            let mut command = Command::new(binary());
            command.args(["trace", "--deterministic", "--engine", engine, program]);
            output_with_input(&mut command, None)
        });
        assert_eq!(translated.status.code(), Some(0), "{program}");
        assert!(translated.stderr.len() > 1000, "{program}: events");
        assert!(translated == interpreted, "{program}: the traces differ");
    }
}

/// Each seed makes a run of its own, and always the same one; as does none.
fn seeds_repeat_exactly(target: Target) {
    let seeds: [&[&str]; 3] = [&[], &["--seed", "1"], &["--seed", "2"]];
    let programs: [(&str, &[&str]); 2] = [("threads", &[]), ("soak", &["10"])];
    for (program, args) in programs {
        let once = || seeds.map(|seed| trace(run_with(seed, target, program, args).status(0)));
        let runs = once();
        assert_eq!(runs, once(), "{program}");
        let options = [seeds[1], INTERPRETER].concat();
        let interpreted = trace(run_with(&options, target, program, args).status(0));
        assert_eq!(runs[1], interpreted, "{program}");
        let instructions = runs.map(|run| run["instructions"][0].clone());
        let [none, first, second] = instructions;
        assert!(
            none != first && first != second && second != none,
            "{program}"
        );
    }
}

/// The guest's time, not the test's.
fn idle_time_is_skipped(target: Target) {
    run(target, "sleep", &["600000"]).status(0);
}

/// Where no host's work swallows ticks, all that spin get the same, within 5 %.
fn spinners_share_fairly(target: Target) {
    for count in ["2", "4"] {
        let run = target
            .vmm("fairness")
            .args(&[count])
            .options(&["--deterministic"])
            .run();
        let line = format!("{count} processes within 5 % of an equal share\n");
        run.status(0).prints(&line);
    }
}
