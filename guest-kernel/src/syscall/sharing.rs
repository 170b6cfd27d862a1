//! What a process shares with others, and gets for itself.

use arch::trap::Arguments;
use linux_raw_sys::general as linux;

use crate::fs;
use crate::proc::spawn::CloneFlags;
use crate::proc::{current, current_thread};
use crate::syscall::{Errno, SyscallResult};

/// What only the superuser may have for himself, and there is not.
const OTHERS: u32 = linux::CLONE_NEWNS
    | linux::CLONE_NEWUTS
    | linux::CLONE_NEWIPC
    | linux::CLONE_NEWPID
    | linux::CLONE_NEWNET
    | linux::CLONE_NEWCGROUP
    | linux::CLONE_NEWTIME;
/// What threads of a process have together.
const OF_THREADS: u32 = linux::CLONE_THREAD | linux::CLONE_SIGHAND | linux::CLONE_VM;
/// What a process can have for itself. There is nothing to be undone with semaphores.
const OWN: u32 = linux::CLONE_FS | linux::CLONE_FILES | linux::CLONE_SYSVSEM;

/// `unshare(flags)`: a process with several threads shares all among them for good.
pub fn unshare(&[flags, ..]: &Arguments) -> SyscallResult {
    let flags = u32::try_from(flags).map_err(|_| Errno::EINVAL)?;
    let has_threads = current().has_other_threads(current_thread());
    if flags & !(OTHERS | OF_THREADS | OWN) != 0 || (flags != 0 && has_threads) {
        return Err(Errno::EINVAL);
    }
    if flags & OTHERS != 0 {
        return Err(match current().credentials.is_privileged() {
            true => Errno::EINVAL,
            false => Errno::EPERM,
        });
    }
    fs::stop_sharing(CloneFlags::from_bits_truncate(flags))?;
    Ok(0)
}
