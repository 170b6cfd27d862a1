//! Many sequences on two engines, over all processors of the host.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use iced_x86::InstructionInfoFactory;

use super::case::Case;
use super::compare::Difference;
use super::coverage::Coverage;
use super::ending::{End, Ending};
use super::generate::Generator;
use super::layout::SLOTS;
use super::menu::{Menu, Setting};
use super::pair::{Engines, Pair};
use super::rng::Rng;
use super::sketch::Sketch;
use super::watchdog::Watchdog;

/// Sequences that have their segment bases and memory image in common.
const EPOCH: u64 = 64 * SLOTS as u64;
/// Findings after which a worker gives up.
const ENOUGH: usize = 10;

/// What to run.
pub struct Campaign<'a> {
    pub seed: u64,
    /// Number of the first sequence, and how many.
    pub first: u64,
    pub count: u64,
    pub menu: &'a Menu,
    pub engines: Engines,
}

/// A sequence that ended differently.
pub struct Finding {
    pub number: u64,
    pub sketch: Sketch,
    pub differences: Vec<Difference>,
}

/// The result of a campaign.
#[derive(Default)]
pub struct Results {
    pub sequences: u64,
    pub time: Duration,
    pub coverage: Coverage,
    /// Endings by exception vector; `None` for the last instruction.
    pub endings: BTreeMap<Option<u8>, u64>,
    pub stuck: u64,
    /// Sequences that did not end in the same way twice on the reference.
    pub unsteady: u64,
    pub findings: Vec<Finding>,
}

impl Campaign<'_> {
    /// Runs it.
    ///
    /// # Errors
    /// An engine cannot be had here, and why.
    pub fn run(&self, watchdog: &Watchdog) -> Result<Results, String> {
        let started = Instant::now();
        let next = AtomicU64::new(self.first / EPOCH);
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let parts: Result<Vec<Results>, String> = thread::scope(|scope| {
            let handles: Vec<_> = (0..workers)
                .map(|_| scope.spawn(|| self.work(watchdog, &next)))
                .collect();
            let join = |handle: thread::ScopedJoinHandle<'_, _>| {
                handle
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            handles.into_iter().map(join).collect()
        });
        let mut results = Results::default();
        for part in parts? {
            results.merge(part);
        }
        results.findings.sort_by_key(|finding| finding.number);
        results.time = started.elapsed();
        Ok(results)
    }

    fn work(&self, watchdog: &Watchdog, next: &AtomicU64) -> Result<Results, String> {
        let mut pair = Pair::new(self.engines, watchdog)?;
        let mut results = Results::default();
        let mut infos = InstructionInfoFactory::new();
        let end = self.first + self.count;
        loop {
            let epoch = next.fetch_add(1, Ordering::Relaxed);
            if epoch * EPOCH >= end || results.findings.len() >= ENOUGH {
                return Ok(results);
            }
            let setting = Setting::random(&mut Rng::new(!self.seed, epoch));
            let numbers = (epoch * EPOCH).max(self.first)..((epoch + 1) * EPOCH).min(end);
            for first in numbers.clone().step_by(SLOTS) {
                let batch = first..(first + SLOTS as u64).min(numbers.end);
                let sketches: Vec<(u64, Sketch)> = batch
                    .map(|number| (number, self.sketch(number, &setting, &mut infos)))
                    .collect();
                results.run_batch(&mut pair, &sketches);
            }
        }
    }

    fn sketch(&self, number: u64, setting: &Setting, infos: &mut InstructionInfoFactory) -> Sketch {
        let slot = (number % SLOTS as u64) as usize;
        Generator::sequence(self.seed, number, slot, self.menu, setting, infos)
    }
}

impl Results {
    fn run_batch(&mut self, pair: &mut Pair, sketches: &[(u64, Sketch)]) {
        let (kept, cases): (Vec<&(u64, Sketch)>, Vec<Case>) = sketches
            .iter()
            .filter_map(|sketch| Some((sketch, sketch.1.assemble()?)))
            .unzip();
        let outcome = pair.run(&cases);
        self.sequences += cases.len() as u64;
        self.unsteady += outcome.unsteady;
        for (at, (case, ending)) in cases.iter().zip(&outcome.reference).enumerate() {
            let served = outcome.served.get(at);
            self.note(case, ending, served.map_or(&[], Vec::as_slice));
        }
        for (at, differences) in outcome.differences {
            let (number, sketch) = kept[at].clone();
            if self.findings.len() < ENOUGH {
                self.findings.push(Finding {
                    number,
                    sketch,
                    differences,
                });
            }
        }
    }

    fn note(&mut self, case: &Case, ending: &Ending, served: &[u64]) {
        match &ending.end {
            End::Completed => *self.endings.entry(None).or_default() += 1,
            End::Fault(fault) => *self.endings.entry(Some(fault.vector)).or_default() += 1,
            End::Stuck | End::Broken(_) | End::NotRun => self.stuck += 1,
        }
        self.coverage.note(case, &ending.end, served);
    }

    fn merge(&mut self, other: Self) {
        self.sequences += other.sequences;
        self.stuck += other.stuck;
        self.unsteady += other.unsteady;
        self.coverage.merge(other.coverage);
        for (vector, count) in other.endings {
            *self.endings.entry(vector).or_default() += count;
        }
        self.findings.extend(other.findings);
    }
}
