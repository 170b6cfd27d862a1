//! What an emulator costs and hardware saves: one program on every machine of this host,
//! by the library that `vmm compare` is made of.
//!
//! `cargo run --release --example compare_accelerators [PROGRAM [ARGS]...]`

use std::env;
use std::error::Error;

use vmm::compare::{Comparison, Plan};
use vmm::{Output, Program, VmConfig};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = env::args().skip(1);
    let program = words.next().unwrap_or("collatz".into());
    let mut config = VmConfig::new(Program::find(&program)?);
    config.args = words.collect();

    let plan = Plan::new(config);
    let comparison = Comparison::measure(&plan, Output::stdout()?, &mut |machine, run| {
        eprintln!("{machine}, run {run}");
    })?;
    let summary = comparison.summary();
    println!("{summary}");

    for machine in &summary.machines {
        let exits = machine.exits_total.median;
        let share = 100.0 * machine.vmm_ns.median as f64 / machine.wall_ns.median.max(1) as f64;
        println!(
            "{:13} {:7.2} times the fastest, {exits} exits, {share:.1} % of the time in the VMM",
            machine.machine.name(),
            machine.slowdown.unwrap_or(f64::NAN)
        );
    }
    match summary.verdict.agrees() {
        true => Ok(()),
        false => Err("the machines differ in what should be the same".into()),
    }
}
