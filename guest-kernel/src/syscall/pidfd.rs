//! Calls about processes as descriptors.

use arch::trap::{Arguments, UserContext};
use linux_raw_sys::general as linux;
use mm::UserPtr;

use crate::fs::events::{Event, ProcessFile};
use crate::fs::open_file::Object;
use crate::fs::proc_files::ProcFile;
use crate::fs::{self, OpenFile};
use crate::proc::process::Process;
use crate::proc::signal::{self, Cause, Info};
use crate::proc::spawn::{self, CloneFlags, Request};
use crate::proc::{current, table};
use crate::syscall::descriptor;
use crate::syscall::process_memory::check_inspectable;
use crate::syscall::{Errno, SyscallResult, kill};

/// `pidfd_open(pid, flags)`
pub fn pidfd_open(&[pid, flags, ..]: &Arguments) -> SyscallResult {
    let flags = flags as u32;
    let pid = u32::try_from(pid as i32).map_err(|_| Errno::EINVAL)?;
    if flags & !linux::O_NONBLOCK != 0 || pid == 0 {
        return Err(Errno::EINVAL);
    }
    if table::process(pid).is_none() {
        return Err(match table::thread(pid) {
            Some(_) => Errno::ENOENT,
            None => Errno::ESRCH,
        });
    }
    let event = Object::Event(Event::Process(ProcessFile::new(pid)));
    descriptor::add(OpenFile::new(event, linux::O_RDWR | flags)?, 0, true)
}

/// Makes a child and a descriptor for it, which the child does not inherit and whose number goes
/// to `address`.
///
/// # Errors
/// As of `clone`, and EFAULT, EMFILE: there is no child then.
pub(super) fn clone(context: &UserContext, request: &Request, address: u64) -> SyscallResult {
    let event = Object::Event(Event::Process(ProcessFile::new(0)));
    let file = OpenFile::new(event, linux::O_RDWR)?;
    let fd = descriptor::add(file.clone(), 0, true)?;
    let made = |child: &Process| {
        if let Object::Event(Event::Process(process)) = file.object() {
            process.set_pid(child.pid());
        }
        let shares_files = request.flags.contains(CloneFlags::FILES);
        if let Some(files) = fs::of_process(child).filter(|_| !shares_files) {
            // It is there, as it was in the parent's.
            let _ = files.close(fd);
        }
    };
    let told = UserPtr::new(address).write(&current().space(), &(fd as u32));
    let cloned = match told {
        Ok(()) => spawn::clone_with(context, request, made),
        Err(_) => Err(Errno::EFAULT),
    };
    if cloned.is_err() {
        fs::files().close(fd)?;
    }
    Ok(cloned?.into())
}

/// The number of the process that a descriptor is, and whether nobody wants to wait for it.
pub(super) fn pid_of(fd: u64) -> Result<(u32, bool), Errno> {
    let file = fs::file(fd)?;
    match file.object() {
        Object::Event(Event::Process(process)) => Ok((process.pid(), file.is_nonblocking())),
        _ => Err(Errno::EBADF),
    }
}

/// The process that a descriptor is, as long as it has not been reaped.
pub(super) fn process_of(fd: u64) -> Result<&'static Process, Errno> {
    table::process(pid_of(fd)?.0).ok_or(Errno::ESRCH)
}

/// The number of the process whose directory of `/proc` a descriptor is.
fn pid_of_directory(fd: u64) -> Option<u32> {
    let file = fs::file(fd).ok()?;
    match file.node()?.directory().ok()?.generated()? {
        ProcFile::Process(pid) => Some(pid),
        _ => None,
    }
}

/// `pidfd_send_signal(fd, signal, info, flags)`; 0 is none and only checks. The directory of a
/// process in `/proc` was a descriptor for it before there were others, and is.
pub fn pidfd_send_signal(&[fd, number, info, flags, ..]: &Arguments) -> SyscallResult {
    if flags as u32 != 0 {
        return Err(Errno::EINVAL);
    }
    let process = match pid_of_directory(fd) {
        Some(pid) => table::process(pid).ok_or(Errno::ESRCH)?,
        None => process_of(fd)?,
    };
    let own = current();
    let cause = match info {
        0 => Cause::sender(own.identity(), linux::SI_USER as i32),
        address => {
            let info = UserPtr::<Info>::new(address).read(&own.space())?;
            if info[0] as u32 != number as u32 {
                return Err(Errno::EINVAL);
            }
            let cause = Cause::from_info(&info);
            let is_forged = cause.code >= 0 || cause.code == linux::SI_TKILL;
            if is_forged && process.pid() != own.pid() {
                return Err(Errno::EPERM);
            }
            cause
        }
    };
    let signal = kill::signal(u64::from(number as u32))?;
    kill::check_sender(process, signal)?;
    if let Some(signal) = signal.filter(|signal| kill::may_reach(process, *signal)) {
        signal::send_for(process, signal, cause)?;
    }
    Ok(0)
}

/// `pidfd_getfd(fd, other, flags)`: a descriptor for what another process has as `other`.
pub fn pidfd_getfd(&[fd, other, flags, ..]: &Arguments) -> SyscallResult {
    if flags as u32 != 0 {
        return Err(Errno::EINVAL);
    }
    let process = process_of(fd)?;
    check_inspectable(process)?;
    let files = fs::of_process(process).ok_or(Errno::ESRCH)?;
    descriptor::add(files.get(other)?, 0, true)
}
