//! What a process shares with others, and gets for itself.

use arch::trap::Arguments;
use linux_raw_sys::general as linux;

use crate::fs;
use crate::fs::namespace::OwnNamespace;
use crate::fs::open_file::Object;
use crate::proc::capability::Capability;
use crate::proc::spawn::CloneFlags;
use crate::proc::{current, current_thread};
use crate::syscall::{Errno, SyscallResult};

/// What only the superuser may have for himself on Linux, and nobody here.
pub const OTHERS: u32 = linux::CLONE_NEWIPC
    | linux::CLONE_NEWPID
    | linux::CLONE_NEWNET
    | linux::CLONE_NEWCGROUP
    | linux::CLONE_NEWTIME;
/// What threads of a process have together.
const OF_THREADS: u32 = linux::CLONE_THREAD | linux::CLONE_SIGHAND | linux::CLONE_VM;
/// What a process can have for itself. There is nothing to be undone with semaphores.
const OWN: u32 = linux::CLONE_FS
    | linux::CLONE_FILES
    | linux::CLONE_SYSVSEM
    | linux::CLONE_NEWNS
    | linux::CLONE_NEWUTS;
/// Of both, what only the superuser may have.
pub const OF_SUPERUSER: u32 = OTHERS | linux::CLONE_NEWNS | linux::CLONE_NEWUTS;

/// `unshare(flags)`: a process with several threads shares all among them for good.
pub fn unshare(&[flags, ..]: &Arguments) -> SyscallResult {
    let flags = u32::try_from(flags).map_err(|_| Errno::EINVAL)?;
    let has_threads = current().has_other_threads(current_thread());
    if flags & !(OTHERS | OF_THREADS | OWN) != 0 || (flags != 0 && has_threads) {
        return Err(Errno::EINVAL);
    }
    if flags & OF_SUPERUSER != 0 {
        current().require(Capability::SysAdmin)?;
    }
    if flags & OTHERS != 0 {
        return Err(Errno::EINVAL);
    }
    let flags = CloneFlags::from_bits_truncate(flags);
    fs::stop_sharing(flags)?;
    if flags.contains(CloneFlags::OWN_NAMES) {
        let names = current().with_names(|names| names.duplicate())?;
        current().set_names(Some(names));
    }
    Ok(0)
}

/// `setns(fd, kind)`: the current process sees what those do whose namespace the descriptor
/// stands for, which is of this kind, or of any.
pub fn setns(&[fd, kind, ..]: &Arguments) -> SyscallResult {
    let file = fs::file(fd)?;
    let Object::Namespace(namespace) = file.object() else {
        return Err(Errno::EINVAL);
    };
    let kind = kind as u32;
    if kind != 0 && kind != namespace.flag().bits() {
        return Err(Errno::EINVAL);
    }
    current().require(Capability::SysAdmin)?;
    match namespace {
        OwnNamespace::Mounts(mounts) => {
            current().require(Capability::SysChroot)?;
            if current().has_other_threads(current_thread()) {
                return Err(Errno::EINVAL);
            }
            fs::enter_mounts(mounts)?;
        }
        OwnNamespace::Names(names) => current().set_names(names.clone()),
    }
    Ok(0)
}
