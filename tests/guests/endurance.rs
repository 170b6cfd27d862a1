//! Many processes, files and rounds: nothing leaks, all finish, and all get their share.

use crate::Case;
use crate::support::Target;

pub const CASES: &[Case] = &[
    ("soak", soak),
    ("two_hundred_at_once", two_hundred_at_once),
    ("usertests", usertests),
    ("fairness", fairness),
];

/// Those that show what happens at once.
pub const AT_ONCE: &[Case] = &[("soak", soak), ("two_hundred_at_once", two_hundred_at_once)];

/// Ten thousand rounds in one boot in the emulator: each has forks, an exec, a pipe and a
/// fault. Fewer where KVM may lack hardware assistance, and an instruction in ring 0 take
/// as long as a hundred.
fn soak(target: Target) {
    let rounds = match target {
        Target::Emu => "10000",
        Target::Emu2Cpus | Target::Emu4Cpus => "1000",
        _ => "20",
    };
    let run = target.vmm("soak").args(&[rounds]).run();
    run.status(0).prints(&format!(
        "{rounds} of {rounds} rounds went well\nnothing is left of them\n"
    ));
}

fn two_hundred_at_once(target: Target) {
    let run = target.vmm("many").args(&["200"]);
    run.options(&["--memory", "64M"])
        .run()
        .status(0)
        .prints(concat!(
            "200 processes at once\n",
            "the number came to 200\n",
            "200 ended well\n",
        ));
}

/// A line for each test, and all are well.
fn usertests(target: Target) {
    /// As many as there were once; there may be more.
    const TESTS: usize = 32;
    let run = target.vmm("usertests").run();
    run.status(0);
    let mut lines: Vec<_> = run.stdout.lines().collect();
    let last = lines.pop();
    assert!(lines.len() >= TESTS, "{run}");
    assert!(lines.iter().all(|line| line.ends_with(": ok")), "{run}");
    let expected = format!("{} tests, 0 failed", lines.len());
    assert_eq!(last, Some(expected.as_str()), "{run}");
}

/// Over one second, but for a stall that the host imposes at its end: see the program. Where
/// nothing is late there is none: see `deterministic.rs`.
fn fairness(target: Target) {
    let run = target.vmm("fairness").run();
    run.status(0)
        .prints_part("4 processes within 5 % of an equal share");
}
