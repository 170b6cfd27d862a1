//! How many times slower than the processor the emulator is, on eight kinds of work, by its
//! interpreter and by its translator.
//!
//! `cargo run --release --example emulator_speed [RUNS]`
//!
//! The bundled program `loops` is run as a process of this host and as the only process of
//! an emulated machine, by either engine in turn, RUNS times (5) each; it takes its own time.
//! What counts is the ratio of the medians.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;
use std::{env, fs, process};

use vmm::accel::AccelChoice;
use vmm::cpu::emu::Engine;
use vmm::{Output, Program, Vm, VmConfig};

const PROGRAM: &str = "loops";
const LOOPS: &str = "dependent sieve fib sha256 matrix chase independent indirect";
/// Enough for the largest loop and the kernel.
const MEMORY: u64 = 128 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let runs = env::args().nth(1).map(|word| word.parse::<usize>());
    let runs = runs.transpose()?.map_or(5, |runs| runs.max(1));
    let program = Program::find(PROGRAM)?;
    let file = env::temp_dir().join(format!("{PROGRAM}-{}", process::id()));
    let mut options = OpenOptions::new();
    let new = options.write(true).create_new(true).mode(0o700);
    new.open(&file)?
        .write_all(program.file().unwrap_or_default())?;
    println!("loop          native ms  interpreter ms  ratio  translator ms  ratio");
    let mut logarithms = [0.0; 2];
    for name in LOOPS.split(' ') {
        let mut times = [const { Vec::new() }; 3];
        for _ in 0..runs {
            let results = [
                run_on_host(&file, name)?,
                run_in_guest(&program, name, Engine::Interpreter)?,
                run_in_guest(&program, name, Engine::default())?,
            ];
            for (times, (sum, ns)) in times.iter_mut().zip(&results) {
                assert_eq!(*sum, results[0].0, "{name}: another result");
                times.push(*ns);
            }
        }
        let [native, interpreted, translated] = times.map(median);
        let (first, second) = (interpreted / native, translated / native);
        logarithms[0] += first.ln();
        logarithms[1] += second.ln();
        println!(
            "{name:13} {native:9.1} {interpreted:15.1} {first:6.1} {translated:14.1} {second:6.1}"
        );
    }
    let means = logarithms.map(|sum| (sum / LOOPS.split(' ').count() as f64).exp());
    println!("geometric mean {:31.1} {:21.1}", means[0], means[1]);
    Ok(fs::remove_file(&file)?)
}

/// Sum and nanoseconds.
type Timed = Result<(String, u64), Box<dyn Error>>;

/// Out of `NAME SUM NANOSECONDS`.
fn parse(text: &str) -> Timed {
    let mut words = text.split_whitespace().skip(1);
    match (words.next(), words.next()) {
        (Some(sum), Some(ns)) => Ok((sum.to_owned(), ns.parse()?)),
        _ => Err(format!("{PROGRAM} printed {text:?}").into()),
    }
}

fn run_on_host(path: &Path, name: &str) -> Timed {
    let output = Command::new(path).arg(name).output()?;
    parse(&String::from_utf8(output.stdout)?)
}

fn run_in_guest(program: &Program, name: &str, engine: Engine) -> Timed {
    let mut config = VmConfig::new(program.clone());
    config.args = vec![name.to_owned()];
    config.accel = AccelChoice::Emu;
    config.engine = engine;
    config.memory = MEMORY;
    let (output, recorder) = Output::recorded();
    let report = Vm::new(config, output)?.run()?;
    match report.outcome.exit_status() {
        0 => parse(&recorder.transcript().text()),
        _ => Err(format!("{name}: {}", report.outcome).into()),
    }
}

/// Milliseconds, out of nanoseconds.
fn median(mut values: Vec<u64>) -> f64 {
    values.sort_unstable();
    values[values.len() / 2] as f64 / 1e6
}
