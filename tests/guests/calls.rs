//! System calls by both entries, and time.

use std::time::SystemTime;

use crate::Case;
use crate::support::Target;

pub const CASES: &[Case] = &[
    ("both_entries", both_entries),
    ("yield_costs_no_exit", yield_costs_no_exit),
    ("clocks", clocks),
    ("time_of_day", time_of_day),
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

/// The guest's time of day is the host's: it does not lag by what booting took. A host that
/// is busy may hold up the emulator between a look at the clock and the guest's, so the best
/// of a few runs counts.
fn time_of_day(target: Target) {
    let host_ns = || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        u64::try_from(now.expect("after 1970").as_nanos()).expect("before 2554")
    };
    let mut lags = Vec::new();
    while lags.len() < 4 {
        let before = host_ns();
        let run = target.vmm("time").args(&["now"]).run();
        let after = host_ns();
        let guest: u64 = run.status(0).stdout.trim().parse().expect("a number");
        assert!((before..after).contains(&guest), "{before} {after}\n{run}");
        let booted = before + run.count(&["boot_ns"]);
        if guest >= booted {
            return;
        }
        lags.push(booted - guest);
    }
    panic!("the guest is behind by {lags:?} ns");
}

/// A sleeping guest halts instead of spinning: an exit where the VMM keeps the local APIC.
fn sleep_halts(target: Target) {
    let run = target.vmm("sleep").args(&["50"]).run();
    run.status(0).prints("slept for 50 ms\n");
    if target.keeps_halts() {
        assert_eq!(run.exits("hlt"), 0, "{run}");
    } else {
        assert!(run.exits("hlt") > 0, "{run}");
    }
}

/// A program that makes no system call is interrupted once every tick: as often as it should
/// be by the guest's own clock, less what fell into times in which the guest stood still.
/// The VMM may be late as well where it keeps the timer, so the best of a few runs counts,
/// but where time is counted instructions.
fn ticks_preempt_a_spinner(target: Target) {
    let (attempts, time): (usize, &[&str]) = match target.accel() {
        "emu" => (1, &["--deterministic"]),
        _ => (4, &[]),
    };
    for tick_ms in [10, 20] {
        let attempts = (0..attempts).map(|_| Ticks::count(target, tick_ms, time));
        let attempts: Vec<_> = attempts.collect();
        assert!(attempts.iter().any(Ticks::are_right), "{attempts:?}");
    }
}

#[derive(Debug)]
struct Ticks {
    tick_ms: u64,
    /// How many there were in a second.
    count: u64,
    /// How much of it the guest stood still for.
    stalled_ms: u64,
}

impl Ticks {
    const SPIN_MS: u64 = 1000;

    fn count(target: Target, tick_ms: u64, time: &[&str]) -> Self {
        let run = target
            .vmm("spin")
            .args(&[&Self::SPIN_MS.to_string(), "stalls"])
            .options(&["--tick", &format!("{tick_ms}ms")])
            .options(time)
            .run();
        let said = run.status(0).stdout.strip_prefix("spun for 1000 ms\n");
        let stalled_ms = said
            .and_then(|line| line.strip_prefix("stood still for "))
            .and_then(|line| line.strip_suffix(" ms\n"))
            .and_then(|number| number.parse().ok())
            .unwrap_or_else(|| panic!("{run}"));
        Self {
            tick_ms,
            count: run.count(&["guest", "timer_ticks"]),
            stalled_ms,
        }
    }

    /// Within 5 %, give or take the one at the start or the end.
    fn are_right(&self) -> bool {
        let most = Self::SPIN_MS / self.tick_ms;
        let least = Self::SPIN_MS.saturating_sub(self.stalled_ms) / self.tick_ms;
        (least - least / 20..=most + most / 20 + 1).contains(&self.count)
    }
}
