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
        let (part, cpu) = (self.part(board), self.vcpus.number());
        for member in 0..self.vcpus.count() {
            board.resume(self.thread + member, &self.clock);
        }
        // A failure to read a state is ignored, as the run has ended.
        match &mut board.end {
            None => {
                let of_all = result.as_ref().is_ok_and(Outcome::is_of_all_cpus);
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
