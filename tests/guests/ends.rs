//! The ways in which a run ends, and the status that says so.

use crate::Case;
use crate::support::{Ended, Target};

pub const CASES: &[Case] = &[
    ("exit_status", exit_status),
    ("program_panic", program_panic),
    ("killed_by_signal", killed_by_signal),
    ("timeout", timeout),
    ("max_instructions", max_instructions),
    ("bad_init_is_a_kernel_panic", bad_init_is_a_kernel_panic),
    ("long_init_is_a_kernel_panic", long_init_is_a_kernel_panic),
];

fn exit_status(target: Target) {
    for status in [0, 1, 42, 255] {
        target
            .vmm("exit_status")
            .args(&[&status.to_string()])
            .run()
            .status(status);
    }
}

fn program_panic(target: Target) {
    target
        .vmm("panic")
        .run()
        .status(101)
        .prints("")
        .complains("panic: on purpose\n");
}

fn killed_by_signal(target: Target) {
    const SIGFPE: i32 = 8;
    let run = target.vmm("divide").run();
    run.status(128 + SIGFPE).outcome("killed");
    assert_eq!(run.report["outcome"]["signal"], SIGFPE, "{run}");
}

/// Spins far longer than it is given; the machine stops and still reports.
fn timeout(target: Target) {
    let run = target
        .vmm("spin")
        .args(&["600000"])
        .options(&["--timeout", "300ms"])
        .run();
    run.status(124).outcome("timeout").prints("");
    // It was still spinning: ticks came, and init has not ended.
    assert!(run.count(&["guest", "timer_ticks"]) > 0, "{run}");
    assert!(run.report["outcome"]["code"].is_null(), "{run}");
}

/// The limit is exact, and only the emulator has it.
fn max_instructions(target: Target) {
    const LIMIT: u64 = 1_234_567;
    let limit = LIMIT.to_string();
    let run = target
        .vmm("spin")
        .args(&["600000"])
        .options(&["--max-instructions", &limit])
        .run();
    if target.accel() == "emu" {
        run.status(124).outcome("too_many_instructions");
        assert_eq!(run.count(&["emu", "instructions"]), LIMIT, "{run}");
    } else {
        run.status(2);
        assert!(
            run.stderr.contains("KVM does not count instructions"),
            "{run}"
        );
    }
}

fn bad_init_is_a_kernel_panic(target: Target) {
    let run = target
        .vmm("hello")
        .options(&["--append", "init=/bin/nothing"])
        .run();
    panicked(&run, "/bin/nothing: \"not among the guest's files\"");
}

fn long_init_is_a_kernel_panic(target: Target) {
    let word = format!("init=/bin/{}", "a".repeat(5000));
    let run = target.vmm("hello").options(&["--append", &word]).run();
    panicked(
        &run,
        "the path in init= is too long: it may have 4096 bytes",
    );
}

/// Asserts that the kernel panicked with these words.
#[track_caller]
fn panicked(run: &Ended, words: &str) {
    run.status(125).outcome("panic");
    let line = format!("kernel panic: {words} (");
    assert!(run.stderr.starts_with(&line), "{run}");
}
