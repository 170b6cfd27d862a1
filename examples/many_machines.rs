//! Several virtual machines share one host and do not affect each other (R6).
//!
//! `cargo run --release --example many_machines [auto|kvm|emu]`
//!
//! A worker runs alone, then several of them at once beside a machine whose program
//! crashes, one that spins for ever and one that wants more memory than there is. Each
//! worker must print, return and exit to the VMM exactly as it did alone.

use std::env;
use std::error::Error;
use std::thread;
use std::time::Duration;

use vmm::accel::AccelChoice;
use vmm::exit::ExitReason;
use vmm::output::{Output, Transcript};
use vmm::report::{ExitRow, Outcome};
use vmm::{Program, Vm, VmConfig, VmError};

const WORKERS: usize = 4;
const WORKER: &str = "yield 1000";
const SPIN: &str = "spin 3600000";
const TROUBLE: [&str; 3] = ["stack_overflow", SPIN, "memory_hog"];
/// What the one that spins for an hour is given.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Enough for a whole stack, and little, so that the hog soon has all of it.
const MEMORY: u64 = 24 << 20;

/// What a machine does that others could disturb.
#[derive(Debug, PartialEq)]
struct Seen {
    outcome: Outcome,
    output: Transcript,
    port_exits: Vec<(ExitReason, String, u64)>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let choice: AccelChoice = env::args().nth(1).as_deref().unwrap_or("auto").parse()?;
    let alone = run(choice, WORKER)?;
    println!("alone:    {WORKER}: {}", alone.outcome);

    let words = std::iter::repeat_n(WORKER, WORKERS).chain(TROUBLE);
    let machines: Vec<_> = words
        .map(|words| (words, thread::spawn(move || run(choice, words))))
        .collect();
    let mut disturbed = 0;
    for (words, machine) in machines {
        let result = machine
            .join()
            .map_err(|_| "a machine's thread panicked")??;
        let verdict = match words {
            WORKER if result == alone => "as alone",
            WORKER => {
                disturbed += 1;
                "DISTURBED"
            }
            _ => "on its own",
        };
        println!("together: {words}: {} ({verdict})", result.outcome);
    }
    match disturbed {
        0 => Ok(()),
        _ => Err(format!("{disturbed} machines were disturbed").into()),
    }
}

/// Runs a program with its arguments on a machine of its own.
fn run(choice: AccelChoice, words: &str) -> Result<Seen, VmError> {
    let timeout = (words == SPIN).then_some(TIMEOUT);
    let mut words = words.split_whitespace().map(String::from);
    let mut config = VmConfig::new(Program::find(words.next().unwrap_or_default())?);
    config.args = words.collect();
    config.accel = choice;
    config.memory = MEMORY;
    config.timeout = timeout;
    let (output, transcript) = Output::recorded();
    let report = Vm::new(config, output)?.run()?;
    let is_port = |row: &&ExitRow| matches!(row.reason, ExitReason::PioIn | ExitReason::PioOut);
    let ports = report.exits.rows().iter().filter(is_port);
    Ok(Seen {
        outcome: report.outcome.clone(),
        output: transcript.transcript(),
        port_exits: ports
            .map(|row| (row.reason, row.detail.to_string(), row.count))
            .collect(),
    })
}
