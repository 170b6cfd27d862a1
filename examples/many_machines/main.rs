//! Several virtual machines share one host and do not affect each other (R6).
//!
//! `cargo run --release --example many_machines [auto|kvm|emu [PAGE]]`
//!
//! A worker runs alone, then several of them at once beside a machine whose program
//! crashes, one that spins for ever and one that wants more memory than there is. Each
//! worker must print, return and exit to the VMM exactly as it did alone. PAGE is a file for
//! a picture of who ran when.

mod machine;

use std::error::Error;
use std::time::Instant;
use std::{env, fs, iter, thread};

use machine::{SPIN, run};
use vmm::accel::AccelChoice;
use vmm::html::{Bar, Chart, Picture};

const WORKERS: usize = 4;
const WORKER: &str = "yield 1000";
const TROUBLE: [&str; 3] = ["stack_overflow", SPIN, "memory_hog"];

fn main() -> Result<(), Box<dyn Error>> {
    let choice: AccelChoice = env::args().nth(1).as_deref().unwrap_or("auto").parse()?;
    let alone = run(choice, WORKER)?;
    println!("alone:    {WORKER}: {}", alone.outcome);

    let started = Instant::now();
    let start = |words| {
        let timed = move || {
            let from = started.elapsed();
            run(choice, words).map(|seen| (from, started.elapsed() - from, seen))
        };
        (words, thread::spawn(timed))
    };
    let words = iter::repeat_n(WORKER, WORKERS).chain(TROUBLE);
    let machines: Vec<_> = words.map(start).collect();
    let (mut disturbed, mut bars) = (0, Vec::new());
    for (words, machine) in machines {
        let ended = machine.join().map_err(|_| "a machine's thread panicked")?;
        let (from, time, seen) = ended?;
        let verdict = match words {
            WORKER if seen == alone => "as alone",
            WORKER => {
                disturbed += 1;
                "DISTURBED"
            }
            _ => "on its own",
        };
        println!("together: {words}: {} ({verdict})", seen.outcome);
        bars.push(Bar {
            name: words.to_owned(),
            from_ns: Some(from.as_nanos() as u64),
            ns: time.as_nanos() as f64,
            cells: vec![seen.outcome.to_string(), verdict.to_owned()],
        });
    }
    if let Some(page) = env::args().nth(2) {
        let chart = Chart {
            heading: "Who ran when".to_owned(),
            columns: vec!["how it ended", "against alone"],
            bars,
        };
        let picture = Picture {
            title: "many_machines",
            lead: "Workers beside machines in trouble, all on one host at once.",
            charts: vec![chart],
        };
        fs::write(page, picture.page())?;
    }
    match disturbed {
        0 => Ok(()),
        _ => Err(format!("{disturbed} machines were disturbed").into()),
    }
}
