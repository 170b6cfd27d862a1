//! Callbacks to the layer above, which keeps the open files of each process.
//!
//! `fs` is above, since whoever reads may have to wait, so descriptors of processes cannot
//! hold files. Rejected: a type parameter, which everything in this layer would carry.

use core::cell::Cell;

use abi::Errno;
use single_cpu::SingleCpu;

use crate::proc::process::Process;
use crate::proc::spawn::CloneFlags;

/// A layer that keeps something for each process.
pub trait Resources: Sync {
    /// `child` gets what `parent` has: the same where the flags say that they share it, else a
    /// copy.
    ///
    /// # Errors
    /// ENOMEM; ENOSPC: too many mounts. The child has nothing.
    fn inherit(&self, parent: &Process, child: &Process, flags: CloneFlags) -> Result<(), Errno>;

    /// The process runs another program.
    fn change_program(&self, process: &Process);

    /// The process needs nothing any more: it ends, or could not be made.
    fn release(&self, process: &Process);

    /// The leader of this session has ended.
    fn leader_ended(&self, session: u32);

    /// A process has ended, or has been reaped.
    fn process_ended(&self);

    /// A signal is pending that somebody may want to read.
    fn signal_came(&self);

    /// The deadline that the layer has set has come.
    fn timers_are_due(&self);
}

static KEEPER: SingleCpu<Cell<Option<&'static dyn Resources>>> = SingleCpu::new(Cell::new(None));

/// Registers `keeper`.
pub fn keep(keeper: &'static dyn Resources) {
    KEEPER.set(Some(keeper));
}

/// The registered keeper.
///
/// # Panics
/// There are no processes yet.
pub fn keeper() -> &'static dyn Resources {
    KEEPER.get().expect("somebody keeps files")
}
