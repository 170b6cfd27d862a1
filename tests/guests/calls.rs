//! System calls by both entries, and time.

use crate::Case;
use crate::support::Target;

pub const CASES: &[Case] = &[
    ("both_entries", both_entries),
    ("yield_costs_no_exit", yield_costs_no_exit),
    ("clocks", clocks),
    ("sleep_halts", sleep_halts),
    ("ticks_preempt_a_spinner", ticks_preempt_a_spinner),
];

fn both_entries(target: Target) {
    let calls = concat!(
        "written by a system call\n",
        "write: Ok(25)\n",
        "write to no file: Err(EBADF)\n",
        "getpid: Ok(1)\n",
        "sched_yield: Ok(0)\n",
        "clock_gettime: Ok(\"a time\")\n",
        "nanosleep: Ok(0)\n",
        "unknown: Err(ENOSYS)\n",
    );
    target.vmm("int80").run().status(0).prints(&format!(
        "by syscall:\n{calls}by int 0x80:\n{calls}int 0x80 keeps all registers but rax: true\n"
    ));
}

/// System calls that touch no device leave the guest only for what the tick costs, so a
/// thousand more of them make no exit more by port.
fn yield_costs_no_exit(target: Target) {
    let few = target.vmm("yield").args(&["1000"]).run();
    let many = target.vmm("yield").args(&["5000"]).run();
    few.status(0).prints("yielded 1000 times\n");
    many.status(0).prints("yielded 5000 times\n");
    assert_eq!(few.port_exits(), many.port_exits(), "{few}\n{many}");
    let difference = many.count(&["guest", "syscalls"]) - few.count(&["guest", "syscalls"]);
    assert_eq!(difference, 4000, "{few}\n{many}");
}

fn clocks(target: Target) {
    target.vmm("time").run().status(0).prints(concat!(
        "monotonic clock read 1000 times: never went back\n",
        "real clock is set\n",
        "clock 999: Err(EINVAL)\n",
        "sleep of -1 ns: Err(EINVAL)\n",
        "sleep of 1000000000 ns in one field: Err(EINVAL)\n",
    ));
}

/// A sleeping guest halts instead of spinning: an exit where the VMM keeps the local APIC.
fn sleep_halts(target: Target) {
    let run = target.vmm("sleep").args(&["50"]).run();
    run.status(0).prints("slept for 50 ms\n");
    if target == Target::Kvm {
        assert_eq!(run.exits("hlt"), 0, "{run}");
    } else {
        assert!(run.exits("hlt") > 0, "{run}");
    }
}

/// A program that makes no system call is interrupted once every tick. Ticks that the
/// host's other work swallows are not made up for, so the best of a few runs counts, but
/// where time is counted instructions, which nothing swallows.
fn ticks_preempt_a_spinner(target: Target) {
    const SPIN_MS: u64 = 1000;
    let (attempts, time): (usize, &[&str]) = match target {
        Target::Emu => (1, &["--deterministic"]),
        _ => (4, &[]),
    };
    for tick_ms in [10, 20] {
        let expected = SPIN_MS / tick_ms;
        let allowed = expected - expected / 20..=expected + expected / 20 + 1;
        let run = || {
            let run = target
                .vmm("spin")
                .args(&[&SPIN_MS.to_string()])
                .options(&["--tick", &format!("{tick_ms}ms")])
                .options(time)
                .run();
            run.status(0).prints("spun for 1000 ms\n");
            run.count(&["guest", "timer_ticks"])
        };
        let counts: Vec<_> = std::iter::repeat_with(run).take(attempts).collect();
        assert!(
            counts.iter().any(|count| allowed.contains(count)),
            "{counts:?} ticks of {tick_ms} ms in {SPIN_MS} ms"
        );
    }
}
