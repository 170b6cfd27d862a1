//! The options that say what a machine is like, for every command that runs one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use vmm::accel::AccelChoice;
use vmm::devices::ApicMode;
use vmm::program::Program;
use vmm::vm::VmConfig;

use super::{CliError, units};

/// What runs the guest.
#[derive(Debug, clap::Args)]
pub struct CpuArgs {
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
    pub deterministic: bool,
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

impl CpuArgs {
    /// Makes `config` say the same.
    pub fn apply(&self, config: &mut VmConfig) {
        config.accel = match self.accel {
            Accel::Auto => AccelChoice::Auto,
            Accel::Kvm => AccelChoice::Kvm,
            Accel::Emu => AccelChoice::Emu,
        };
        config.apic = match self.apic {
            Apic::Kernel => ApicMode::Kernel,
            Apic::User => ApicMode::User,
        };
        config.max_instructions = self.max_instructions;
        config.deterministic = self.deterministic;
    }
}

/// What the machine is like.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Machine")]
pub struct MachineArgs {
    /// Guest memory, 4M to 1T
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = units::size)]
    memory: u64,
    /// Period of the guest's timer tick, 1ms to 1s
    #[arg(long, value_name = "TIME", default_value = "10ms", value_parser = units::duration)]
    tick: Duration,
    /// End a run after this time (status 124)
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    timeout: Option<Duration>,
    /// PVH kernel image to boot instead of the bundled one
    #[arg(long, value_name = "PATH")]
    kernel: Option<PathBuf>,
    /// initramfs (cpio newc) to use instead of the bundled programs
    #[arg(long, value_name = "PATH")]
    initrd: Option<PathBuf>,
    /// Words to add to the kernel's command line
    #[arg(
        long,
        value_name = "WORDS",
        default_value = "",
        allow_hyphen_values = true
    )]
    append: String,
}

/// What to run on it.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Program")]
pub struct ProgramArgs {
    /// A bundled program (see `vmm list`) or the path of a static x86-64 ELF file
    program: String,
    /// Arguments of the program
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

impl MachineArgs {
    /// When a run that started at `started` is to end at the latest.
    pub fn deadline(&self, started: Instant) -> Option<Instant> {
        started.checked_add(self.timeout?)
    }

    /// The machine that these options describe, for `program`.
    pub fn config(self, program: ProgramArgs) -> Result<VmConfig, CliError> {
        let mut config = VmConfig::new(Program::find(&program.program)?);
        config.args = program.args;
        config.memory = self.memory;
        config.tick = self.tick;
        config.timeout = self.timeout;
        config.kernel = self.kernel.as_deref().map(read).transpose()?;
        config.initramfs = self.initrd.as_deref().map(read).transpose()?;
        config.append = self.append;
        Ok(config)
    }
}

fn read(path: &Path) -> Result<Arc<[u8]>, CliError> {
    match fs::read(path) {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => Err(format!("{}: {error}", path.display()).into()),
    }
}
