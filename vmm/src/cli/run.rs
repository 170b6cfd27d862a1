//! `vmm run`: one guest from start to end.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use clap::ValueEnum;
use vmm::accel::AccelChoice;
use vmm::devices::ApicMode;
use vmm::events::InputSource;
use vmm::output::Output;
use vmm::report::OutcomeKind;
use vmm::vm::Vm;

use super::machine::{MachineArgs, ProgramArgs};
use super::report_sink::ReportArgs;
use super::terminal::GuestTerminal;
use super::{CliResult, stop_signals};

/// Run a guest program and report its VM exits.
///
/// Exits with the program's status; 128+n if signal n killed it; 124 on --timeout or
/// --max-instructions; 125 if the machine or the VMM failed. What the guest prints goes to
/// standard output, the report to standard error.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What runs the guest: auto takes KVM where a self-test passes, else the emulator
    #[arg(long, value_enum, default_value_t = Accel::Auto)]
    accel: Accel,
    /// Where the local APIC is under KVM: inside KVM, or in the VMM so that its accesses,
    /// HLT and interrupt windows are visible exits
    #[arg(long, value_enum, default_value_t = Apic::Kernel)]
    apic: Apic,
    /// End the run after exactly N guest instructions (status 124); needs --accel emu
    #[arg(long, value_name = "N")]
    max_instructions: Option<u64>,
    /// Make runs repeat exactly: guest time is instructions executed, idle time is skipped,
    /// the time of day is fixed; implies --accel emu
    #[arg(long)]
    deterministic: bool,
    #[command(flatten)]
    machine: MachineArgs,
    #[command(flatten)]
    report: ReportArgs,
    #[command(flatten)]
    program: ProgramArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Accel {
    Auto,
    Kvm,
    Emu,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Apic {
    Kernel,
    User,
}

pub fn run(args: Args, started: Instant) -> CliResult {
    let mut config = args.machine.config(args.program)?;
    config.accel = match args.accel {
        Accel::Auto => AccelChoice::Auto,
        Accel::Kvm => AccelChoice::Kvm,
        Accel::Emu => AccelChoice::Emu,
    };
    config.apic = match args.apic {
        Apic::Kernel => ApicMode::Kernel,
        Apic::User => ApicMode::User,
    };
    config.max_instructions = args.max_instructions;
    config.deterministic = args.deterministic;
    config.started = started;
    config.stop = stop_signals::catch()?;
    config.input = InputSource::Descriptor(Arc::new(io::stdin().as_fd().try_clone_to_owned()?));
    let destination = args.report.open()?;
    let machine = Vm::new(config, Output::stdout()?)?;
    if let Some(why) = machine.fallback() {
        super::complain(&format_args!("running in the emulator: {why}"));
    }
    let terminal = GuestTerminal::acquire()?;
    let report = machine.run();
    drop(terminal);
    let report = report?;
    if report.outcome.kind != OutcomeKind::Exited {
        super::complain(&report.outcome);
    }
    let status = report.outcome.exit_status();
    destination.write(|| report.to_string(), || report.to_json())?;
    Ok(status)
}
