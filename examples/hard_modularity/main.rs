//! The factorial service by every kind of modularity: what a call costs, and what a crash,
//! an endless loop and a stray write of the service do to its client (R26).
//!
//! `cargo run --release --example hard_modularity [kvm|emu]`
//!
//! Client and service are parts of one program (soft modularity); two processes that send
//! messages through pipes; processes of two virtual machines, joined by a serial line; this
//! program and machine code in a virtual machine. All of it under KVM and in the emulator,
//! and nothing in the table was known before it ran.

mod modularity;

use std::env;
use std::error::Error;

use modularity::{Form, Request};
use vmm::accel::Accelerator;

fn main() -> Result<(), Box<dyn Error>> {
    let wanted: Vec<String> = env::args().skip(1).collect();
    let all = ["kvm", "emu"].map(String::from);
    let accels = if wanted.is_empty() { &all } else { &wanted[..] };
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
        for form in Form::ALL {
            let cost = modularity::cost(choice, form)?;
            let instructions = cost.instructions;
            let instructions = instructions.map_or("-".into(), |count| format!("{count:.1}"));
            let mut cells = format!(
                "{:12} {:10.0} {:6.1} {instructions:>12}",
                form.name(),
                cost.ns,
                cost.exits
            );
            for fault in Request::FAULTS {
                let outcome = modularity::outcome(choice, form, fault)?;
                println!("{cells:43}   {}: {outcome}", fault.name());
                cells.clear();
            }
        }
        println!();
    }
    Ok(())
}
