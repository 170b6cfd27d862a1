//! From a run that is over to its report.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::accel::Accelerator;
use crate::boot::{Archive, KernelImage};
use crate::bundled;
use crate::cpu::{CpuError, EmulatorCounts, GuestClock, Vcpu};
use crate::devices::ApicMode;
use crate::guest_counters::{self, Tsc};
use crate::host_instructions::HostInstructions;
use crate::image::Image;
use crate::memory::GuestRam;
use crate::perf_map::PerfMap;
use crate::program::Program;
use crate::report::{
    Counters, EmuCounters, ExitTable, GuestCpu, Images, Namer, Outcome, Report, State, Times,
    VcpuReport,
};
use crate::run_loop::{End, RunLoop};
use crate::sandbox::InForce;

use super::VmError;
use super::threads::Left;

/// The facts of a machine for a report, independent of its run.
pub struct Setting {
    pub accelerator: Accelerator,
    pub sandbox: InForce,
    pub apic: ApicMode,
    pub cpus: u8,
    pub ram: GuestRam,
    pub kernel: KernelImage,
    pub files: GuestFiles,
    /// Who names translated code for `perf`, if anybody does.
    pub perf_map: Option<Arc<PerfMap>>,
    pub started: Instant,
}

/// The files that a guest may execute; clones share what they have.
#[derive(Clone)]
pub struct GuestFiles {
    /// The kernel's file, if it is not the bundled one.
    pub kernel: Option<Image>,
    /// The first program, if the VMM chose one.
    pub program: Option<Program>,
    /// The guest's files, if they are not the bundled programs.
    pub initramfs: Option<Archive>,
}

impl GuestFiles {
    /// What names their code.
    pub fn namer(&self) -> Namer {
        let files = self.clone();
        Arc::new(move |ring, address, code| files.images().symbol(ring, address, code))
    }

    fn images(&self) -> Images<'_> {
        let program = self.program.as_ref();
        let in_archive = || {
            let path = program?.path().trim_start_matches('/');
            Some(self.initramfs.as_ref()?.find(path.as_bytes())?.contents)
        };
        let file = program.and_then(Program::file).or_else(in_archive);
        Images {
            kernel: self.kernel.as_deref().unwrap_or(bundled::KERNEL),
            program: (
                program.map_or("", |program| &program.name),
                file.unwrap_or_default(),
            ),
        }
    }
}

/// A run that is over.
pub struct Ended {
    /// The loops of all vCPUs, by number.
    loops: Vec<RunLoop>,
    end: End,
    host_instructions: Option<HostInstructions>,
    at: Instant,
    /// Nanoseconds in a tick of `host_ticks`.
    ns_per_tick: f64,
}

impl Ended {
    /// From what the threads of all vCPUs have left, at time `at`.
    ///
    /// # Errors
    /// None says how the run ended.
    pub fn new(left: Vec<Left>, at: Instant, ns_per_tick: f64) -> Result<Self, VmError> {
        let (mut loops, mut end, mut counted) = (Vec::new(), None, None::<HostInstructions>);
        for (run_loop, its_end, instructions) in left {
            loops.push(run_loop);
            end = end.or(its_end);
            counted = match (counted, instructions) {
                (Some(one), Some(other)) => Some(one.and(other)),
                (one, other) => one.or(other),
            };
        }
        Ok(Self {
            loops,
            end: end.ok_or(VmError::Panicked)?,
            host_instructions: counted,
            at,
            ns_per_tick,
        })
    }
}

impl Setting {
    /// The report of a run of this machine.
    ///
    /// # Errors
    /// The accelerator does not say what it has counted.
    pub fn report(&self, ended: Ended) -> Result<Report, CpuError> {
        let Ended {
            mut loops,
            end,
            ns_per_tick,
            ..
        } = ended;
        let state = end.state;
        let mut outcome = end
            .result
            .unwrap_or_else(|error| Outcome::error(error.to_string()));
        let board = Arc::clone(&loops[0].board);
        let mut board = board.lock().unwrap_or_else(PoisonError::into_inner);
        let input_error = board.devices.take_input_error();
        let input_error = input_error.map(|error| format!("standard input: {error}"));
        let mut warnings = Vec::from_iter(input_error);
        let missing = self.perf_map.as_ref().and_then(|map| map.finish());
        warnings.extend(missing.map(|why| format!("{}: {why}", PerfMap::path().display())));
        if let Some(saving) = board.devices.saving() {
            let succeeded = outcome == Outcome::exited(0);
            let (lines, failure) = saving.finish(succeeded);
            warnings.extend(lines);
            match failure {
                Some(failure) if succeeded => outcome = Outcome::error(failure),
                failure => warnings.extend(failure),
            }
        }
        let state =
            state.map(|state| State::new(&state, end.cpu as u8, &self.ram, self.files.images()));
        let vcpu = loops[0].vcpus.current();
        let tsc = Tsc {
            now: vcpu.tsc()?,
            khz: vcpu.tsc_khz(),
        };
        let shared = guest_counters::read(&self.ram, &self.kernel, self.cpus, tsc);
        let first_user = shared.first_user_tsc.and_then(|tsc| when(tsc, vcpu));
        let Counted {
            kvm,
            remedies,
            emulator,
            unstarted_ns,
        } = counters(&mut loops)?;
        let instructions = loops[0].vcpus.instructions();
        let mut guest = shared.guest;
        guest.boot_instructions = instructions.and_then(|counts| counts.boot);
        let wall_ns = nanoseconds(ended.at - self.started);
        let times: Vec<_> = loops
            .iter()
            .zip(unstarted_ns)
            .map(|(one, ns)| one.ticks.times(ns_per_tick).unstarted(ns))
            .collect();
        let tables: Vec<_> = loops
            .iter()
            .flat_map(|one| &one.counts)
            .map(|counts| counts.finish(ns_per_tick))
            .collect();
        Ok(Report {
            accel: self.accelerator.accel(),
            sandbox: self.sandbox,
            apic: self.apic,
            cpus: self.cpus,
            host_kind: self.accelerator.host_kind(),
            outcome,
            state,
            warnings,
            wall_ns,
            boot_ns: first_user.map(|at| nanoseconds(at.saturating_duration_since(self.started))),
            time: Times::new(wall_ns, &times, kvm.as_ref()),
            exits: ExitTable::sum(&tables),
            vcpus: each_vcpu(tables, &shared.cpus),
            kvm,
            remedies: remedies.map(|by_vmm| {
                let by_guest = shared.remedies.into_iter();
                let by_guest = by_guest.filter_map(|(name, count)| Some((name, count?)));
                let by_vmm = by_vmm.iter();
                by_vmm.chain(by_guest).collect()
            }),
            emu: instructions
                .zip(emulator)
                .map(|(retired, counts)| EmuCounters::new(retired, counts)),
            host_instructions: ended.host_instructions,
            guest,
            unsupported_syscalls: shared.unsupported,
        })
    }
}

/// The vCPUs with these exits, and what the guest has counted of them; none if there is only one.
fn each_vcpu(tables: Vec<ExitTable>, guest: &[GuestCpu]) -> Vec<VcpuReport> {
    if tables.len() == 1 {
        return Vec::new();
    }
    let vcpus = tables.into_iter().enumerate();
    let vcpus = vcpus.map(|(number, exits)| VcpuReport {
        exits,
        guest: guest.get(number).copied(),
    });
    vcpus.collect()
}

/// What accelerators have counted.
#[derive(Default)]
struct Counted {
    /// Of all vCPUs together.
    kvm: Option<Counters>,
    remedies: Option<Counters>,
    emulator: Option<EmulatorCounts>,
    /// Of the vCPU of each loop.
    unstarted_ns: Vec<u64>,
}

fn counters(loops: &mut [RunLoop]) -> Result<Counted, CpuError> {
    let mut all = Counted::default();
    for one in loops {
        let mut unstarted_ns = 0;
        for vcpu in one.vcpus.all() {
            let counters = vcpu.counters()?;
            for (name, count) in counters.kvm.into_iter().flatten() {
                all.kvm.get_or_insert_default().add(&name, count);
            }
            for (name, count) in counters.remedies.into_iter().flatten() {
                all.remedies.get_or_insert_default().add(name, count);
            }
            if let Some(counts) = counters.emulator {
                all.emulator = Some(all.emulator.unwrap_or_default().and(counts));
            }
            unstarted_ns += counters.unstarted_ns;
        }
        all.unstarted_ns.push(unstarted_ns);
    }
    Ok(all)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// When the time-stamp counter of `vcpu`, which goes on while the vCPU stands still, was at
/// `tsc`; `None` if that is in the future, or guest time is not the host's.
fn when(tsc: u64, vcpu: &mut dyn Vcpu) -> Option<Instant> {
    if let GuestClock::Counted(_) = vcpu.clock() {
        return None;
    }
    let ticks = vcpu.tsc().ok()?.checked_sub(tsc)?;
    let now = Instant::now();
    let ns = u128::from(ticks) * 1_000_000 / u128::from(vcpu.tsc_khz().max(1));
    now.checked_sub(Duration::from_nanos(u64::try_from(ns).ok()?))
}
