//! Costs of the kernel's operations: instructions in ring 0, and no VM exit.
//!
//! Everything but the operation is the same in two runs that do it a different number of
//! times, so the difference is what the operation costs. A tick would be one more cost;
//! ticks of a second keep them out.

use crate::Case;
use crate::support::elf::TempFile;
use crate::support::{Ended, Target};

pub const CASES: &[Case] = &[
    ("operations_cost_no_exit", operations_cost_no_exit),
    ("long_copies", long_copies),
    ("ten_megabytes", ten_megabytes),
    ("few_faults", few_faults),
];
/// Limits for the kernel as it is meant to run, not for one with every check on.
pub const LEAN_CASES: &[Case] = &[("ring_0_instructions", ring_0_instructions)];

/// An operation of the program `operations`, what it is, and instructions in ring 0 that
/// it may take at most.
const LIMITS: [(&str, &str, u64); 7] = [
    ("getpid", "getpid by syscall", 120),
    ("getpid_int80", "getpid by int 0x80", 130),
    ("yield", "sched_yield to another process and back", 700),
    ("pipe", "a byte through a pipe and back", 2321),
    ("fork", "fork, exit, wait", 6990),
    ("exec", "fork, exec, exit, wait", 19_209),
    ("touch", "first touch of a page", 500),
];

fn run(target: Target, operation: &str, count: u64) -> Ended {
    let run = target
        .vmm("operations")
        .args(&[operation, &count.to_string()])
        .options(&["--tick", "1s"])
        .run();
    run.status(0).prints("");
    run
}

fn ring_0_instructions(target: Target) {
    const FEW: u64 = 200;
    const MANY: u64 = 1200;
    println!("{:42} {:>7} {:>8}", "operation", "limit", "ring 0");
    let mut too_many = Vec::new();
    for (operation, what, limit) in LIMITS {
        let in_ring_0 = |count| run(target, operation, count).count(&["emu", "ring0"]);
        let cost = (in_ring_0(MANY) - in_ring_0(FEW)).div_ceil(MANY - FEW);
        println!("{what:42} {limit:>7} {cost:>8}");
        if cost > limit {
            too_many.push(what);
        }
    }
    assert!(too_many.is_empty(), "too many for {too_many:?}");
}

/// None but what time makes, ticks and the end of an idle wait, and what a software-backed
/// KVM leaves to the VMM.
fn operations_cost_no_exit(target: Target) {
    for (operation, ..) in LIMITS {
        let (few, many) = (run(target, operation, 20), run(target, operation, 60));
        assert_eq!(few.port_exits(), many.port_exits(), "{few}\n{many}");
        if target == Target::Kvm {
            assert_eq!(exits(&few), exits(&many), "{few}\n{many}");
        }
    }
}

/// All exits but those; an access to a local APIC in KVM is none.
fn exits(run: &Ended) -> u64 {
    run.count(&["exits_total"]) - run.exits("interrupted") - run.exits("emulated")
}

/// What is printed costs few exits, whatever the machine.
fn ten_megabytes(target: Target) {
    const MEGABYTES: u64 = 10;
    /// One for each piece of 128 KiB, and those that set up the console.
    const MOST: u64 = 15;
    /// With the copies that the VMM makes, some in two parts: the host may end one early.
    const MOST_WITH_COPIES: u64 = 50;
    let text = "0123456789abcde\n".repeat((MEGABYTES as usize) << 16);
    let long = TempFile::new("ten", text.as_bytes());
    let file = format!("{}:/ten", long.path().display());
    let run = target.vmm("cat").args(&["/ten"]);
    let run = run.options(&["--file", &file, "--tick", "1s"]).run();
    run.status(0).prints(&text);
    assert!(exits(&run) <= MOST * MEGABYTES, "{run}");
    let all = run.count(&["exits_total"]);
    assert!(all <= MOST_WITH_COPIES * MEGABYTES, "{run}");
}

/// A program's code is there as it starts, from the first page of it to the last, and so are the
/// pages of stack that a parent and its child are about to write to. Its constants come together.
fn few_faults(target: Target) {
    let faults = |run: &Ended| run.count(&["guest", "page_faults"]);
    let hello = target.vmm("hello").run();
    assert_eq!(faults(&hello), 1, "its constants");
    let [few, many] = [20, 60].map(|count| faults(&run(target, "fork", count)));
    assert_eq!(few, many, "none a fork");
    let [few, many] = [20, 60].map(|count| faults(&run(target, "exec", count)));
    assert_eq!(many - few, 40, "the constants of each program");
}

/// A software-backed KVM has the VMM make one copy for each read of `cat`, however many pages
/// it crosses; nobody else has it make any.
fn long_copies(target: Target) {
    const BUFFER: usize = 128 << 10;
    let copies = |reads: usize| {
        let text = "0123456789abcde\n".repeat(reads * BUFFER / 16);
        let long = TempFile::new("long", text.as_bytes());
        let file = format!("{}:/long", long.path().display());
        let run = target.vmm("cat").args(&["/long"]);
        let run = run.options(&["--file", &file]).run();
        run.status(0).prints(&text);
        let is_software = run.report["host_kind"] == "software";
        is_software.then(|| run.count(&["remedies", "copies"]))
    };
    if let (Some(few), Some(many)) = (copies(10), copies(30)) {
        assert_eq!(many - few, 20);
    }
}
