//! The emulator against the processor: random ring-3 sequences must end in the same
//! registers, flags, memory and exceptions on both.
//!
//! ```text
//! forms       which instruction forms there are to try
//! generate    random sequences of them; operands, address, implicit: what they act on
//! menu        what is chosen from; rng, fx, xsave: random values; undefined: what not to look at
//! sketch      a sequence with labels, as it is generated and shrunk
//! case        the same with addresses, as it is run; text: as a file
//! layout      the machine it runs in; frame: the code before and after it
//! machine     one engine running batches (load, serve); ending: what came of a sequence
//! pair        two, compared (compare); explain, vendor: what excuses a difference
//! campaign    many sequences on all host processors; coverage: of which forms
//! kept        sequences that once differed, in cases/
//! ```
//!
//! Ring 3 is native in every KVM, a software-backed one included. Trials that end in
//! `::processor` take it for the reference: where this host has no KVM they are ignored,
//! and a line says so; `RINGFENCE_REQUIRE=kvm` makes that a failure. The emulator does as
//! AMD's processors of today where the manuals leave a choice: `vendor` excuses others. Where the
//! processor is itself emulated they say nothing about the emulator.
//!
//! `RINGFENCE_SEQUENCES` and `RINGFENCE_SEED` make the random test longer and different,
//! `--nocapture` prints its coverage table:
//!
//! ```sh
//! RINGFENCE_SEQUENCES=5000000 cargo test --release --test equivalence random -- --nocapture
//! ```
//!
//! A difference is shrunk and printed in the format of `tests/equivalence/cases/`: put it
//! there when the emulator is mended.

#[path = "../support/mod.rs"]
mod support;

mod address;
mod campaign;
mod case;
mod compare;
mod coverage;
mod ending;
mod explain;
mod forms;
mod frame;
mod fx;
mod generate;
mod implicit;
mod kept;
mod layout;
mod load;
mod machine;
mod memory;
mod menu;
mod operands;
mod pair;
mod rng;
mod serve;
mod shrink;
mod sketch;
mod text;
mod undefined;
mod vendor;
mod watchdog;
mod xsave;

use std::fmt::Write;

use libtest_mimic::{Arguments, Failed, Trial};
use vmm::cpu::emu::Emulator;
use vmm::cpu::kvm::KvmHost;

use campaign::{Campaign, Results};
use coverage::Table;
use menu::Menu;
use pair::{Engine, Engines, Mode, Pair};
use watchdog::Watchdog;

/// Number of sequences of the random test.
const SEQUENCES: &str = "RINGFENCE_SEQUENCES";
/// Seed of all random tests.
const SEED: &str = "RINGFENCE_SEED";

/// A random test: its name, what it compares, and for how many sequences.
struct RandomTest {
    name: &'static str,
    engines: Engines,
    sequences: u64,
}

impl RandomTest {
    const fn new(name: &'static str, engines: [Engine; 2], mode: Mode, sequences: u64) -> Self {
        let [reference, tested] = engines;
        Self {
            name,
            engines: Engines {
                reference,
                tested,
                mode,
            },
            sequences,
        }
    }
}

/// The tests that can be made longer.
const RANDOM: &str = "random::processor";
const TRANSLATED: &str = "random::translator";

/// Unoptimized code is about 20 times slower.
const UNIT: u64 = if cfg!(debug_assertions) { 500 } else { 10_000 };

const RANDOM_TESTS: [RandomTest; 7] = {
    use Engine::{Emu, Kvm, Translator};
    use Mode::{Batches, Serving, Stepping};
    [
        RandomTest::new(RANDOM, [Kvm, Emu], Batches, 10 * UNIT),
        RandomTest::new(TRANSLATED, [Emu, Translator], Batches, 20 * UNIT),
        RandomTest::new(
            "restarted_faults::translator",
            [Emu, Translator],
            Serving,
            11 * UNIT,
        ),
        RandomTest::new("steady::processor", [Kvm, Kvm], Batches, UNIT),
        RandomTest::new("restarted_faults::processor", [Kvm, Kvm], Serving, UNIT / 4),
        RandomTest::new("restarted_faults::emu", [Emu, Emu], Serving, 11 * UNIT),
        RandomTest::new("stepping::emu", [Emu, Emu], Stepping, UNIT),
    ]
};

/// Sequences of four instructions on average in which none of 1,300 forms is missed by
/// chance, and none with a page fault that is served.
const ENOUGH: u64 = 100_000;

fn main() {
    let arguments = Arguments::from_args();
    let obstacle = obstacle();
    match &obstacle {
        None => eprintln!("processor: runs here, in ring 3 of KVM"),
        Some(Obstacle { why, .. }) => eprintln!("processor: does not run here: {why}"),
    }
    let watchdog = Watchdog::start();
    let mut trials = Vec::new();
    let mut add = |name: String, test: Test| trials.push(trial(name, obstacle.clone(), test));
    for (name, engine) in [
        ("emu", Engine::Emu),
        ("translator", Engine::Translator),
        ("processor", Engine::Kvm),
    ] {
        let dog = watchdog.clone();
        let test = Box::new(move || kept::check_all(engine, &dog));
        add(format!("cases::{name}"), test);
    }
    let verbose = arguments.nocapture;
    for test in RANDOM_TESTS {
        let dog = watchdog.clone();
        let name = test.name.to_owned();
        add(name, Box::new(move || random(&test, &dog, verbose)));
    }
    let one_at_a_time = Arguments {
        // Each test uses all processors by itself.
        test_threads: Some(1),
        ..arguments
    };
    libtest_mimic::run(&one_at_a_time, trials).exit();
}

type Test = Box<dyn FnOnce() -> Result<(), Failed> + Send>;

/// What keeps the processor from being the reference.
#[derive(Clone)]
struct Obstacle {
    why: String,
    /// Whether that is a failure.
    fatal: bool,
}

fn obstacle() -> Option<Obstacle> {
    let error = KvmHost::open().err()?;
    Some(Obstacle {
        why: error.to_string(),
        fatal: support::required("kvm"),
    })
}

fn trial(name: String, obstacle: Option<Obstacle>, test: Test) -> Trial {
    let obstacle = obstacle.filter(|_| name.ends_with("::processor"));
    let ignored = obstacle.as_ref().is_some_and(|obstacle| !obstacle.fatal);
    let run = move || match obstacle {
        Some(Obstacle { why, .. }) => Err(Failed::from(why)),
        None => test(),
    };
    Trial::test(name, run).with_ignored_flag(ignored)
}

fn number(variable: &str, default: u64) -> Result<u64, Failed> {
    match std::env::var(variable) {
        Err(_) => Ok(default),
        Ok(text) => text
            .parse()
            .map_err(|_| Failed::from(format!("{variable} is not a number: {text}"))),
    }
}

fn random(test: &RandomTest, watchdog: &Watchdog, verbose: bool) -> Result<(), Failed> {
    let RandomTest { name, engines, .. } = test;
    let serving = engines.mode == Mode::Serving;
    let another = engines.against_another();
    let forms = forms::all()
        .into_iter()
        .filter(|form| !serving || !forms::shows_x87_pointers(form.code))
        .filter(|form| !another || !vendor::differs(form.code))
        .filter(|form| !engines.emulate() || Emulator::implements(form.code))
        .collect();
    let count = match *name {
        RANDOM | TRANSLATED => number(SEQUENCES, test.sequences)?,
        _ => test.sequences,
    };
    let campaign = Campaign {
        seed: number(SEED, 1)?,
        first: 0,
        count,
        menu: &Menu::new(forms),
        engines: *engines,
    };
    let results = campaign.run(watchdog)?;
    println!("{name}: {}", summary(&results));
    let table = Table {
        coverage: &results.coverage,
        implements: Emulator::implements,
    };
    let lacking = table.absent();
    if *name == RANDOM && !lacking.is_empty() {
        println!("{name}: not tried, as this processor lacks them: {lacking:?}");
    }
    if *name == RANDOM && verbose {
        println!("{table}");
    }
    if !results.findings.is_empty() {
        let mut pair = Pair::new(*engines, watchdog)?;
        return Err(report(&mut pair, &results).into());
    }
    let mut missed = match (serving, engines.emulate()) {
        (false, true) if [RANDOM, TRANSLATED].contains(name) => table.missed(),
        (true, true) => table.never_served(),
        _ => Vec::new(),
    };
    missed.retain(|&code| !another || !vendor::differs(code));
    if count >= ENOUGH && !missed.is_empty() {
        return Err(format!("forms that were never tried: {missed:?}").into());
    }
    Ok(())
}

fn summary(results: &Results) -> String {
    let seconds = results.time.as_secs_f64();
    let rate = results.sequences as f64 / seconds;
    let endings: Vec<String> = results
        .endings
        .iter()
        .map(|(vector, count)| match vector {
            None => format!("{count} completed"),
            Some(vector) => format!("{count} #{vector}"),
        })
        .collect();
    format!(
        "{} sequences in {seconds:.1} s ({rate:.0}/s): {}; {} stuck, {} unsteady",
        results.sequences,
        endings.join(", "),
        results.stuck,
        results.unsteady,
    )
}

fn report(pair: &mut Pair, results: &Results) -> String {
    let mut text = String::new();
    for finding in &results.findings {
        let _ = writeln!(text, "\n# sequence {}: reference, tested", finding.number);
        let (case, differences, alone) = match shrink::shrink(pair, &finding.sketch) {
            Some((sketch, differences)) => (sketch.assemble(), differences, true),
            None => (
                finding.sketch.assemble(),
                finding.differences.clone(),
                false,
            ),
        };
        for difference in &differences {
            let _ = writeln!(text, "# {difference}");
        }
        text += &match case {
            Some(case) if alone => text::write(&pair.keep(case)),
            Some(case) => text::listing(&case),
            None => String::new(),
        };
    }
    text
}
