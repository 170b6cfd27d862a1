//! How many times slower than the processor the emulator is, on eight kinds of work: by its
//! interpreter, by its translator, and by QEMU's translator (TCG) where there is QEMU.
//!
//! `cargo run --release --example emulator_speed [RUNS [LOOP]...]`
//!
//! The bundled program `loops` is run as a process of this host and as the only process of
//! our kernel, in a machine of each emulator, in turn, RUNS times (5). What counts is the
//! ratio of the medians.
//!
//! Each loop takes its own time: the program reads its clock before the loop and after it,
//! so that booting does not count. In all machines that clock is the host's time-stamp
//! counter. QEMU does not say how fast it is: there our kernel measures that by the 8254
//! timer, to one part in 2,000.

mod loops;
#[path = "../measured/mod.rs"]
mod measured;

use std::env;

use loops::{LOOPS, Loops};
use measured::{Fallible, Way};
use vmm::cpu::emu::Engine;

fn main() -> Fallible<()> {
    let mut words = env::args().skip(1);
    let runs = words.next().map_or(Ok(5), |word| word.parse())?;
    let mut names: Vec<_> = words.collect();
    if names.is_empty() {
        names = LOOPS.map(String::from).to_vec();
    }
    let loops = Loops::new()?;
    let mut ways = vec![
        Way::new("processor", |name: &String| loops.on_host(name)),
        Way::new("interpreter", |name: &String| {
            loops.in_guest(name, Engine::Interpreter)
        }),
        Way::new("translator", |name: &String| {
            loops.in_guest(name, Engine::default())
        }),
    ];
    let no_qemu = loops::no_qemu();
    if no_qemu.is_none() {
        ways.push(Way::new("QEMU", |name: &String| loops.in_qemu(name)));
    }
    let ratios = measured::table("loop", &names, &ways, runs)?;
    if let [_, ours, qemu] = ratios.as_slice() {
        let gains: Vec<_> = qemu.iter().zip(ours).map(|(qemu, us)| qemu / us).collect();
        let faster = gains.iter().filter(|&&gain| gain > 1.0).count();
        let (all, mean) = (gains.len(), measured::mean(&gains));
        println!(
            "faster than QEMU on {faster} of {all} loops, in the mean {mean:.1} times as fast"
        );
    }
    if let Some(why) = no_qemu {
        println!("no QEMU to compare with ({why}): Debian's package is qemu-system-x86");
    }
    Ok(())
}
