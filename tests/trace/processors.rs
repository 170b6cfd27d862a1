//! Programs on several CPUs: each line names the CPU, and a thread has one at a time.

use std::collections::HashMap;

use crate::support::Target;
use crate::{Case, Traced, trace};

pub const CASES: &[Case] = &[
    ("a_thread_has_one_cpu_at_a_time", turns),
    ("each_cpu_has_its_events", events),
];

/// Events as CPU, who, and what.
fn places(traced: &Traced) -> Vec<(usize, &str, &str)> {
    let events = traced.events().into_iter();
    let places = events.map(|event| {
        let place = event.strip_prefix("CPU ").and_then(|event| {
            let (cpu, event) = event.split_once("  ")?;
            let (who, what) = event.trim_start().strip_prefix('[')?.split_once(']')?;
            Some((cpu.trim_end().parse().ok()?, who, what.trim_start()))
        });
        place.unwrap_or_else(|| panic!("{event:?}"))
    });
    places.collect()
}

fn turns(target: Target) {
    let traced = trace(target, &["--only", "sched"], &["threads"]);
    assert_eq!(traced.status, Some(0), "{}", traced.stderr);
    assert!(traced.times().is_sorted(), "{}", traced.text);
    let mut running = HashMap::new();
    let mut used = vec![0; target.cpus()];
    for (cpu, who, what) in places(&traced) {
        let before = running.remove(&cpu).unwrap_or("kernel");
        assert_eq!(who, before, "{what} on CPU {cpu} in\n{}", traced.text);
        let Some(next) = what.strip_prefix("switch to ") else {
            assert_eq!(what, "waits, the CPU is idle");
            continue;
        };
        let (next, program) = next.split_once(" (").expect("a name");
        assert_eq!(program, "threads)");
        let elsewhere = running.values().any(|other| *other == next);
        assert!(!elsewhere, "{next} runs twice in\n{}", traced.text);
        running.insert(cpu, next);
        used[cpu] += 1;
    }
    let busy = used.iter().filter(|count| **count > 0).count();
    assert!(busy > 1, "one CPU has done everything:\n{}", traced.text);
}

fn events(target: Target) {
    let traced = trace(target, &[], &["fork"]);
    assert_eq!(traced.status, Some(0), "{}", traced.stderr);
    let places = places(&traced);
    let count = |part: &str| {
        let found = places.iter().filter(|(_, _, what)| what.contains(part));
        found.count()
    };
    assert!(places.iter().all(|(cpu, ..)| *cpu < target.cpus()));
    // Each CPU sets its own local APIC up, or waits for work.
    let idle = places.iter().find(|(cpu, ..)| *cpu == 1);
    assert!(idle.is_some(), "{}", traced.text);
    assert_eq!(count("exited with status"), 3, "{}", traced.text);
    assert_eq!(count("unfinished"), count("resumed"), "{}", traced.text);
    assert_eq!(count("switch to pid 2"), count_of_turns(&traced, "pid 2"));
}

/// How often a thread has been given a CPU, by what happens there.
fn count_of_turns(traced: &Traced, thread: &str) -> usize {
    let mut owners: HashMap<usize, &str> = HashMap::new();
    let mut turns = 0;
    for (cpu, who, _) in places(traced) {
        if who == "vCPU" {
            continue;
        }
        let before = owners.insert(cpu, who);
        turns += usize::from(who == thread && before != Some(who));
    }
    turns
}
