//! Processes as descriptors (`pidfd`): ready when they have ended.

use core::cell::Cell;

use single_cpu::SingleCpu;

use crate::fs::events::epoll::Watches;
use crate::fs::poll::{self, Readiness};
use crate::proc::process::Process;
use crate::proc::table;

/// The watches of all such files: which has ended shows when they are looked at.
pub static WATCHES: SingleCpu<Watches> = SingleCpu::new(Watches::new());

/// A process by its number, which no other gets before millions of others have had theirs.
pub struct ProcessFile(Cell<u32>);

impl ProcessFile {
    /// The process with this number.
    pub fn new(pid: u32) -> Self {
        Self(Cell::new(pid))
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.0.get()
    }

    /// Makes it another's: of one that was made for a child to be.
    pub fn set_pid(&self, pid: u32) {
        self.0.set(pid);
    }

    /// The process, if it has not been reaped.
    pub fn process(&self) -> Option<&'static Process> {
        table::process(self.pid())
    }

    /// What a poll would find.
    pub fn readiness(&self) -> Readiness {
        match self.process() {
            Some(process) if process.is_alive() => Readiness::empty(),
            Some(_) => Readiness::READ,
            None => Readiness::READ | Readiness::HANG_UP,
        }
    }
}

/// A process has ended, or has been reaped.
pub fn ended() {
    poll::changed_at(&WATCHES, Readiness::READ | Readiness::HANG_UP);
}
