//! Two machines that run the same sequences: the reference and the one under test.

use super::case::Case;
use super::compare::{self, Difference, Scope};
use super::ending::{End, Ending};
use super::explain;
use super::kept;
use super::layout::WRITABLE;
use super::machine::Machine;
use super::text::Kept;
use super::vendor;
use super::watchdog::Watchdog;

/// What executes instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The processor, by KVM.
    Kvm,
    /// The emulator's interpreter.
    Emu,
    /// The emulator's translator, from the first time that an instruction is executed.
    Translator,
}

impl Engine {
    /// Whether it is one of the emulator's.
    pub fn emulates(self) -> bool {
        self != Self::Kvm
    }
}

/// How the engine under test runs sequences; the reference always runs them in batches,
/// with all pages mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As the reference does.
    Batches,
    /// An instruction at a time.
    Stepping,
    /// With pages missing, which are mapped when they are first touched.
    Serving,
}

/// The two, and how the second runs.
#[derive(Clone, Copy, Debug)]
pub struct Engines {
    pub reference: Engine,
    pub tested: Engine,
    pub mode: Mode,
}

impl Engines {
    /// Whether `engine` is one of them.
    pub fn need(&self, engine: Engine) -> bool {
        self.reference == engine || self.tested == engine
    }

    /// Whether the emulator is one of them.
    pub fn emulate(&self) -> bool {
        self.reference.emulates() || self.tested.emulates()
    }

    /// Whether the emulator is compared with a processor that it does not follow.
    pub fn against_another(&self) -> bool {
        self.emulate() && self.need(Engine::Kvm) && vendor::is_another()
    }
}

/// Times that the reference runs a batch before a difference is believed.
const RUNS: u32 = 3;

/// Two machines.
pub struct Pair {
    reference: Machine,
    tested: Machine,
    engines: Engines,
    scope: Scope,
}

/// The result of a batch.
pub struct Outcome {
    /// How each sequence ended on the reference.
    pub reference: Vec<Ending>,
    /// Numbers of the sequences in the batch that differ, and in what.
    pub differences: Vec<(usize, Vec<Difference>)>,
    /// Sequences that the reference does not always end in the same way. Software-backed
    /// KVM loses NT when the host is interrupted at the wrong time; and a sequence may be
    /// held to be stuck because the host was busy. Also those that differ only after
    /// another of their batch, which may have written to their memory what is excused.
    pub unsteady: u64,
    /// For each sequence, addresses of instructions that had faults served.
    pub served: Vec<Vec<u64>>,
}

impl Pair {
    /// Makes both.
    ///
    /// # Errors
    /// An engine cannot be had here, and why.
    pub fn new(engines: Engines, watchdog: &Watchdog) -> Result<Self, String> {
        let mut pair = Self {
            reference: Machine::of(engines.reference, watchdog)?,
            tested: Machine::of(engines.tested, watchdog)?,
            engines,
            scope: Scope {
                pointers: engines.mode != Mode::Serving && !engines.against_another(),
                by_kvm: engines.need(Engine::Kvm),
                undefined: !engines.need(Engine::Kvm),
            },
        };
        pair.tested.set_stepping(engines.mode == Mode::Stepping);
        Ok(pair)
    }

    /// Runs `cases` on both and compares.
    pub fn run(&mut self, cases: &[Case]) -> Outcome {
        let (tested, served) = match self.engines.mode {
            Mode::Batches | Mode::Stepping => (self.tested.run(cases), Vec::new()),
            Mode::Serving => {
                self.tested.load(cases);
                cases
                    .iter()
                    .map(|case| self.tested.run_serving(case, missing_for(case)))
                    .unzip()
            }
        };
        let mut reference = self.reference.run(cases);
        let mut differences = self.compare(cases, &reference, &tested);
        let found = differences.len();
        for _ in 1..RUNS {
            if differences.is_empty() {
                break;
            }
            self.reference.clean(cases);
            reference = self.run_reference_again(cases);
            let again = self.compare(cases, &reference, &tested);
            differences.retain(|(at, _)| again.iter().any(|(other, _)| other == at));
        }
        self.reference.clean(cases);
        self.tested.clean(cases);
        let is_loose = |((case, ending), other): ((&Case, &Ending), &Ending)| {
            !compare::unspecified(case, ending).is_empty()
                || [&ending.end, &other.end].contains(&&End::Stuck)
                || matches!(ending.end, End::Broken(_))
                || self.scope.by_kvm
                    && explain::is_leniently_executed(case, &other.end, &ending.end)
                || self.engines.against_another() && vendor::excuses(case, other, ending)
        };
        let mut endings = cases.iter().zip(&tested).zip(&reference);
        // What such a one has done to another's memory is not looked at, or not the same.
        let entangled = !differences.is_empty() && cases.len() > 1 && endings.any(is_loose);
        if entangled {
            differences.retain(|(at, _)| !self.run_one(&cases[*at]).is_empty());
        }
        Outcome {
            unsteady: (found - differences.len()) as u64,
            reference,
            differences,
            served,
        }
    }

    /// A sequence with a wild address may read and change what belongs to another of its batch:
    /// where the tested engine loads all and runs them one by one, so does the reference now.
    fn run_reference_again(&mut self, cases: &[Case]) -> Vec<Ending> {
        match self.engines.mode {
            Mode::Batches | Mode::Stepping => self.reference.run(cases),
            Mode::Serving => {
                self.reference.load(cases);
                cases
                    .chunks(1)
                    .flat_map(|case| self.reference.run(case))
                    .collect()
            }
        }
    }

    fn compare(
        &self,
        cases: &[Case],
        reference: &[Ending],
        tested: &[Ending],
    ) -> Vec<(usize, Vec<Difference>)> {
        let mut list = Vec::new();
        for (at, case) in cases.iter().enumerate() {
            let [left, right] = [&reference[at].end, &tested[at].end];
            let not_run = *left == End::NotRun || *right == End::NotRun;
            let held_up = || {
                self.engines.reference == Engine::Kvm && explain::is_held_up(case, left)
                    || self.engines.tested == Engine::Kvm && explain::is_held_up(case, right)
            };
            let lenient = || explain::is_leniently_executed(case, left, right);
            if not_run || self.scope.by_kvm && (held_up() || lenient()) {
                continue;
            }
            let mut differences = compare::endings(case, &reference[at], &tested[at], self.scope);
            let memory = compare::memory(case, &tested[at], &self.reference, &self.tested);
            differences.extend(memory);
            let excused = || {
                self.engines.against_another() && vendor::excuses(case, &reference[at], &tested[at])
            };
            if !differences.is_empty() && !excused() {
                list.push((at, differences));
            }
        }
        list
    }

    /// What `case` does on the reference, as it is kept.
    pub fn keep(&mut self, case: Case) -> Kept {
        let missing = match self.engines.mode {
            Mode::Batches | Mode::Stepping => None,
            Mode::Serving => Some(missing_for(&case)),
        };
        let expected = Some(kept::run(&mut self.reference, &case, None));
        Kept {
            case,
            missing,
            expected,
        }
    }

    /// Runs one sequence by itself; in what it differs.
    pub fn run_one(&mut self, case: &Case) -> Vec<Difference> {
        let outcome = self.run(std::slice::from_ref(case));
        outcome
            .differences
            .into_iter()
            .flat_map(|(_, differences)| differences)
            .collect()
    }
}

/// Which pages `case` has to do without at first: some always, not always the same.
fn missing_for(case: &Case) -> usize {
    const ALL: usize = (1 << WRITABLE.len()) - 1;
    1 + (case.start ^ case.slot) % ALL
}
