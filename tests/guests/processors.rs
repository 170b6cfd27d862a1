//! What the kernel counts of each of several CPUs.

use serde_json::Value;

use crate::Case;
use crate::support::{Ended, Run, Target, list};

pub const CASES: &[Case] = &[
    ("a_cpu_with_nothing_to_do_is_idle", idle),
    ("cpus_call_each_other", calls),
];

/// For the emulator alone.
pub const DETERMINISTIC: &[Case] = &[("counts_of_cpus_repeat_exactly", counts_repeat)];

/// A figure of each CPU.
fn figures(ended: &Ended, name: &str) -> Vec<u64> {
    let figure = |vcpu: &Value| vcpu["guest"][name].as_u64();
    let figures: Option<Vec<_>> = list(&ended.report["vcpus"]).iter().map(figure).collect();
    figures.unwrap_or_else(|| panic!("no {name} of each CPU\n{ended}"))
}

fn sum(ended: &Ended, name: &str) -> u64 {
    figures(ended, name).iter().sum()
}

/// Those without a thread are idle to the end, and call nobody.
fn idle(target: Target) {
    let ended = target.vmm("hello").run();
    ended.status(0);
    let idle = figures(&ended, "idle_ns");
    assert_eq!(idle.len() as u64, ended.count(&["cpus"]), "{ended}");
    assert!(idle[1..].iter().all(|&ns| ns > 0), "{ended}");
    for name in ["wake_ipis", "flush_ipis", "shootdowns"] {
        assert_eq!(sum(&ended, name), 0, "{name}\n{ended}");
    }
}

/// Another CPU uses a page that loses rights so many times.
const TIMES: u64 = 50;

fn shootdowns(target: Target) -> Run {
    let program = target.vmm("between");
    program.args(&["shootdown", &TIMES.to_string()])
}

fn calls(target: Target) {
    let ended = shootdowns(target).run();
    ended.status(0);
    let others = ended.count(&["cpus"]) - 1;
    assert!(sum(&ended, "wake_ipis") > 0, "{ended}");
    let shootdowns = sum(&ended, "shootdowns");
    assert!(shootdowns >= TIMES, "{ended}");
    let flushes = sum(&ended, "flush_ipis");
    assert!((1..=shootdowns * others).contains(&flushes), "{ended}");
}

fn counts_repeat(target: Target) {
    let run = || shootdowns(target).options(&["--deterministic"]).run();
    let (first, second) = (run(), run());
    for name in [
        "wake_ipis",
        "flush_ipis",
        "shootdowns",
        "lock_wait_ns",
        "idle_ns",
    ] {
        assert_eq!(figures(&first, name), figures(&second, name), "{name}");
        assert!(sum(&first, name) > 0, "{name}\n{first}");
    }
}
