//! How a run ended, and which vCPU shows why: the one that ended it; or, where all are stopped
//! or all have halted, one that runs before one that halts, and that before one that was never
//! started.

use super::board::{Activity, Part};
use super::{Board, End, RunLoop};
use crate::cpu::CpuError;
use crate::report::Outcome;

impl RunLoop {
    /// The thread leaves its loop with `result`, which counts if it is the first.
    pub(super) fn leave(&mut self, board: &mut Board, result: Result<Outcome, CpuError>) {
        let of_all = result.as_ref().is_ok_and(Outcome::is_of_all_cpus);
        if of_all {
            self.turn_to_most_telling(board);
        }
        let (part, cpu) = (self.part(board), self.vcpus.number());
        for member in 0..self.vcpus.count() {
            board.resume(self.thread + member, &self.clock);
        }
        // A failure to read a state is ignored, as the run has ended.
        match &mut board.end {
            None => {
                let is_unexpected = result.as_ref().map_or(true, Outcome::is_unexpected);
                let state = is_unexpected.then(|| self.vcpus.current().state().ok());
                board.end = Some(End {
                    result,
                    cpu,
                    state: state.flatten(),
                    part: if of_all { part } else { Part::Ends },
                });
                self.control.end();
            }
            Some(end) if (part, cpu) < (end.part, end.cpu) => {
                (end.part, end.cpu) = (part, cpu);
                end.state = self.vcpus.current().state().ok();
            }
            Some(_) => {}
        }
    }

    /// Gives the turn to the vCPU of this thread whose part says most: the current one, if no
    /// other's says more.
    fn turn_to_most_telling(&mut self, board: &mut Board) {
        let current = self.vcpus.turn();
        let told = (0..self.vcpus.count()).min_by_key(|&turn| {
            self.give_turn(turn, board);
            (self.part(board), turn != current)
        });
        self.give_turn(told.unwrap_or(current), board);
    }

    /// What the current vCPU does, as the run ends.
    fn part(&mut self, board: &mut Board) -> Part {
        let number = self.vcpus.number();
        let halts = match board.devices.local_apic() {
            Some(apic) if apic.waits() => return Part::Unstarted,
            Some(_) => board.activities[number] != Activity::Runs,
            None => self.vcpus.current().halted().unwrap_or(false),
        };
        if halts { Part::Halted } else { Part::Runs }
    }
}
