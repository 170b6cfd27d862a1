//! What to run and how.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use abi::command_line::TICK_US_RANGE;

use super::VmError;
use crate::accel::AccelChoice;
use crate::boot::Archive;
use crate::cpu::HostKind;
use crate::cpu::emu::{Emulator, Engine};
use crate::devices::{ApicMode, LinkEnd};
use crate::events::{InputSource, StopSource};
use crate::host_files::{FilesConfig, Save};
use crate::image::Image;
use crate::layout::{MAX_RAM, MIN_RAM, PAGE};
use crate::process_config::ProcessConfig;
use crate::program::Program;
use crate::sandbox::{Needs, Sandbox};

/// Shortest and longest timer tick that the kernel takes.
pub const TICK_RANGE: std::ops::RangeInclusive<Duration> =
    Duration::from_micros(*TICK_US_RANGE.start())..=Duration::from_micros(*TICK_US_RANGE.end());

/// What carries output and input of programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsoleKind {
    /// Virtio consoles, beside the serial ports: an exit carries all that is written at once.
    /// The first few bytes go by serial port, which costs less than setting a console up.
    Virtio,
    /// Serial ports alone: each byte of output is an exit.
    Serial,
}

/// What to run and how.
#[derive(Clone, Debug)]
pub struct VmConfig {
    /// The program that becomes the guest's first process. Without one, `kernel` is to know
    /// what to do: it gets `initrd` as it is and `append` as its whole command line.
    pub program: Option<Program>,
    /// Its arguments, without its name.
    pub args: Vec<String>,
    /// What runs the guest.
    pub accel: AccelChoice,
    /// Where KVM's guests have their local APIC; the emulator's is always the VMM's.
    pub apic: ApicMode,
    /// How many CPUs the machine has: 1 to
    /// [`Emulator::MOST`](crate::cpu::emu::Emulator::MOST); under KVM at most what
    /// [`KvmHost::max_cpus`](crate::cpu::kvm::KvmHost::max_cpus) says.
    pub cpus: u8,
    /// Bytes of RAM: 6 MiB to 1 TiB, a multiple of 4096; under KVM at most what
    /// [`KvmHost::max_memory`](crate::cpu::kvm::KvmHost::max_memory) says.
    pub memory: u64,
    /// Period of the guest's timer tick: 1 ms to 1 s.
    pub tick: Duration,
    /// Host time after which the run ends, counted from [`started`](Self::started).
    pub timeout: Option<Duration>,
    /// Instructions after which the run ends; emulator only.
    pub max_instructions: Option<u64>,
    /// Whether guest time is instructions retired (one a nanosecond) and time of day is
    /// fixed, so that two runs with the same input are the same in everything but host
    /// time; emulator only. Time in which the guest is idle is skipped.
    pub deterministic: bool,
    /// How the emulator executes the guest's code.
    pub engine: Engine,
    /// Whether translated code gets names for `perf`, in a file that it looks for:
    /// [`PerfMap`](crate::perf_map::PerfMap); emulator only.
    pub perf_map: bool,
    /// What shuffles the turns of several CPUs; emulator only. Each seed makes another order with
    /// turns of other lengths, and the same one always.
    pub seed: Option<u64>,
    /// A kernel image instead of the bundled one.
    pub kernel: Option<Image>,
    /// The guest's files, instead of the bundled programs.
    pub initramfs: Option<Archive>,
    /// What a kernel without a program gets as its initramfs: in the format that it takes.
    pub initrd: Option<Image>,
    /// Files of the host that the guest can read.
    pub files: FilesConfig,
    /// What the guest hands over at its end.
    pub saves: Vec<Save>,
    /// How the program starts.
    pub process: ProcessConfig,
    /// Words to add to the kernel's command line.
    pub append: String,
    /// Where input comes from.
    pub input: InputSource,
    /// What carries output and input of programs.
    pub console: ConsoleKind,
    /// Becomes readable each time that the terminal which shows output may have another size:
    /// one end of a pipe to which a handler of SIGWINCH writes, for example. It is read.
    pub resized: Option<Arc<OwnedFd>>,
    /// The serial line to another machine, if there is one: an end of
    /// [`LinkEnd::pair`].
    pub link: Option<LinkEnd>,
    /// Descriptors that stop the run when they become readable.
    pub stop: Vec<StopSource>,
    /// Whether to count the host's instructions on the vCPU's thread.
    pub count_host_instructions: bool,
    /// What the run's threads may do of the host.
    pub sandbox: Sandbox,
    /// When the process that wants this machine started; boot time counts from here, and so
    /// does the timeout.
    pub started: Instant,
}

impl VmConfig {
    /// A machine for a kernel that is not ours, such as Linux, with the initramfs that it
    /// wants and 512 MiB; otherwise as of [`new`](Self::new).
    pub fn for_kernel(kernel: Image, initrd: Option<Image>) -> Self {
        Self {
            program: None,
            memory: 512 << 20,
            kernel: Some(kernel),
            initrd,
            ..Self::base()
        }
    }

    /// A machine for `program` with 64 MiB, a tick of 10 ms, no input, and the
    /// accelerator that suits the host.
    pub fn new(program: Program) -> Self {
        Self {
            program: Some(program),
            ..Self::base()
        }
    }

    fn base() -> Self {
        Self {
            program: None,
            args: Vec::new(),
            accel: AccelChoice::Auto,
            apic: ApicMode::Kernel,
            cpus: 1,
            memory: 64 << 20,
            tick: Duration::from_millis(10),
            timeout: None,
            max_instructions: None,
            deterministic: false,
            engine: Engine::default(),
            perf_map: false,
            seed: None,
            kernel: None,
            initramfs: None,
            initrd: None,
            files: FilesConfig::default(),
            saves: Vec::new(),
            process: ProcessConfig::default(),
            append: String::new(),
            input: InputSource::None,
            console: ConsoleKind::Virtio,
            resized: None,
            link: None,
            stop: Vec::new(),
            count_host_instructions: false,
            sandbox: Sandbox::default(),
            started: Instant::now(),
        }
    }
}

impl VmConfig {
    /// What runs, in words: the program and its arguments, or `kernel`.
    pub fn words(&self) -> String {
        let program = self.program.as_ref();
        let program = program.map_or("kernel", |program| &program.name);
        let words = std::iter::once(program).chain(self.args.iter().map(String::as_str));
        words.collect::<Vec<_>>().join(" ")
    }
}

impl VmConfig {
    /// # Errors
    /// Values out of range.
    pub(super) fn check(&self) -> Result<(), VmError> {
        if !(MIN_RAM..=MAX_RAM).contains(&self.memory) || !self.memory.is_multiple_of(PAGE) {
            return Err(VmError::MemorySize(self.memory));
        }
        if !TICK_RANGE.contains(&self.tick) {
            return Err(VmError::Tick(self.tick));
        }
        if !(1..=Emulator::MOST).contains(&self.cpus) {
            return Err(VmError::Cpus(self.cpus));
        }
        Ok(())
    }

    /// What the machine needs of the host while it runs.
    pub(super) fn needs(&self, host: HostKind) -> Needs {
        Needs {
            host,
            heaps: !self.sandbox.caller,
            files: !self.files.is_empty(),
            reads: self.files.folders().map(PathBuf::from).collect(),
            makes: self.saves.iter().map(|save| save.folder()).collect(),
            outputs: Vec::new(),
        }
    }
}
