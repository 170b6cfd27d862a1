//! What processes have used, as their parents are told (`getrusage`).

use crate::proc::process::Process;
use crate::proc::thread::CpuTime;

/// What a process, or several, have used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time.
    pub time: CpuTime,
    /// Page faults of programs, all of which memory had the answer to.
    pub faults: u64,
    /// Frames that it had at most; of several, the one with most.
    pub peak: u64,
}

impl Usage {
    /// Nothing.
    pub const NONE: Self = Self {
        time: CpuTime::ZERO,
        faults: 0,
        peak: 0,
    };

    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            time: self.time.plus(other.time),
            faults: self.faults + other.faults,
            peak: self.peak.max(other.peak),
        }
    }
}

impl Process {
    /// A page fault of its program has been resolved.
    pub fn note_fault(&self, frames: u64) {
        self.faults.set(self.faults.get() + 1);
        self.note_frames(frames);
    }

    /// It has, or had, so many frames.
    pub fn note_frames(&self, frames: u64) {
        if frames > self.peak.get() {
            self.peak.set(frames);
        }
    }

    /// What its threads have used, those that have ended too.
    pub fn usage(&self) -> Usage {
        if self.is_alive() {
            self.note_frames(self.space().frames());
        }
        Usage {
            time: self.cpu_time(),
            faults: self.faults.get(),
            peak: self.peak.get(),
        }
    }

    /// What its reaped children, and theirs, have used.
    pub fn children_usage(&self) -> Usage {
        self.children_usage.get()
    }
}
