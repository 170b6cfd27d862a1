//! The factorial service by every kind of modularity: what a call costs, and what a crash,
//! an endless loop and a stray write of the service do to its client (R26).
//!
//! `cargo run --release --example hard_modularity [kvm|emu ...] [PAGE.html]`
//!
//! Client and service are parts of one program (soft modularity); two processes that send
//! messages through pipes; processes of two virtual machines, joined by a serial line; this
//! program and machine code in a virtual machine. All of it under KVM and in the emulator,
//! and nothing in the table was known before it ran. PAGE.html is a file for a picture of it.

mod modularity;

use std::error::Error;
use std::{env, fs};

use modularity::{Form, Request};
use vmm::accel::Accelerator;
use vmm::html::{Bar, Chart, Picture};

fn main() -> Result<(), Box<dyn Error>> {
    let words = env::args().skip(1);
    let (pages, wanted): (Vec<_>, Vec<_>) = words.partition(|word| word.ends_with(".html"));
    let all = ["kvm", "emu"].map(String::from);
    let accels = if wanted.is_empty() { &all } else { &wanted[..] };
    let mut charts = Vec::new();
    for accel in accels {
        let choice = accel.parse()?;
        match Accelerator::open(choice, false) {
            Ok((accelerator, _)) => println!("{accel} ({})", accelerator.host_kind()),
            // Of two, one is enough.
            Err(why) if wanted.is_empty() => {
                println!("{accel}: {why}");
                continue;
            }
            Err(why) => return Err(why.into()),
        }
        println!(
            "{:12} {:>10} {:>6} {:>12}   after each fault the client has",
            "form", "ns a call", "exits", "instructions"
        );
        let mut bars = Vec::new();
        for form in Form::ALL {
            let cost = modularity::cost(choice, form)?;
            let instructions = cost.instructions;
            let instructions = instructions.map_or("-".into(), |count| format!("{count:.1}"));
            let (name, exits) = (form.name(), format!("{:.1}", cost.exits));
            let mut cells = format!("{name:12} {:10.0} {exits:>6} {instructions:>12}", cost.ns);
            let mut bar = Bar {
                name: name.to_owned(),
                from_ns: None,
                ns: cost.ns,
                cells: vec![exits, instructions],
            };
            for fault in Request::FAULTS {
                let outcome = modularity::outcome(choice, form, fault)?.to_string();
                println!("{cells:43}   {}: {outcome}", fault.name());
                cells.clear();
                bar.cells.push(outcome);
            }
            bars.push(bar);
        }
        println!();
        let faults = Request::FAULTS.iter().map(|fault| fault.name());
        charts.push(Chart {
            heading: format!("A call on {accel}, and what the client has after a fault"),
            columns: ["exits", "instructions"]
                .into_iter()
                .chain(faults)
                .collect(),
            bars,
        });
    }
    let picture = Picture {
        title: "hard_modularity",
        lead: "A service as a subroutine, as a process, on another machine, and as the VMM's guest.",
        charts,
    };
    for page in pages {
        fs::write(page, picture.page())?;
    }
    Ok(())
}
