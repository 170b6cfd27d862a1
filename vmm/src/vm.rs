//! One virtual machine: from a [`VmConfig`] to a [`Vm`] that has everything in place, to
//! the [`Report`] of its run.
//!
//! ```text
//! Vm::new   checks everything that can be wrong before anything starts:
//!           accelerator, RAM, kernel, initramfs, devices, vCPUs
//! Vm::run   spawns the vCPUs' threads (run_loop), serves events on the calling one
//!           (events) until it ends, and puts the report together
//! ```

mod config;
mod ended;
mod load;

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
use crate::cpu::{Accel, CpuError, HostKind, Vcpu};
use crate::devices::{ApicMode, Devices, DevicesConfig};
use crate::events::{self, EventSources};
use crate::host_files::{FilesError, SaveError};
use crate::host_instructions::{HostInstructions, InstructionCounter};
use crate::layout::{MAX_RAM, MIN_RAM};
use crate::memory::RamError;
use crate::output::{Output, Outputs, screen_size};
use crate::program::ProgramError;
use crate::report::Report;
use crate::run_loop::{End, RunLoop, host_ticks};
use crate::size::Size;
use crate::trace::{Ring, Trace, Tracer};
pub use config::{ConsoleKind, TICK_RANGE, VmConfig};
use ended::{Ended, Setting};
use load::load;

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
    #[error("host: {0}")]
    Host(#[from] io::Error),
    #[error("the vCPU's thread panicked; this is a bug of Ringfence")]
    VcpuPanicked,
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
        let (ram, files) = load::memory(&config, &accelerator)?;
        let emu = EmuConfig {
            clock: if config.deterministic {
                Clock::Instructions
            } else {
                Clock::Host
            },
            time_of_day: load::time_of_day(config.deterministic),
        };
        let mut vcpus = accelerator.create_vcpus(&ram, apic, emu, config.cpus)?;
        let vcpu = vcpus[0].as_mut();
        let mut outputs = outputs.into();
        if config.program.is_none() {
            // Only our kernel knows what the other lines are for.
            (outputs.errors, outputs.log) = (None, None);
        }
        let host_kind = accelerator.host_kind();
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
            files,
        });
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
                apic,
                cpus: config.cpus,
                ram,
                kernel,
                kernel_file: config.kernel,
                program: config.program,
                initramfs: config.initramfs,
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
    pub fn run(mut self) -> Result<Report, VmError> {
        let setting = self.setting;
        let ring = Ring::of(&setting.ram, &setting.kernel);
        let vcpu = self.vcpus[0].as_mut();
        let cpus = setting.cpus.into();
        let tracer = self
            .trace
            .map(|trace| Tracer::start(trace, ring, cpus, vcpu));
        let tracer = tracer.transpose()?;
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
        let (limit, seed) = (self.max_instructions, self.seed);
        let loops = RunLoop::all(vcpus, self.devices, tracer, &control, limit, seed);
        let host_kind = setting.accelerator.host_kind();
        let counted = self.count_host_instructions.then_some(host_kind);
        let done = EventFd::new(EFD_NONBLOCK)?;
        let (entered, entered_ticks) = (Instant::now(), host_ticks());
        let threads = start(loops, &control, &done, counted);
        let served = events::serve(&control, self.sources, &done);
        if served.is_err() {
            // Nothing else would end the run.
            control.stop(StopReason::Timeout);
        }
        let joined: Result<Vec<_>, _> = threads?.into_iter().map(JoinHandle::join).collect();
        served?;
        let left = joined.map_err(|_| VmError::VcpuPanicked)?;
        let at = Instant::now();
        let ticks = host_ticks().wrapping_sub(entered_ticks).max(1);
        Ok(setting.report(Ended::new(
            left,
            at,
            (at - entered).as_nanos() as f64 / ticks as f64,
        )?)?)
    }
}

/// A loop that its thread has left, how the run ended, if this was the last one, and what the
/// host has counted.
type Left = (RunLoop, Option<End>, Option<HostInstructions>);

/// Starts a thread for each of `loops`. `done` is signalled when all have ended.
fn start(
    loops: Vec<RunLoop>,
    control: &Arc<Control>,
    done: &EventFd,
    counted: Option<HostKind>,
) -> io::Result<Vec<JoinHandle<Left>>> {
    let signal_done = Arc::new(SignalOnDrop(done.try_clone()?));
    let mut threads = Vec::new();
    for (number, mut run_loop) in loops.into_iter().enumerate() {
        // The last thing that it does, whatever ends the thread.
        let leaving = Leaving(Arc::clone(control), Arc::clone(&signal_done));
        let builder = thread::Builder::new().name(format!("vcpu{number}"));
        threads.push(builder.spawn(move || {
            let Leaving(control, _) = &leaving;
            // Before the guest can halt: a kick that finds no thread to wake is lost.
            control.attach(number, thread::current());
            let counter = counted.map(InstructionCounter::start);
            let end = run_loop.run();
            (run_loop, end, counter.map(InstructionCounter::finish))
        })?);
    }
    Ok(threads)
}

/// Ends the run when it goes out of scope: a thread that panics does not leave others behind.
struct Leaving(Arc<Control>, #[allow(dead_code)] Arc<SignalOnDrop>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Signals an event when it goes out of scope, whatever the reason.
struct SignalOnDrop(EventFd);

impl Drop for SignalOnDrop {
    fn drop(&mut self) {
        // Fails only if the counter is full, and then the event is signalled.
        let _ = self.0.write(1);
    }
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
