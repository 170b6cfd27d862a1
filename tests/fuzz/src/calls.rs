//! System calls of ring 3: any numbers, pointers, descriptors and flags, in processes, threads and
//! handlers of signals, in a machine of the emulator's with 1, 2 or 4 CPUs.
//!
//! An input becomes a program: init makes a child that makes the calls, again and again, waits for
//! 2 ms of guest time, kills all there is, waits until there is nothing, and exits. So whatever the
//! calls do, the machine ends: a panic, a kill that does not kill and a wait for ever are faults of
//! the kernel, and so is what the emulator or a device does not survive.

mod program;

use std::time::Duration;

use vmm::accel::AccelChoice;
use vmm::report::OutcomeKind;
use vmm::{Output, Program, Vm, VmConfig};

use crate::{COUNTS, Input, count, tar};

/// Many times what a machine takes.
const INSTRUCTIONS: u64 = 500_000_000;
const TIMEOUT: Duration = Duration::from_secs(25);

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let cpus = input.pick(&[1, 2, 4]);
    let seed = u64::from(input.u8());
    let program = program::write(&mut input);
    let (_file, path) = tar::file(&program.elf);
    let mut config = VmConfig::new(Program::find(path).expect("the program is one"));
    config.accel = AccelChoice::Emu;
    config.cpus = cpus;
    config.seed = (cpus > 1).then_some(seed);
    config.deterministic = true;
    config.memory = 16 << 20;
    config.tick = Duration::from_millis(1);
    config.max_instructions = Some(INSTRUCTIONS);
    config.timeout = Some(TIMEOUT);
    let (output, recorder) = Output::recorded();
    let machine = Vm::new(config, output).expect("a machine");
    let report = machine.run().expect("a run");
    count(&COUNTS.calls, report.guest.syscalls.unwrap_or(0));
    let emulator = report.emu.as_ref().map_or(0, |emu| emu.instructions);
    count(&COUNTS.instructions, emulator);
    let is_end = match report.outcome.kind {
        OutcomeKind::Exited | OutcomeKind::Killed => true,
        OutcomeKind::PoweredOff | OutcomeKind::Reset => program.reboots,
        _ => false,
    };
    if !is_end {
        let text = recorder.transcript().text();
        let start = text.len().saturating_sub(4000);
        let end = text.get(start..).unwrap_or(&text);
        panic!("{}: {:?}\n{end}\n{report}", report.outcome, program.calls);
    }
}
