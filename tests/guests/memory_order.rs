//! The order of memory between CPUs: races of the program `litmus`, and what no x86 processor may
//! make of them. What one may make is not asked for: it depends on who else uses the host.

use std::collections::BTreeMap;

use crate::Case;
use crate::support::{Ended, Target};

pub const CASES: &[Case] = &[("memory_order", memory_order)];
/// The emulator has two CPUs here, or four.
pub const TARGETS: [Target; 4] = [
    Target::Emu,
    Target::Emu4Cpus,
    Target::KvmUserApic2Cpus,
    Target::Kvm2Cpus,
];

const RACES: u64 = 4096;
const STORE_BUFFERING: &str = "store buffering";
/// Each load came before the other one's store.
const BOTH_EARLY: &str = "00";
/// Tests of two threads, and what none of them may come to.
const FORBIDDEN: [(&str, Option<&str>); 5] = [
    (STORE_BUFFERING, None),
    ("store buffering, mfence", Some(BOTH_EARLY)),
    ("store buffering, xchg", Some(BOTH_EARLY)),
    ("message passing", Some("10")),
    ("load buffering", Some("11")),
];
/// The one of four, and what it may not come to.
const INDEPENDENT: &str = "independent reads of independent writes";
const DIFFERENT_ORDER: &str = "1010";

fn memory_order(target: Target) {
    let litmus = target.vmm("litmus").args(&[&RACES.to_string()]);
    let run = match target {
        Target::Emu => litmus.options(&["--cpus", "2"]),
        _ => litmus,
    }
    .run();
    run.status(0);
    for (name, forbidden) in FORBIDDEN {
        let seen = seen(&run, name);
        assert_eq!(seen.len(), 4, "{name}: {seen:?}");
        if let Some(outcome) = forbidden {
            assert_eq!(seen[outcome], 0, "{name}\n{run}");
        }
    }
    let early = seen(&run, STORE_BUFFERING)[BOTH_EARLY];
    eprintln!("{target}: both loads came before both stores in {early} of {RACES} races");
    let is_emu = target.accel() == "emu";
    assert!(early == 0 || !is_emu, "its CPUs take turns\n{run}");

    let threads = if target.cpus() == 4 {
        let seen = seen(&run, INDEPENDENT);
        assert_eq!((seen.len(), seen[DIFFERENT_ORDER]), (16, 0), "{run}");
        4
    } else {
        assert_eq!(words(&run, INDEPENDENT), ["takes", "4", "CPUs"]);
        2
    };
    let steps = threads * RACES;
    assert_eq!(counted(&run, "lock inc"), (steps, steps), "{run}");
    assert_eq!(counted(&run, "spin lock"), (steps, steps), "{run}");
    let (count, all) = counted(&run, "inc");
    let least = if is_emu { steps } else { 1 };
    assert!(all == steps && (least..=steps).contains(&count), "{run}");
}

/// The words of the line that starts with `name`.
fn words<'a>(run: &'a Ended, name: &str) -> Vec<&'a str> {
    let mut lines = run.stdout.lines();
    let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let line = line.unwrap_or_else(|| panic!("nothing of {name}\n{run}"));
    line.split(' ').collect()
}

fn number(word: &str) -> u64 {
    word.parse()
        .unwrap_or_else(|_| panic!("{word:?} is no number"))
}

/// How often each outcome of a test was seen, all together as often as there were races.
fn seen<'a>(run: &'a Ended, name: &str) -> BTreeMap<&'a str, u64> {
    let words = words(run, name);
    let pairs = words.chunks_exact(2);
    let seen: BTreeMap<_, _> = pairs.map(|pair| (pair[0], number(pair[1]))).collect();
    assert_eq!(seen.values().sum::<u64>(), RACES, "{name}\n{run}");
    seen
}

/// How many steps were counted, of how many.
fn counted(run: &Ended, name: &str) -> (u64, u64) {
    match words(run, name)[..] {
        [count, "of", all] => (number(count), number(all)),
        _ => panic!("no count of {name}\n{run}"),
    }
}
