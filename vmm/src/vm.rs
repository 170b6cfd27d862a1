//! One virtual machine: from a [`VmConfig`] to a [`Vm`] that has everything in place, to
//! the [`Report`] of its run.
//!
//! ```text
//! Vm::new   checks everything that can be wrong before anything starts:
//!           accelerator, RAM, kernel, initramfs, devices, vCPUs
//! Vm::run   spawns the vCPUs' threads (run_loop), serves events on the calling one
//!           (events) until it ends, and puts the report together; each thread confines
//!           itself first (sandbox), and no guest runs before all have
//! ```

mod config;
mod ended;
mod gate;
mod load;
mod threads;

use std::io::{self, Write};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use crate::accel::{AccelChoice, Accelerator};
use crate::boot::BootError;
use crate::control::{Control, StopReason};
use crate::cpu::emu::{Clock, EmuConfig, Emulator};
use crate::cpu::kvm::KvmUnavailable;
use crate::cpu::{Accel, CpuError, TranslationSink, Vcpu};
use crate::devices::{ApicMode, Devices, DevicesConfig};
use crate::events::{self, EventLoop, EventSources};
use crate::host_files::{FilesError, SaveError};
use crate::layout::{MAX_RAM, MIN_RAM};
use crate::memory::RamError;
use crate::output::{Output, Outputs, screen_size};
use crate::perf_map::PerfMap;
use crate::program::ProgramError;
use crate::report::Report;
use crate::run_loop::{RunLoop, host_ticks};
use crate::sandbox::{Needs, Role, Sandbox, SandboxError};
use crate::size::Size;
use crate::trace::{Ring, Trace, Tracer};
pub use config::{ConsoleKind, TICK_RANGE, VmConfig};
use ended::{Ended, GuestFiles, Setting};
use gate::Gate;
use load::load;
use threads::Shared;

/// Why a machine cannot be made or its run not be finished.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum VmError {
    #[error(transparent)]
    Kvm(#[from] KvmUnavailable),
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error(transparent)]
    Ram(#[from] RamError),
    #[error(transparent)]
    Boot(#[from] BootError),
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error(transparent)]
    Save(#[from] SaveError),
    #[error(transparent)]
    Cpu(#[from] CpuError),
    #[error(
        "memory of {}: give between {} and {}, in units of 4K, with --memory",
        Size(*.0),
        Size(MIN_RAM),
        Size(MAX_RAM)
    )]
    MemorySize(u64),
    #[error("tick of {0:?}: give between 1ms and 1s with --tick")]
    Tick(Duration),
    #[error("{0} CPUs: give 1 to {most} with --cpus", most = Emulator::MOST)]
    Cpus(u8),
    #[error("{path}: {source}", path = PerfMap::path().display())]
    PerfMap { source: io::Error },
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error("host: {0}")]
    Host(#[from] io::Error),
    #[error("a thread of the run panicked; this is a bug of Ringfence")]
    Panicked,
}

/// A machine with everything in place, not yet run.
pub struct Vm {
    setting: Setting,
    fallback: Option<KvmUnavailable>,
    vcpus: Vec<Box<dyn Vcpu>>,
    devices: Devices,
    /// Signalled when the run is to stop.
    stop: EventFd,
    sources: EventSources,
    max_instructions: Option<u64>,
    seed: Option<u64>,
    count_host_instructions: bool,
    sandbox: Sandbox,
    needs: Needs,
    trace: Option<Trace>,
}

impl Vm {
    /// Checks `config` and builds the machine; what the guest prints goes to `outputs`.
    ///
    /// # Errors
    /// Whatever is wrong with the configuration or missing on the host.
    pub fn new(config: VmConfig, outputs: impl Into<Outputs>) -> Result<Self, VmError> {
        config.check()?;
        let choice = match config.accel {
            AccelChoice::Auto if config.deterministic || config.seed.is_some() => AccelChoice::Emu,
            choice => choice,
        };
        let counted = config.max_instructions.is_some() || config.deterministic;
        let (accelerator, fallback) = Accelerator::open(choice, counted)?;
        accelerator.check_memory(config.memory)?;
        let apic = accelerator.apic_mode(config.apic);
        let (ram, host_files) = load::memory(&config, &accelerator)?;
        let emu = EmuConfig {
            clock: if config.deterministic {
                Clock::Instructions
            } else {
                Clock::Host
            },
            time_of_day: load::time_of_day(config.deterministic),
            engine: config.engine,
        };
        let mut vcpus = accelerator.create_vcpus(&ram, apic, emu, config.cpus)?;
        let vcpu = vcpus[0].as_mut();
        let mut outputs = outputs.into();
        if config.program.is_none() {
            // Only our kernel knows what the other lines are for.
            (outputs.errors, outputs.log) = (None, None);
        }
        let host_kind = accelerator.host_kind();
        let needs = config.needs(host_kind);
        let kernel = load(&ram, &config, &outputs, vcpu, host_kind)?;
        let tsc_khz = vcpu.tsc_khz();
        let stop = EventFd::new(EFD_NONBLOCK)?;
        let (input, waiting_input) = events::host_input(config.input)?;
        let terminal = outputs.terminal()?;
        let mut streams = outputs.into_streams(input, &stop)?;
        streams.screen = terminal.as_ref().and_then(screen_size);
        let has_virtio = config.console == ConsoleKind::Virtio;
        let devices = Devices::new(DevicesConfig {
            apic,
            cpus: config.cpus,
            tsc_khz,
            streams,
            virtio: has_virtio.then(|| ram.clone()),
            link: config.link,
            files: host_files,
        });
        let files = GuestFiles {
            kernel: config.kernel,
            program: config.program,
            initramfs: config.initramfs,
        };
        let perf_map = perf_map(config.perf_map, &files, &mut vcpus)?;
        let sources = EventSources {
            input: waiting_input,
            screen: terminal.zip(config.resized),
            deadline: config
                .timeout
                .and_then(|timeout| config.started.checked_add(timeout)),
            stop: config.stop,
            halts_unseen: apic == ApicMode::Kernel,
        };
        Ok(Self {
            setting: Setting {
                accelerator,
                sandbox: config.sandbox.in_force(),
                apic,
                cpus: config.cpus,
                ram,
                kernel,
                files,
                perf_map,
                started: config.started,
            },
            fallback,
            vcpus,
            devices,
            stop,
            sources,
            max_instructions: config.max_instructions,
            seed: config.seed,
            count_host_instructions: config.count_host_instructions,
            sandbox: config.sandbox,
            needs,
            trace: None,
        })
    }

    /// Has the run tell of each of its events. A failure to write them ends the trace, and
    /// is the run's outcome in the end.
    pub fn trace(&mut self, trace: Trace) {
        self.trace = Some(trace);
    }

    /// A writer to `output` that gives up when the run is to stop, for what is written on
    /// the vCPU's thread.
    ///
    /// # Errors
    /// The host is out of descriptors.
    pub fn writer(&self, output: Output) -> io::Result<Box<dyn Write + Send>> {
        Ok(output.into_writer(self.stop.try_clone()?))
    }

    /// Why the emulator runs the guest although the choice was left to the VMM.
    pub fn fallback(&self) -> Option<&KvmUnavailable> {
        self.fallback.as_ref()
    }

    /// Runs the guest to its end. A failure of the accelerator during the run is an
    /// outcome, not an error: what was counted until then is reported.
    ///
    /// # Errors
    /// The host lacks what a run needs (descriptors, a thread).
    pub fn run(self) -> Result<Report, VmError> {
        if self.sandbox.caller || !self.sandbox.is_wanted() {
            return self.run_here();
        }
        // A thread that is confined once is so for good.
        let thread = thread::Builder::new().name("events".into());
        let run = thread.spawn(move || self.run_here())?;
        run.join().map_err(|_| VmError::Panicked)?
    }

    /// The same, with its events on this thread.
    fn run_here(mut self) -> Result<Report, VmError> {
        let setting = self.setting;
        let ring = Ring::of(&setting.ram, &setting.kernel);
        let vcpu = self.vcpus[0].as_mut();
        let cpus = setting.cpus.into();
        let tracer = self
            .trace
            .map(|trace| Tracer::start(trace, ring, cpus, vcpu));
        let mut tracer = tracer.transpose()?;
        if let Some(tracer) = &mut tracer {
            tracer.tell_translations(&mut self.vcpus, setting.files.namer());
        }
        let vcpus: Vec<_> = match setting.accelerator.accel() {
            Accel::Emu => vec![self.vcpus],
            Accel::Kvm => self.vcpus.into_iter().map(|vcpu| vec![vcpu]).collect(),
        };
        let kicks = vcpus.iter().map(|vcpus| vcpus[0].kicker());
        let control = Control::new(kicks, self.stop)?;
        if let Some(link) = self.devices.link() {
            let kicked = Arc::clone(&control);
            link.on_arrival(move || kicked.kick());
        }
        let done = EventFd::new(EFD_NONBLOCK)?;
        let mut events = EventLoop::new(&control, self.sources, &done)?;
        let (limit, seed) = (self.max_instructions, self.seed);
        let loops = RunLoop::all(vcpus, self.devices, tracer, &control, limit, seed);
        let host_kind = setting.accelerator.host_kind();
        let shared = Shared {
            gate: Arc::new(Gate::new(loops.len() + 1)),
            sandbox: setting.sandbox,
            needs: Arc::new(self.needs),
            counted: self.count_host_instructions.then_some(host_kind),
            control,
        };
        let (entered, entered_ticks) = (Instant::now(), host_ticks());
        let threads = threads::start(loops, &shared, &done)?;
        let confined = shared.sandbox.confine(Role::Events, &shared.needs);
        let mut served = confined.map_err(VmError::from);
        shared.gate.pass();
        if served.is_ok() {
            served = events.serve().map_err(VmError::from);
        }
        if served.is_err() {
            // Nothing else would end the run.
            shared.control.stop(StopReason::Timeout);
        }
        let joined: Result<Vec<_>, _> = threads.into_iter().map(JoinHandle::join).collect();
        served?;
        let left = joined.map_err(|_| VmError::Panicked)?;
        let left = left.into_iter().collect::<Result<Vec<_>, _>>()?;
        let at = Instant::now();
        let ticks = host_ticks().wrapping_sub(entered_ticks).max(1);
        Ok(setting.report(Ended::new(
            left,
            at,
            (at - entered).as_nanos() as f64 / ticks as f64,
        )?)?)
    }
}

/// The names of translated code, if they are `wanted`, to which the vCPUs add theirs.
fn perf_map(
    wanted: bool,
    files: &GuestFiles,
    vcpus: &mut [Box<dyn Vcpu>],
) -> Result<Option<Arc<PerfMap>>, VmError> {
    if !wanted {
        return Ok(None);
    }
    let map =
        Arc::new(PerfMap::create(files.namer()).map_err(|source| VmError::PerfMap { source })?);
    for vcpu in vcpus {
        vcpu.tell_translations(Arc::clone(&map) as Arc<dyn TranslationSink>);
    }
    Ok(Some(map))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Program;

    #[test]
    fn a_run_that_nobody_could_stop_is_ended() {
        let mut config = VmConfig::new(Program::find("spin").expect("it is bundled"));
        config.args = vec!["3600000".into()];
        config.accel = AccelChoice::Emu;
        let file = std::fs::File::open("Cargo.toml").expect("the package's own");
        config.stop = vec![(Arc::new(file.into()), StopReason::Signal(15))];
        let machine = Vm::new(config, Output::discard()).expect("there is an emulator");
        assert!(matches!(machine.run(), Err(VmError::Host(_))));
    }
}
