//! Makes a sequence that shows a difference as small as it can be.

use std::sync::Arc;

use vmm::cpu::FxState;

use super::case::{INITIAL_FLAGS, Patch};
use super::compare::Difference;
use super::fx::offset;
use super::layout::DATA_LEN;
use super::pair::Pair;
use super::sketch::{Holder, Sketch};
use super::undefined;

/// The smallest sequence found that still differs, and in what. `None` if `sketch` does
/// not differ when it runs by itself.
pub fn shrink(pair: &mut Pair, sketch: &Sketch) -> Option<(Sketch, Vec<Difference>)> {
    let mut shrinker = Shrinker {
        pair,
        best: sketch.clone(),
        differences: Vec::new(),
    };
    let whole = sketch.clone();
    if !shrinker.accept(whole) {
        return None;
    }
    while shrinker.pass() {}
    Some((shrinker.best, shrinker.differences))
}

struct Shrinker<'a> {
    pair: &'a mut Pair,
    best: Sketch,
    differences: Vec<Difference>,
}

impl Shrinker<'_> {
    /// Takes `candidate` as the best if it differs, and not because what it left out had
    /// defined flags that it uses.
    fn accept(&mut self, candidate: Sketch) -> bool {
        let Some(case) = candidate.assemble() else {
            return false;
        };
        if undefined::is_used(&case.instructions()) {
            return false;
        }
        let differences = self.pair.run_one(&case);
        let differs = !differences.is_empty();
        if differs {
            self.best = candidate;
            self.differences = differences;
        }
        differs
    }

    /// Tries the best with `change`.
    fn attempt(&mut self, change: impl FnOnce(&mut Sketch)) -> bool {
        let mut candidate = self.best.clone();
        change(&mut candidate);
        self.accept(candidate)
    }

    /// One round of everything; true if it took out an instruction or a patch, so that
    /// another may help.
    fn pass(&mut self) -> bool {
        let mut fewer = false;
        for index in (0..self.best.items.len()).rev() {
            let candidate = self.best.without(index);
            fewer |= self.accept(candidate);
        }
        for index in (0..self.best.labels.len()).rev() {
            fewer |= self.attempt(|sketch| {
                sketch.labels.remove(index);
            });
        }
        for index in (0..self.best.patches.len()).rev() {
            fewer |= self.attempt(|sketch| {
                sketch.patches.remove(index);
            });
        }
        self.simplify_memory();
        self.simplify_registers();
        fewer
    }

    fn simplify_registers(&mut self) {
        for number in 0..16 {
            let held = |sketch: &Sketch| {
                let holder = Holder::Register(number);
                let mut labels = sketch.labels.iter();
                labels.any(|label| matches!((label.holder, holder), (Holder::Register(a), Holder::Register(b)) if a == b))
            };
            if self.best.registers.gpr[number] != 0 && !held(&self.best) {
                self.attempt(|sketch| sketch.registers.gpr[number] = 0);
            }
        }
        if self.best.registers.flags != INITIAL_FLAGS {
            self.attempt(|sketch| sketch.registers.flags = INITIAL_FLAGS);
        }
        for bit in (0..22).filter(|bit| INITIAL_FLAGS >> bit & 1 == 0) {
            if self.best.registers.flags >> bit & 1 != 0 {
                self.attempt(|sketch| sketch.registers.flags &= !(1 << bit));
            }
        }
        if self.best.registers.fs_base != 0 {
            self.attempt(|sketch| sketch.registers.fs_base = 0);
        }
        if self.best.registers.gs_base != 0 {
            self.attempt(|sketch| sketch.registers.gs_base = 0);
        }
        self.simplify_fx();
    }

    fn simplify_fx(&mut self) {
        let initial = FxState::initial().0;
        if self.best.registers.fx == initial {
            return;
        }
        if self.attempt(|sketch| sketch.registers.fx = initial) {
            return;
        }
        let fields = [
            (offset::FCW, 2),
            (offset::FSW, 2),
            (offset::FTW, 2),
            (offset::MXCSR, 4),
            (offset::ST, 128),
            (offset::XMM, 256),
        ];
        let registers = (offset::ST..offset::END).step_by(16).map(|at| (at, 16));
        for (at, len) in fields.into_iter().chain(registers) {
            if self.best.registers.fx[at..at + len] != initial[at..at + len] {
                self.attempt(|sketch| {
                    sketch.registers.fx[at..at + len].copy_from_slice(&initial[at..at + len]);
                });
            }
        }
    }

    fn simplify_memory(&mut self) {
        if self.best.image.iter().any(|&byte| byte != 0) {
            self.clear(0, DATA_LEN);
        }
        for index in 0..self.best.patches.len() {
            self.attempt(|sketch| {
                let Patch { bytes, .. } = &mut sketch.patches[index];
                bytes.fill(0);
            });
        }
    }

    /// Zeroes as much as possible of `len` bytes at `start` of the image.
    fn clear(&mut self, start: usize, len: usize) {
        const FINEST: usize = 16;
        let part = start..start + len;
        if self.best.image[part.clone()].iter().all(|&byte| byte == 0) {
            return;
        }
        let cleared = self.attempt(|sketch| {
            let mut image = *sketch.image;
            image[part].fill(0);
            sketch.image = Arc::new(image);
        });
        if !cleared && len > FINEST {
            let half = len.next_power_of_two() / 2;
            self.clear(start, half);
            self.clear(start + half, len - half);
        }
    }
}
