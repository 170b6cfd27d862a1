//! The library in ten lines: a program of the guest's, a machine, a run, a report.
//!
//! `cargo run --release --example run_program [PROGRAM [ARGS]...]`

use vmm::{Output, Program, Vm, VmConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let program = words.next().unwrap_or("hello".into());
    let mut config = VmConfig::new(Program::find(&program)?);
    config.args = words.collect();
    let report = Vm::new(config, Output::stdout()?)?.run()?;
    println!("{report}");
    Ok(())
}
