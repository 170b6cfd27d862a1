//! How many times longer programs of this host take in the emulator, by its translator and by
//! its interpreter, than by themselves.
//!
//! `cargo run --release --example real_work [RUNS [PERCENT]]`
//!
//! Each program runs as a process of this host, and as it is, with all files of the host, in
//! our kernel, in turn, RUNS times (3); of its work it does so many PERCENT (100). What it
//! prints must be the same, to the byte. Time is what a user waits for: with the start of the
//! process, or of the machine, and its end. What counts is the ratio of the medians.

#[path = "../measured/mod.rs"]
mod measured;
mod works;

use std::env;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use measured::{Fallible, Scratch, Timed, Way};
use vmm::accel::AccelChoice;
use vmm::cpu::emu::Engine;
use vmm::host_files::Root;
use vmm::output::Outputs;
use vmm::{Program, Vm, VmConfig};
use works::{ENVIRONMENT, Work};

/// As of `vmm run --root`.
const MEMORY: u64 = 1 << 30;
const OUTPUT: &str = "output";

fn main() -> Fallible<()> {
    let words: Vec<_> = env::args().skip(1).collect();
    if let [word, file] = words.as_slice()
        && word == works::COUNT
    {
        return works::count(file);
    }
    let number = |index, default| {
        words
            .get(index)
            .map_or(Ok(default), |word: &String| word.parse())
    };
    let (runs, percent) = (number(0, 3)?, number(1, 100)?);
    let scratch = Scratch::new()?;
    let folder = scratch.path();
    let works = works::all(folder, percent)?;
    let (works, missing): (Vec<_>, Vec<_>) = works.into_iter().partition(Work::is_there);
    let in_guest = |work: &Work, engine| in_guest(folder, work, engine);
    let ways = [
        Way::new("host", |work| on_host(folder, work)),
        Way::new("translator", |work| in_guest(work, Engine::default())),
        Way::new("interpreter", |work| in_guest(work, Engine::Interpreter)),
    ];
    measured::table("program", &works, &ways, runs)?;
    for work in missing {
        println!("{work}: this host does not have it");
    }
    Ok(())
}

fn on_host(folder: &Path, work: &Work) -> Timed {
    let mut command = Command::new(&work.program);
    command.args(&work.args).current_dir(folder).env_clear();
    command.envs(ENVIRONMENT).stdin(Stdio::null());
    command.stdout(File::create(folder.join(OUTPUT))?);
    let started = Instant::now();
    let status = command.status()?;
    let time = started.elapsed();
    match status.success() {
        true => Ok((fs::read(folder.join(OUTPUT))?, time)),
        false => Err(format!("{work} on the host: {status}").into()),
    }
}

fn in_guest(folder: &Path, work: &Work, engine: Engine) -> Timed {
    let mut outputs = Outputs::standard()?;
    outputs.output = OwnedFd::from(File::create(folder.join(OUTPUT))?).into();
    let started = Instant::now();
    let mut config = VmConfig::new(Program::find("hello")?);
    config.files.root = Some(Root::Folder("/".into()));
    config.process.directory = Some(folder.to_owned());
    let variables = ENVIRONMENT.map(|(name, value)| format!("{name}={value}").into());
    config.process.environment = variables.into();
    let mut tree = config.files.open()?;
    let program = Program::find_in_root(&work.program, &mut tree, &config.process)?;
    (config.program, config.args) = (Some(program), work.args.clone());
    (config.accel, config.engine) = (AccelChoice::Emu, engine);
    config.memory = MEMORY;
    let report = Vm::new(config, outputs)?.run()?;
    let time = started.elapsed();
    match report.outcome.exit_status() {
        0 => Ok((fs::read(folder.join(OUTPUT))?, time)),
        _ => Err(format!("{work} in a guest: {}", report.outcome).into()),
    }
}
