//! Reading and writing in several pieces at an offset, with flags for each call.

use arch::trap::Arguments;
use linux_raw_sys::general as linux;
use mm::Shared;

use crate::fs::poll::Readiness;
use crate::fs::transfer::UserBytes;
use crate::fs::{self, OpenFile};
use crate::syscall::file::{offset, written};
use crate::syscall::{Errno, SyscallResult};

/// Flags of later headers (Linux, include/uapi/linux/fs.h).
const RWF_NOAPPEND: u32 = 0x20;
const RWF_DONTCACHE: u32 = 0x80;

/// Flags that there are; files are synchronous, as they are memory.
const FLAGS: u32 = linux::RWF_HIPRI
    | linux::RWF_DSYNC
    | linux::RWF_SYNC
    | linux::RWF_NOWAIT
    | linux::RWF_APPEND
    | RWF_NOAPPEND
    | RWF_DONTCACHE;

/// The offset that stands for the file's own.
const OWN: u64 = u64::MAX;

/// `preadv(fd, vectors, count, offset)`
pub fn preadv(&[fd, vectors, count, at, ..]: &Arguments) -> SyscallResult {
    let file = fs::file(fd)?;
    file.read_at(offset(at)?, &mut UserBytes::vectors(vectors, count)?)
}

/// `pwritev(fd, vectors, count, offset)`
pub fn pwritev(&[fd, vectors, count, at, ..]: &Arguments) -> SyscallResult {
    let file = fs::file(fd)?;
    let offset = offset(at)?;
    let mut source = UserBytes::vectors(vectors, count)?;
    written(file.write_at(offset, &mut source))
}

/// `preadv2(fd, vectors, count, offset, high half, flags)`: the first half is all of it.
pub fn preadv2(&[fd, vectors, count, at, _, flags]: &Arguments) -> SyscallResult {
    let file = fs::file(fd)?;
    let mut target = UserBytes::vectors(vectors, count)?;
    check(&file, flags as u32, Readiness::READ)?;
    match at {
        OWN => file.read(&mut target),
        at => file.read_at(offset(at)?, &mut target),
    }
}

/// `pwritev2(fd, vectors, count, offset, high half, flags)`
pub fn pwritev2(&[fd, vectors, count, at, _, flags]: &Arguments) -> SyscallResult {
    let file = fs::file(fd)?;
    let flags = flags as u32;
    let mut source = UserBytes::vectors(vectors, count)?;
    check(&file, flags, Readiness::WRITE)?;
    let appends = match flags & (linux::RWF_APPEND | RWF_NOAPPEND) {
        0 => file.appends(),
        linux::RWF_APPEND => true,
        RWF_NOAPPEND => false,
        _ => return Err(Errno::EINVAL),
    };
    written(match at {
        OWN => file.write_appending(&mut source, appends),
        at => file.write_at_appending(offset(at)?, &mut source, appends),
    })
}

/// Fails for flags that there are not, and if a call that must not wait would.
fn check(file: &Shared<OpenFile>, flags: u32, wanted: Readiness) -> Result<(), Errno> {
    if flags & !FLAGS != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let must_be_ready = flags & linux::RWF_NOWAIT != 0;
    let enough = wanted | Readiness::ALWAYS;
    match must_be_ready && !file.readiness().intersects(enough) {
        true => Err(Errno::EAGAIN),
        false => Ok(()),
    }
}
