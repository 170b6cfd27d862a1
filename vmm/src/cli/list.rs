//! `vmm list`: the bundled programs.

use std::io::Write;

use super::CliResult;

/// List the bundled guest programs.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON: an array of {name, about, bytes}
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> CliResult {
    let mut out = std::io::stdout().lock();
    let programs = vmm::bundled::PROGRAMS;
    if args.json {
        let list: Vec<_> = programs
            .iter()
            .map(|p| serde_json::json!({"name": p.name, "about": p.about, "bytes": p.elf.len()}))
            .collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&list)?)?;
        return Ok(0);
    }
    let width = programs
        .iter()
        .map(|program| program.name.len())
        .max()
        .unwrap_or(0);
    for program in programs {
        writeln!(out, "{:width$}  {}", program.name, program.about)?;
    }
    Ok(0)
}
