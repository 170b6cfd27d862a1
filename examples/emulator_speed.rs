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
const DEFAULT_RUNS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let runs = match env::args().nth(1) {
        Some(word) => word.parse::<usize>()?.max(1),
        None => DEFAULT_RUNS,
    };
    let program = Program::find(PROGRAM)?;
    let file = env::temp_dir().join(format!("{PROGRAM}-{}", process::id()));
    let mut options = OpenOptions::new();
    let new = options.write(true).create_new(true).mode(0o700);
    new.open(&file)?
        .write_all(program.file().unwrap_or_default())?;
    println!("loop          native ms  interpreter ms  ratio  translator ms  ratio");
    let mut logarithms = [0.0; 2];
    for name in LOOPS.split(' ') {
        let mut native = Vec::new();
        let mut emulated = [Vec::new(), Vec::new()];
        for _ in 0..runs {
            let on_host = run_on_host(&file, name)?;
            native.push(on_host.1);
            for (engine, times) in [Engine::Interpreter, Engine::default()]
                .into_iter()
                .zip(&mut emulated)
            {
                let in_guest = run_in_guest(&program, name, engine)?;
                if on_host.0 != in_guest.0 {
                    return Err(format!("{name}: the emulator computes something else").into());
                }
                times.push(in_guest.1);
            }
        }
        let native = median(native) as f64;
        print!("{name:13} {:9.1}", native / 1e6);
        for ((times, width), sum) in emulated.into_iter().zip([15, 14]).zip(&mut logarithms) {
            let emulated = median(times) as f64;
            let ratio = emulated / native.max(1.0);
            *sum += ratio.ln();
            print!(" {:width$.1} {ratio:6.1}", emulated / 1e6);
        }
        println!();
    }
    let [interpreter, translator] =
        logarithms.map(|sum| (sum / LOOPS.split(' ').count() as f64).exp());
    println!("geometric mean {interpreter:31.1} {translator:21.1}");
    Ok(fs::remove_file(&file)?)
}

/// Sum and nanoseconds, out of `NAME SUM NANOSECONDS`.
fn parse(text: &str) -> Result<(String, u64), Box<dyn Error>> {
    let mut words = text.split_whitespace().skip(1);
    match (words.next(), words.next()) {
        (Some(sum), Some(ns)) => Ok((sum.to_owned(), ns.parse()?)),
        _ => Err(format!("{PROGRAM} printed {text:?}").into()),
    }
}

fn run_on_host(path: &Path, name: &str) -> Result<(String, u64), Box<dyn Error>> {
    let output = Command::new(path).arg(name).output()?;
    parse(&String::from_utf8(output.stdout)?)
}

fn run_in_guest(
    program: &Program,
    name: &str,
    engine: Engine,
) -> Result<(String, u64), Box<dyn Error>> {
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

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}
