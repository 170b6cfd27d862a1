//! What the threads of a machine share: its devices, its trace, and how it ended.
//!
//! One lock is around all of it, which a thread has while it serves an exit and not while its
//! guest runs or sleeps. Where one thread runs all vCPUs it keeps the lock, which costs nothing
//! then. Rejected: an owner thread for the devices, since an exit would take two switches of
//! threads, some 10 us, where most take 0.1 us to serve; a lock for each device, since an exit
//! of one (a byte of output) raises lines of another (the I/O APIC) and messages of a third.

use std::mem;
use std::ops::{Deref, DerefMut};

use super::host_ticks;
use super::looks::Standing;
use crate::cpu::{CpuError, CpuState, GuestClock};
use crate::devices::Devices;
use crate::report::Outcome;
use crate::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use crate::trace::Tracer;

/// Whether a vCPU has something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activity {
    Runs,
    /// It has halted, with interrupts on or off.
    Halted {
        interruptible: bool,
        /// When, in guest time.
        since_ns: u64,
    },
}

/// What a vCPU has to do with the end of a run; first what says most of why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// It has ended it.
    Ends,
    Runs,
    Halted,
    /// It waits to be started.
    Unstarted,
}

/// How a run ended.
#[derive(Debug)]
pub struct End {
    /// Its outcome, or a failure of the accelerator or of the host's timer.
    pub result: Result<Outcome, CpuError>,
    /// The CPU that ended it; if no one CPU did, the one whose state says most.
    pub cpu: usize,
    /// Its state, if the run ended badly.
    pub state: Option<CpuState>,
    pub(super) part: Part,
}

/// The shared part of a machine.
pub struct Board {
    /// The devices.
    pub devices: Devices,
    /// The tracer, if there is one.
    pub tracer: Option<Tracer>,
    /// What each vCPU does, where the VMM keeps the local APICs.
    pub(super) activities: Vec<Activity>,
    /// What each vCPU was seen to do, where KVM keeps the local APICs.
    pub(super) standing: Vec<Option<Standing>>,
    /// Threads that have not left their run loops.
    pub(super) threads: usize,
    pub(super) end: Option<End>,
}

impl Board {
    /// For `cpus` vCPUs, on so many threads.
    pub(super) fn new(
        devices: Devices,
        tracer: Option<Tracer>,
        cpus: usize,
        threads: usize,
    ) -> Self {
        Self {
            devices,
            tracer,
            activities: vec![Activity::Runs; cpus],
            standing: vec![None; cpus],
            threads,
            end: None,
        }
    }

    /// A vCPU goes on, or the run has ended: tells the tracer how long it was halted, if it was.
    pub(super) fn resume(&mut self, cpu: usize, clock: &GuestClock) {
        let before = mem::replace(&mut self.activities[cpu], Activity::Runs);
        if let (Activity::Halted { since_ns, .. }, Some(tracer)) = (before, &mut self.tracer) {
            tracer.slept(since_ns, cpu, clock);
        }
    }

    /// Whether a vCPU runs that is not this one.
    pub(super) fn others_run(&mut self, own: usize) -> bool {
        let cpus = self.activities.iter().zip(self.devices.local_apics());
        let mut others = cpus.enumerate().filter(|(cpu, _)| *cpu != own);
        others.any(|(_, (activity, apic))| *activity == Activity::Runs && !apic.waits())
    }

    /// Whether no vCPU, none of which runs, can ever wake.
    pub(super) fn is_dead(&mut self) -> bool {
        let mut cpus = self.activities.iter().zip(self.devices.local_apics());
        let all = cpus.all(|(activity, apic)| {
            let stands = matches!(
                activity,
                Activity::Halted {
                    interruptible: false,
                    ..
                }
            );
            apic.waits() || stands && !apic.wakes(false)
        });
        all && !self.devices.may_send_nmi()
    }
}

/// The board while a thread has it.
pub(super) struct Held<'a> {
    shared: &'a Mutex<Board>,
    /// `None` only while [`without`](Self::without) does something.
    guard: Option<MutexGuard<'a, Board>>,
    /// The thread's CPU, if there are other threads.
    cpu: Option<usize>,
    /// How long the thread has waited for the board when it last took it.
    waited: u64,
}

impl<'a> Held<'a> {
    /// Waits until no other thread has the board.
    pub fn new(shared: &'a Mutex<Board>, cpu: Option<usize>) -> Self {
        let mut held = Self {
            shared,
            guard: None,
            cpu,
            waited: 0,
        };
        held.take();
        held
    }

    fn take(&mut self) {
        self.waited = 0;
        let mut guard = match self.shared.try_lock() {
            Ok(guard) => guard,
            // A thread that panics ends the run.
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => {
                let since = host_ticks();
                let guard = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
                self.waited = host_ticks().wrapping_sub(since);
                guard
            }
        };
        if let Some(cpu) = self.cpu {
            guard.devices.select(cpu);
        }
        self.guard = Some(guard);
    }

    /// How long the thread has waited for the board when it last took it, in ticks.
    #[inline]
    pub fn waited(&self) -> u64 {
        self.waited
    }

    /// Does something meanwhile that takes long: other threads, if there are some, may have the
    /// board.
    #[inline]
    pub fn without<R>(&mut self, act: impl FnOnce() -> R) -> R {
        if self.cpu.is_none() {
            return act();
        }
        self.guard = None;
        let result = act();
        self.take();
        result
    }
}

impl Deref for Held<'_> {
    type Target = Board;

    #[inline]
    fn deref(&self) -> &Board {
        self.guard.as_ref().expect("it is held")
    }
}

impl DerefMut for Held<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Board {
        self.guard.as_mut().expect("it is held")
    }
}
