//! `vmm explain`: what a name or number in a report or trace means.

use vmm::explain::{self, Explanation, Kind};
use vmm::printable::wrap;
use vmm::report::json;

use super::{CliResult, print};

/// Say what an exit reason, counter, port, MSR or system call is, and what it costs.
///
/// Figures are those measured in the READMEs. Without NAME all names are listed, by kind.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to explain, as reports and traces have it: pio_out, halt_exits, 0x3f8, "msr 0x80b",
    /// "local APIC", read. One of exit, counter, port, gpa, msr, syscall before it leaves the
    /// others out
    #[arg(value_name = "NAME")]
    words: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> CliResult {
    let name = args.words.join(" ");
    let found: Vec<_> = match args.words.is_empty() {
        true => explain::all().iter().collect(),
        false => explain::find(&name)?,
    };
    let text = match (args.json, args.words.is_empty()) {
        (true, _) => json(&serde_json::json!({ "explanations": found })),
        (false, true) => list(),
        (false, false) => in_full(&found),
    };
    print(&text)?;
    Ok(0)
}

fn in_full(found: &[&Explanation]) -> String {
    let texts: Vec<_> = found.iter().map(ToString::to_string).collect();
    texts.join("\n")
}

/// All names, in a paragraph for each kind.
fn list() -> String {
    let kinds = Kind::ALL.iter().map(|kind| {
        let texts = explain::all().iter().filter(|text| text.kind == *kind);
        let titles: Vec<_> = texts.map(Explanation::title).collect();
        format!("{}\n{}", kind.title(), wrap("  ", &titles.join(", ")))
    });
    kinds.collect::<Vec<_>>().join("\n")
}
