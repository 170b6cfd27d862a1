//! `vmm list`: the bundled programs.

use std::io::Write;

use vmm::printable::wrap;
use vmm::report::json;

use super::CliResult;

/// List the bundled guest programs.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> CliResult {
    let mut out = std::io::stdout().lock();
    let programs = vmm::bundled::PROGRAMS;
    if args.json {
        let programs: Vec<_> = programs
            .iter()
            .map(|p| serde_json::json!({"name": p.name, "about": p.about, "bytes": p.elf.len()}))
            .collect();
        write!(
            out,
            "{}",
            json(&serde_json::json!({ "programs": programs }))
        )?;
        return Ok(0);
    }
    let width = programs
        .iter()
        .map(|program| program.name.len())
        .max()
        .unwrap_or(0);
    for program in programs {
        let name = format!("{:width$}  ", program.name);
        write!(out, "{}", wrap(&name, program.about))?;
    }
    Ok(0)
}
