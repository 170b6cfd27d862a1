//! Who sees what of a process (Linux, proc(5)), beside what permission bits say.

use abi::Errno;

use crate::fs::proc_files::{ProcFile, process_of};
use crate::proc::current;
use crate::proc::process::Process;

impl ProcFile {
    /// Fails if it shows what only those see who may look into the process. It might have changed
    /// since the file was opened, so that each read asks again.
    ///
    /// # Errors
    /// EACCES.
    pub fn check_access(self) -> Result<(), Errno> {
        let id = match self {
            Self::OfProcess(text, id) if text.is_private() => id,
            Self::Memory(id) | Self::DescriptorTexts(id) | Self::Descriptor(id, _) => id,
            _ => return Ok(()),
        };
        process_of(id).map_or(Ok(()), check_inspectable)
    }

    /// Whether the current process, which its permission bits may have `allowed` to use it, may do
    /// so: nobody is kept from his own descriptors.
    pub fn may_be_used(self, allowed: bool) -> bool {
        match self {
            Self::Descriptors(pid) => allowed || pid == current().pid(),
            Self::DescriptorTexts(_) => allowed && self.check_access().is_ok(),
            _ => allowed,
        }
    }
}

/// Fails unless the current process may look into another.
///
/// # Errors
/// EACCES.
pub(super) fn check_inspectable(process: &Process) -> Result<(), Errno> {
    match current().may_look_into(process, |ids| ids.files) {
        true => Ok(()),
        false => Err(Errno::EACCES),
    }
}
