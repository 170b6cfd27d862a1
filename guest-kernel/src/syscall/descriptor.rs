//! Calls about descriptors.

use arch::trap::Arguments;
use linux_raw_sys::general::{self as linux, RLIMIT_NOFILE};
use mm::{Shared, UserPtr};

use crate::fs::{self, FILE_LIMIT, OpenFile, calls, seal};
use crate::proc::capability::Capability;
use crate::proc::current;
use crate::proc::settings::Setting;
use crate::proc::spawn::CloneFlags;
use crate::syscall::{Errno, SyscallResult, locks, sigio};

/// One past the highest descriptor that the current process may have.
pub fn limit() -> usize {
    let limit = current().limits().soft(RLIMIT_NOFILE);
    usize::try_from(limit).map_or(FILE_LIMIT, |limit| limit.min(FILE_LIMIT))
}

/// Gives the current process a descriptor for `file`.
///
/// # Errors
/// EMFILE, ENOMEM.
pub fn add(file: Shared<OpenFile>, from: usize, close_on_exec: bool) -> SyscallResult {
    fs::files().add(file, from, limit(), close_on_exec)
}

/// `close(fd)`
pub fn close(&[fd, ..]: &Arguments) -> SyscallResult {
    fs::files().close(fd)?;
    Ok(0)
}

/// Flags of `close_range` (Linux, include/uapi/linux/close_range.h).
const CLOSE_RANGE_UNSHARE: u32 = 1 << 1;
const CLOSE_RANGE_CLOEXEC: u32 = 1 << 2;

/// `close_range(first, last, flags)`
pub fn close_range(&[first, last, flags, ..]: &Arguments) -> SyscallResult {
    let [first, last, flags] = [first, last, flags].map(|argument| argument as u32);
    if flags & !(CLOSE_RANGE_CLOEXEC | CLOSE_RANGE_UNSHARE) != 0 || first > last {
        return Err(Errno::EINVAL);
    }
    if flags & CLOSE_RANGE_UNSHARE != 0 {
        fs::stop_sharing(CloneFlags::FILES)?;
    }
    let only_mark = flags & CLOSE_RANGE_CLOEXEC != 0;
    fs::files().close_range(first as usize, last as usize, only_mark);
    Ok(0)
}

/// `dup(fd)`
pub fn dup(&[fd, ..]: &Arguments) -> SyscallResult {
    add(fs::any_file(fd)?, 0, false)
}

/// `dup2(old, new)`
pub fn dup2(&[old, new, ..]: &Arguments) -> SyscallResult {
    let (old, new) = (old as u32, new as u32);
    let file = fs::any_file(old.into())?;
    if old != new {
        fs::files().replace(new.into(), file, limit(), false)?;
    }
    Ok(new.into())
}

/// `dup3(old, new, flags)`
pub fn dup3(&[old, new, flags, ..]: &Arguments) -> SyscallResult {
    let [old, new, flags] = [old, new, flags].map(|argument| argument as u32);
    if old == new || flags & !linux::O_CLOEXEC != 0 {
        return Err(Errno::EINVAL);
    }
    let file = fs::any_file(old.into())?;
    let close_on_exec = flags & linux::O_CLOEXEC != 0;
    fs::files().replace(new.into(), file, limit(), close_on_exec)?;
    Ok(new.into())
}

/// `fcntl(fd, command, argument)`
pub fn fcntl(&[fd, command, argument, ..]: &Arguments) -> SyscallResult {
    let file = fs::any_file(fd)?;
    let command = command as u32;
    let is_of_descriptor = matches!(
        command,
        linux::F_DUPFD | linux::F_DUPFD_CLOEXEC | linux::F_GETFD | linux::F_SETFD | linux::F_GETFL
    );
    if file.is_path() && !is_of_descriptor {
        return Err(Errno::EBADF);
    }
    match command {
        linux::F_DUPFD | linux::F_DUPFD_CLOEXEC => {
            let from = usize::try_from(argument)
                .ok()
                .filter(|&from| from < limit());
            let from = from.ok_or(Errno::EINVAL)?;
            add(file, from, command == linux::F_DUPFD_CLOEXEC)
        }
        linux::F_GETFD => {
            let closes = fs::files().closes_on_exec(fd)?;
            Ok(u64::from(closes) * u64::from(linux::FD_CLOEXEC))
        }
        linux::F_SETFD => {
            let close = argument & u64::from(linux::FD_CLOEXEC) != 0;
            fs::files().set_close_on_exec(fd, close)?;
            Ok(0)
        }
        linux::F_GETFL => Ok(file.flags().into()),
        linux::F_SETFL => {
            match OpenFile::set_async(&file, fd, argument as u32 & linux::FASYNC != 0) {
                // What cannot tell by signals has no such flag.
                Ok(()) | Err(Errno::ENOTTY) => {}
                Err(errno) => return Err(errno),
            }
            file.set_flags(argument as u32);
            Ok(0)
        }
        linux::F_GETLK
        | linux::F_SETLK
        | linux::F_SETLKW
        | linux::F_OFD_GETLK
        | linux::F_OFD_SETLK
        | linux::F_OFD_SETLKW => locks::control(&file, command, argument),
        linux::F_SETOWN => sigio::set(&file, argument),
        linux::F_GETOWN => sigio::get(&file),
        linux::F_SETOWN_EX => sigio::set_extended(&file, argument),
        linux::F_GETOWN_EX => sigio::get_extended(&file, argument),
        linux::F_SETSIG => sigio::set_signal(&file, argument),
        linux::F_GETSIG => sigio::get_signal(&file),
        linux::F_GETPIPE_SZ => Ok(file.pipe()?.size() as u64),
        linux::F_SETPIPE_SZ => {
            let pipe = file.pipe()?;
            // What no pipe of anybody's may have.
            let size = argument as u32;
            if size > 1 << 31 {
                return Err(Errno::EINVAL);
            }
            let is_more = size as usize > pipe.size();
            let is_much = is_more && u64::from(size) > Setting::PipeSize.get();
            if is_much {
                current().require(Capability::SysResource)?;
            }
            let size = pipe.resize(size as usize)?;
            Ok(size as u64)
        }
        linux::F_GET_SEALS => seal::get(&file).map(|seals| seals.bits().into()),
        linux::F_ADD_SEALS => seal::add(&file, argument as u32).map(|()| 0),
        _ => Err(Errno::EINVAL),
    }
}

/// `pipe(address)`
pub fn pipe(&[address, ..]: &Arguments) -> SyscallResult {
    new_pipe(address, 0)
}

/// `pipe2(address, flags)`
pub fn pipe2(&[address, flags, ..]: &Arguments) -> SyscallResult {
    new_pipe(address, flags as u32)
}

fn new_pipe(address: u64, flags: u32) -> SyscallResult {
    if flags & !(linux::O_CLOEXEC | linux::O_NONBLOCK | linux::O_DIRECT) != 0 {
        return Err(Errno::EINVAL);
    }
    let close_on_exec = flags & linux::O_CLOEXEC != 0;
    let [read_end, write_end] = calls::pipe(flags)?;
    let files = fs::files();
    let read_end = add(read_end, 0, close_on_exec)?;
    let close_read_end = |errno| {
        // It is this process's own; another thread may have closed it by now.
        let _ = files.close(read_end);
        errno
    };
    let write_end = add(write_end, 0, close_on_exec).map_err(close_read_end)?;
    // Two ints: the low half is the first.
    let both = read_end | write_end << 32;
    let told = UserPtr::new(address).write(&current().space(), &both);
    if told.is_err() {
        let _ = files.close(write_end);
        return Err(close_read_end(Errno::EFAULT));
    }
    Ok(0)
}
