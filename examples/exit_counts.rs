//! What leaves the guest and what does not: exits for programs that compute, sleep, print
//! and make system calls.
//!
//! `cargo run --release --example exit_counts [auto|kvm|emu]`
//!
//! A system call is a matter between program and guest kernel, arithmetic one between
//! program and processor: neither is an exit. Output by a serial port is:
//! one for each byte.

use std::env;
use std::error::Error;

use vmm::accel::AccelChoice;
use vmm::devices::ApicMode;
use vmm::exit::ExitReason;
use vmm::report::{OutcomeKind, Report};
use vmm::vm::ConsoleKind;
use vmm::{Output, Program, Vm, VmConfig};

/// A program and its argument.
const RUNS: [(&str, &str); 6] = [
    ("hello", ""),
    ("spin", "20"),
    ("spin", "200"),
    ("sleep", "200"),
    ("yield", "10"),
    ("yield", "1000"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let choice: AccelChoice = env::args().nth(1).as_deref().unwrap_or("auto").parse()?;
    println!(
        "{:12} {:>6} {:>6} {:>6} {:>6} {:>6}  {:>8} {:>6}",
        "program", "in", "out", "apic", "halts", "other", "syscalls", "ticks"
    );
    for (name, argument) in RUNS {
        let report = run(choice, name, argument)?;
        let exits = |reasons: &[ExitReason]| -> u64 {
            reasons
                .iter()
                .map(|&reason| report.exits.count(reason))
                .sum()
        };
        let known = [
            exits(&[ExitReason::PioIn]),
            exits(&[ExitReason::PioOut]),
            exits(&[
                ExitReason::MmioRead,
                ExitReason::MmioWrite,
                ExitReason::MsrWrite,
            ]),
            exits(&[ExitReason::Hlt]),
        ];
        let [input, output, apic, halts] = known;
        let other = report.exits.total() - known.iter().sum::<u64>();
        let syscalls = report.guest.syscalls.unwrap_or(0);
        let ticks = report.guest.timer_ticks.unwrap_or(0);
        println!(
            "{:12} {input:>6} {output:>6} {apic:>6} {halts:>6} {other:>6}  {syscalls:>8} {ticks:>6}",
            format!("{name} {argument}")
        );
    }
    Ok(())
}

/// Runs a program with the local APIC in the VMM, where its exits can be seen.
fn run(choice: AccelChoice, name: &str, argument: &str) -> Result<Report, Box<dyn Error>> {
    let mut config = VmConfig::new(Program::find(name)?);
    config.args = argument.split_whitespace().map(String::from).collect();
    config.accel = choice;
    config.apic = ApicMode::User;
    config.console = ConsoleKind::Serial;
    let report = Vm::new(config, Output::discard())?.run()?;
    match report.outcome.kind {
        OutcomeKind::Exited => Ok(report),
        _ => Err(format!("{name}: {}", report.outcome).into()),
    }
}
