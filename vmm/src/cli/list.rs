//! `vmm list`: the bundled programs.

use vmm::printable::wrap;
use vmm::report::json;

use super::{CliResult, print};

/// List the bundled guest programs.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> CliResult {
    let programs = vmm::bundled::PROGRAMS;
    if args.json {
        let programs: Vec<_> = programs
            .iter()
            .map(|p| serde_json::json!({"name": p.name, "about": p.about, "bytes": p.elf.len()}))
            .collect();
        print(&json(&serde_json::json!({ "programs": programs })))?;
        return Ok(0);
    }
    let width = programs
        .iter()
        .map(|program| program.name.len())
        .max()
        .unwrap_or(0);
    let lines = programs
        .iter()
        .map(|program| wrap(&format!("{:width$}  ", program.name), program.about));
    print(&lines.collect::<String>())?;
    Ok(0)
}
