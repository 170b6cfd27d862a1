//! The options that say what a machine is like, for every command that runs one.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use vmm::accel::AccelChoice;
use vmm::boot::Archive;
use vmm::cpu::emu::Engine;
use vmm::devices::ApicMode;
use vmm::events::Deadline;
use vmm::image::Image;
use vmm::layout::DEVICE_HOLE;
use vmm::program::Program;
use vmm::vm::{ConsoleKind, VmConfig};

use super::files::FilesArgs;
use super::usage::Misuse;
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
    /// What executes the code of the emulator's guest: handlers of decoded instructions, or
    /// host code once a part of it is executed often (the default); the results are the same;
    /// implies --accel emu
    #[arg(long, value_enum)]
    engine: Option<EngineName>,
    /// Name translated code for `perf record` and `perf report`, in /tmp/perf-PID.map; implies
    /// --accel emu
    #[arg(long)]
    perf_map: bool,
    /// Shuffle the turns of several CPUs, another way for each N; implies --accel emu
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Accel {
    Auto,
    Kvm,
    Emu,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum EngineName {
    Interpreter,
    Translator,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Console {
    Virtio,
    Serial,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Apic {
    Kernel,
    User,
}

/// Why options of the emulator's engines have no effect under KVM.
const EXECUTES: &str = "under KVM the processor executes";

impl CpuArgs {
    /// Makes `config` say the same.
    ///
    /// # Errors
    /// KVM is asked for what only the emulator can do.
    pub fn apply(&self, config: &mut VmConfig) -> Result<(), Misuse> {
        if let Accel::Kvm = self.accel {
            const COUNTS: &str = "KVM does not count instructions";
            for (asked, option, why) in [
                (
                    self.max_instructions.is_some(),
                    "--max-instructions",
                    COUNTS,
                ),
                (self.deterministic, "--deterministic", COUNTS),
                (self.seed.is_some(), "--seed", COUNTS),
                (self.engine.is_some(), "--engine", EXECUTES),
            ] {
                if asked {
                    return Err(Misuse(format!("{option} needs --accel emu: {why}")));
                }
            }
        }
        config.accel = match self.accel {
            Accel::Auto if self.engine.is_some() => AccelChoice::Emu,
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
        config.seed = self.seed;
        config.engine = match self.engine {
            Some(EngineName::Interpreter) => Engine::Interpreter,
            Some(EngineName::Translator) | None => Engine::default(),
        };
        config.perf_map = self.perf_map;
        match self.perf_map {
            true => self.translate(config, "--perf-map"),
            false => Ok(()),
        }
    }

    /// Makes `config` that of a machine whose code is translated, which `option` needs.
    ///
    /// # Errors
    /// KVM or the interpreter is asked for.
    pub fn translate(&self, config: &mut VmConfig, option: &str) -> Result<(), Misuse> {
        let needs = match (self.accel, self.engine) {
            (Accel::Kvm, _) => format!("--accel emu: {EXECUTES}"),
            (_, Some(EngineName::Interpreter)) => {
                "--engine translator: the interpreter makes no code".to_owned()
            }
            _ => {
                config.accel = AccelChoice::Emu;
                return Ok(());
            }
        };
        Err(Misuse(format!("{option} needs {needs}")))
    }
}

/// Guest memory for a bundled program, for one with files of the host, and for a kernel that decides itself what to run.
const PROGRAM_MEMORY: u64 = 64 << 20;
const ROOT_MEMORY: u64 = 1 << 30;
const KERNEL_MEMORY: u64 = 512 << 20;
/// Command line of the latter: the console is the serial port.
const KERNEL_COMMAND_LINE: &str = "console=ttyS0";

/// What the machine is like.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Machine")]
pub struct MachineArgs {
    /// CPUs of the machine, 1 to 32, as far as KVM has so many, or auto for the host's
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = units::cpus)]
    cpus: u8,
    /// Guest memory, 6M to 1T; under KVM at most the host's, and 256G [default: 64M, 1G
    /// with --root, 512M without PROGRAM]
    #[arg(long, value_name = "SIZE", value_parser = units::memory)]
    memory: Option<u64>,
    /// Period of the guest's timer tick, 1ms to 1s
    #[arg(long, value_name = "TIME", default_value = "10ms", value_parser = units::tick)]
    tick: Duration,
    /// End a run after this time (status 124)
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    timeout: Option<Duration>,
    /// What carries output and input: virtio consoles, where an exit carries all that a program
    /// writes at once, or serial ports alone, where each byte of output is an exit
    #[arg(long, value_enum, default_value_t = Console::Virtio)]
    console: Console,
    /// Kernel to boot instead of the bundled one: an ELF image for PVH, or Linux's bzImage.
    /// Without PROGRAM it decides itself what to run
    #[arg(long, value_name = "PATH")]
    kernel: Option<PathBuf>,
    /// initramfs to use instead of the bundled programs: cpio (newc), plain or by gzip;
    /// without PROGRAM whatever the kernel takes
    #[arg(long, value_name = "PATH")]
    initrd: Option<PathBuf>,
    /// Words to add to the kernel's command line; without PROGRAM all of it [default:
    /// console=ttyS0]
    #[arg(
        long,
        visible_alias = "cmdline",
        value_name = "WORDS",
        allow_hyphen_values = true
    )]
    append: Option<String>,
    #[command(flatten)]
    files: FilesArgs,
}

/// What to run on it.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Program")]
pub struct ProgramArgs {
    /// A bundled program (see `vmm list`), the path of a static x86-64 ELF file, or a
    /// program in the guest's files by --root or --initrd; and its arguments, options too
    #[arg(required_unless_present = "kernel", num_args = 1.., trailing_var_arg = true)]
    program: Vec<OsString>,
}

impl MachineArgs {
    /// When a run that started at `started` is to end at the latest.
    ///
    /// # Errors
    /// The host is out of descriptors.
    pub fn deadline(&self, started: Instant) -> io::Result<Option<Deadline>> {
        deadline(self.timeout, started)
    }

    /// The machine that these options describe, for `program`.
    ///
    /// # Errors
    /// An invalid image, or an unknown program.
    pub fn config(self, program: ProgramArgs) -> Result<VmConfig, CliError> {
        let mut words = program.program.into_iter();
        let mut config = match (words.next(), &self.kernel) {
            (None, Some(kernel)) => self.with_kernel(kernel)?,
            (Some(name), _) if self.files.has_root() => self.with_root(&name)?,
            (name, _) => self.with_program(&name.unwrap_or_default())?,
        };
        config.args = words.map(text).collect::<Result<_, _>>()?;
        config.console = match self.console {
            Console::Virtio => ConsoleKind::Virtio,
            Console::Serial => ConsoleKind::Serial,
        };
        config.cpus = self.cpus;
        config.tick = self.tick;
        config.timeout = self.timeout;
        Ok(config)
    }

    /// The machine for the program `name`.
    fn with_program(&self, name: &OsStr) -> Result<VmConfig, CliError> {
        let memory = self.memory.unwrap_or(PROGRAM_MEMORY);
        let room = memory.min(DEVICE_HOLE);
        let initramfs = self.initrd.as_deref();
        let initramfs = initramfs
            .map(|path| Archive::read(path, room))
            .transpose()?;
        let mut config = VmConfig::new(Program::find_in(name, initramfs.as_ref(), memory)?);
        config.memory = memory;
        let kernel = self.kernel.as_deref();
        config.kernel = kernel.map(|path| Image::read(path, room)).transpose()?;
        config.initramfs = initramfs;
        config.append = self.append.clone().unwrap_or_default();
        config.files = self.files.files()?;
        config.process = self.files.process(None)?;
        Ok(config)
    }

    /// The machine for the program `name` of a root.
    fn with_root(&self, name: &OsStr) -> Result<VmConfig, CliError> {
        let files = self.files.files()?;
        let mut tree = files.open()?;
        let process = self.files.process(Some(&mut tree))?;
        let program = Program::find_in_root(name, &mut tree, &process)?;
        let mut config = VmConfig::new(program);
        config.memory = self.memory.unwrap_or(ROOT_MEMORY);
        config.append = self.append.clone().unwrap_or_default();
        (config.files, config.process) = (files, process);
        Ok(config)
    }

    /// The machine for a kernel that decides itself what to run.
    fn with_kernel(&self, kernel: &Path) -> Result<VmConfig, CliError> {
        let memory = self.memory.unwrap_or(KERNEL_MEMORY);
        let read = |path: &Path| Image::read(path, memory.min(DEVICE_HOLE));
        let initrd = self.initrd.as_deref().map(read).transpose()?;
        let mut config = VmConfig::for_kernel(read(kernel)?, initrd);
        config.memory = memory;
        config.append = match &self.append {
            Some(words) => words.clone(),
            None => KERNEL_COMMAND_LINE.to_owned(),
        };
        Ok(config)
    }
}

/// The end of `limit`, if it can be reached.
///
/// # Errors
/// The host is out of descriptors.
pub fn deadline(limit: Option<Duration>, started: Instant) -> io::Result<Option<Deadline>> {
    let when = limit.and_then(|limit| started.checked_add(limit));
    when.map(Deadline::at).transpose()
}

/// An argument of the program, which the kernel's command line takes as text.
fn text(word: OsString) -> Result<String, Misuse> {
    word.into_string()
        .map_err(|word| Misuse(format!("the argument {word:?} is not UTF-8")))
}
