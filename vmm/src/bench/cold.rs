//! The cost of running a program in a new machine: a process of the VMM, from its start.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::{BenchError, Counts, Sample};
use crate::accel::AccelChoice;
use crate::compare::Machine;
use crate::devices::ApicMode;

/// Which of the two times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Until {
    /// The first instruction in ring 3.
    Ring3,
    /// The end of the process.
    Exit,
}

/// The fields of the report that are needed here.
#[derive(Deserialize)]
struct Report {
    boot_ns: Option<u64>,
    exits_total: u64,
    emu: Option<Instructions>,
}

#[derive(Deserialize)]
struct Instructions {
    ring0: u64,
    ring3: u64,
}

/// Runs `hello` by the program `vmm`.
pub fn sample(vmm: &Path, machine: Machine, until: Until) -> Result<Sample, BenchError> {
    let (accel, apic) = match machine.choice() {
        (AccelChoice::Emu, _) => ("emu", "user"),
        (_, ApicMode::Kernel) => ("kvm", "kernel"),
        (_, ApicMode::User) => ("kvm", "user"),
    };
    let started = Instant::now();
    let output = Command::new(vmm)
        .args(["run", "--accel", accel, "--apic", apic])
        .args(["--report", "json", "hello"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output();
    let wall_ns = started.elapsed().as_nanos() as f64;
    let output =
        output.map_err(|error| BenchError::Absent(format!("{}: {error}", vmm.display())))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let report: Report = serde_json::from_str(&text)
        .map_err(|_| BenchError::Absent(text.lines().next().unwrap_or("no report").to_owned()))?;
    let ns = match until {
        Until::Ring3 => report.boot_ns.map(|ns| ns as f64),
        Until::Exit => Some(wall_ns),
    };
    let instructions = report.emu.as_ref();
    Ok(Sample {
        ns: ns.ok_or_else(|| BenchError::Absent("ring 3 was not reached".to_owned()))?,
        one_cpu_ns: None,
        host_ns: None,
        counts: Counts {
            exits: Some(report.exits_total as f64),
            ring0_instructions: instructions.map(|counts| counts.ring0 as f64),
            ring3_instructions: instructions.map(|counts| counts.ring3 as f64),
            ..Counts::default()
        },
    })
}
