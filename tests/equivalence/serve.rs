//! Running a sequence with pages missing, each mapped when it is first touched, as by a
//! kernel with demand paging.

use x86::{PageFaultErrorCode, vector};

use super::case::Case;
use super::ending::{End, Ending, Fault};
use super::layout::{self, WRITABLE};
use super::machine::{Machine, Stop};

impl Machine {
    /// Runs one case where some of its pages are not mapped (see [`layout::cr3`]); a
    /// fault for one of them is served and the sequence goes on. Also says at which
    /// addresses there was such a fault.
    pub fn run_serving(&mut self, case: &Case, missing: usize) -> (Ending, Vec<u64>) {
        let mut ending = Ending::without_registers(End::Stuck);
        let mut served = Vec::new();
        self.load(std::slice::from_ref(case));
        self.start(case, missing);
        // Each page can be served once.
        for _ in 0..=WRITABLE.len() {
            match self.enter() {
                Stop::Finished => ending.end = End::Completed,
                Stop::Fault(fault) if self.is_missing(&fault) => {
                    if !self.serve(&fault) {
                        ending.end = End::NotRun;
                        break;
                    }
                    served.push(fault.rip);
                    continue;
                }
                Stop::Fault(fault) => {
                    ending.end = End::Fault(fault);
                    ending.registers = self.resume_at_store(case.slot);
                    self.enter();
                }
                Stop::Stuck => {}
                Stop::Broken(what) => ending.end = End::Broken(what),
            }
            break;
        }
        self.collect(case.slot, &mut ending);
        (ending, served)
    }

    /// The bit of [`layout::cr3`] for the page that `fault` is for.
    fn missing_bit(&self, fault: &Fault) -> usize {
        let page = layout::data_page(fault.address);
        let bit = WRITABLE.iter().position(|&writable| Some(writable) == page);
        bit.map_or(0, |bit| 1 << bit) & self.missing
    }

    /// Whether `fault` is for a page that is missing on purpose.
    fn is_missing(&self, fault: &Fault) -> bool {
        const PRESENT: u64 = PageFaultErrorCode::PROTECTION_VIOLATION.bits();
        fault.vector == vector::PF
            && fault.error_code & PRESENT == 0
            && self.missing_bit(fault) != 0
    }

    /// Maps the missing page that `fault` is for. False where going on is not possible:
    /// software-backed KVM cannot return to a stack pointer that is not canonical.
    fn serve(&mut self, fault: &Fault) -> bool {
        let [_, _, _, rsp, _] = self.memory.words(layout::exception_frame_gpa());
        let canonical = (rsp as i64) << 16 >> 16 == rsp as i64;
        if canonical {
            self.missing &= !self.missing_bit(fault);
            let mut state = self.state();
            state.cr3 = layout::cr3(self.missing);
            self.set_state(&state);
        }
        canonical
    }
}
