//! Calls that change what files are like: modes, owners, times.

use arch::trap::Arguments;
use linux_raw_sys::general as linux;
use mm::UserPtr;

use crate::fs;
use crate::fs::calls::{self, NewTime};
use crate::fs::notify;
use crate::fs::opened::Opened;
use crate::fs::path::Links;
use crate::fs::stamp::{Stamp, Time};
use crate::proc::credentials::SAME;
use crate::proc::current;
use crate::syscall::path::{HERE, Path, start};
use crate::syscall::{Errno, SyscallResult};

/// No flags for [`opened_at`]: a symbolic link is followed.
const FOLLOW: u32 = 0;

/// The node that a call with these arguments means, and what it is called.
pub(super) fn opened_at(directory: u64, path: u64, flags: u32) -> Result<Opened, Errno> {
    if flags & !(linux::AT_SYMLINK_NOFOLLOW | linux::AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let path = Path::read(path)?;
    if path.bytes().is_empty() && flags & linux::AT_EMPTY_PATH != 0 {
        return match directory as i32 {
            linux::AT_FDCWD => Ok(Opened::directory(fs::here()?.directory.clone())),
            _ => opened_of(&*fs::any_file(directory)?),
        };
    }
    let links = match flags & linux::AT_SYMLINK_NOFOLLOW {
        0 => Links::Followed,
        _ => Links::Kept,
    };
    let start = start(directory, path.bytes())?;
    calls::find_opened(&start, path.bytes(), links)
}

/// What a file was opened by; pipes and standard streams have nothing, and whatever is to be
/// changed about them stays.
pub(super) fn opened_of(file: &fs::OpenFile) -> Result<Opened, Errno> {
    file.opened().ok_or(Errno::EPERM)?.try_clone()
}

/// `chmod(path, mode)`
pub fn chmod(&[path, mode, ..]: &Arguments) -> SyscallResult {
    change_mode(&opened_at(HERE, path, FOLLOW)?, mode)
}

/// `fchmod(fd, mode)`
pub fn fchmod(&[fd, mode, ..]: &Arguments) -> SyscallResult {
    change_mode(&opened_of(&*fs::file(fd)?)?, mode)
}

/// `fchmodat(directory, path, mode)`
pub fn fchmodat(&[directory, path, mode, ..]: &Arguments) -> SyscallResult {
    change_mode(&opened_at(directory, path, FOLLOW)?, mode)
}

/// `fchmodat2(directory, path, mode, flags)`
pub fn fchmodat2(&[directory, path, mode, flags, ..]: &Arguments) -> SyscallResult {
    change_mode(&opened_at(directory, path, flags as u32)?, mode)
}

fn change_mode(opened: &Opened, mode: u64) -> SyscallResult {
    opened.mount.check_writable()?;
    calls::set_mode(&opened.node, mode as u32)?;
    notify::opened(opened, notify::ATTRIBUTES);
    Ok(0)
}

/// `chown(path, user, group)`
pub fn chown(&[path, user, group, ..]: &Arguments) -> SyscallResult {
    change_owner(&opened_at(HERE, path, FOLLOW)?, user, group)
}

/// `lchown(path, user, group)`
pub fn lchown(&[path, user, group, ..]: &Arguments) -> SyscallResult {
    change_owner(
        &opened_at(HERE, path, linux::AT_SYMLINK_NOFOLLOW)?,
        user,
        group,
    )
}

/// `fchown(fd, user, group)`
pub fn fchown(&[fd, user, group, ..]: &Arguments) -> SyscallResult {
    change_owner(&opened_of(&*fs::file(fd)?)?, user, group)
}

/// `fchownat(directory, path, user, group, flags)`
pub fn fchownat(&[directory, path, user, group, flags, ..]: &Arguments) -> SyscallResult {
    change_owner(&opened_at(directory, path, flags as u32)?, user, group)
}

fn change_owner(opened: &Opened, user: u64, group: u64) -> SyscallResult {
    opened.mount.check_writable()?;
    calls::set_owner(&opened.node, user as u32, group as u32)?;
    if [user as u32, group as u32] != [SAME; 2] {
        notify::opened(opened, notify::ATTRIBUTES);
    }
    Ok(0)
}

/// `utimensat(directory, path, times, flags)`; without a path, of the descriptor.
pub fn utimensat(&[directory, path, times, flags, ..]: &Arguments) -> SyscallResult {
    let times = match times {
        0 => [NewTime::Now; 2],
        _ => read_times(times, |[seconds, nanoseconds]| {
            match u32::try_from(nanoseconds).map_err(|_| Errno::EINVAL)? {
                linux::UTIME_NOW => Ok(NewTime::Now),
                linux::UTIME_OMIT => Ok(NewTime::Same),
                nanoseconds => at(seconds, nanoseconds, 1),
            }
        })?,
    };
    if times == [NewTime::Same; 2] {
        return Ok(0);
    }
    change_times(directory, path, flags as u32, times)
}

/// `futimesat(directory, path, times)`, in microseconds.
pub fn futimesat(&[directory, path, times, ..]: &Arguments) -> SyscallResult {
    change_times(directory, path, FOLLOW, microseconds(times)?)
}

/// `utimes(path, times)`, in microseconds.
pub fn utimes(&[path, times, ..]: &Arguments) -> SyscallResult {
    path_times(path, microseconds(times)?)
}

/// `utime(path, times)`, in seconds.
pub fn utime(&[path, times, ..]: &Arguments) -> SyscallResult {
    let times = match times {
        0 => [NewTime::Now; 2],
        _ => {
            let times: [u64; 2] = UserPtr::new(times).read(&current().space())?;
            let [accessed, modified] = times.map(|seconds| at(seconds, 0, 1));
            [accessed?, modified?]
        }
    };
    path_times(path, times)
}

fn path_times(path: u64, times: [NewTime; 2]) -> SyscallResult {
    set_times(&opened_at(HERE, path, FOLLOW)?, times)
}

fn microseconds(times: u64) -> Result<[NewTime; 2], Errno> {
    const NS_PER_US: u32 = 1000;
    match times {
        0 => Ok([NewTime::Now; 2]),
        _ => read_times(times, |[seconds, microseconds]| {
            let microseconds = u32::try_from(microseconds).map_err(|_| Errno::EINVAL)?;
            at(seconds, microseconds, NS_PER_US)
        }),
    }
}

/// The two times at an address, each of two words.
fn read_times(
    address: u64,
    time: impl Fn([u64; 2]) -> Result<NewTime, Errno>,
) -> Result<[NewTime; 2], Errno> {
    let times: [u64; 4] = UserPtr::new(address).read(&current().space())?;
    let [a, b, c, d] = times;
    Ok([time([a, b])?, time([c, d])?])
}

/// Seconds, and a fraction in units of so many nanoseconds.
fn at(seconds: u64, fraction: u32, unit: u32) -> Result<NewTime, Errno> {
    const NS_PER_S: u32 = 1_000_000_000;
    if fraction >= NS_PER_S / unit {
        return Err(Errno::EINVAL);
    }
    Ok(NewTime::At(Stamp::Told(Time {
        seconds: seconds as i64,
        nanoseconds: fraction * unit,
    })))
}

fn change_times(directory: u64, path: u64, flags: u32, times: [NewTime; 2]) -> SyscallResult {
    let opened = match path {
        0 if directory as i32 != linux::AT_FDCWD => {
            if flags != 0 {
                return Err(Errno::EINVAL);
            }
            opened_of(&*fs::file(directory)?)?
        }
        _ => opened_at(directory, path, flags)?,
    };
    set_times(&opened, times)
}

fn set_times(opened: &Opened, [accessed, modified]: [NewTime; 2]) -> SyscallResult {
    opened.mount.check_writable()?;
    calls::set_times(&opened.node, accessed, modified)?;
    let event = match (accessed, modified) {
        (_, NewTime::Same) => notify::ACCESS,
        (NewTime::Same, _) => notify::MODIFY,
        _ => notify::ATTRIBUTES,
    };
    notify::opened(opened, event);
    Ok(0)
}
