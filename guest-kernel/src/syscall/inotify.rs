//! Calls about watches of files.

use arch::trap::Arguments;
use linux_raw_sys::general as linux;
use mm::Shared;

use crate::fs;
use crate::fs::calls;
use crate::fs::events::{Event, Inotify};
use crate::fs::open_file::{Object, OpenFile};
use crate::fs::path::Links;
use crate::fs::permission::{self, READ};
use crate::syscall::descriptor;
use crate::syscall::path::{HERE, Path, start};
use crate::syscall::{Errno, SyscallResult};

/// All that a mask may have; some of it does nothing.
const KNOWN: u32 = linux::IN_ALL_EVENTS
    | linux::IN_UNMOUNT
    | linux::IN_Q_OVERFLOW
    | linux::IN_IGNORED
    | linux::IN_ONLYDIR
    | linux::IN_DONT_FOLLOW
    | linux::IN_EXCL_UNLINK
    | linux::IN_MASK_ADD
    | linux::IN_MASK_CREATE
    | linux::IN_ISDIR
    | linux::IN_ONESHOT;

/// `inotify_init()`
pub fn inotify_init(_: &Arguments) -> SyscallResult {
    inotify_init1(&[0; 6])
}

/// `inotify_init1(flags)`
pub fn inotify_init1(&[flags, ..]: &Arguments) -> SyscallResult {
    let flags = flags as u32;
    if flags & !(linux::IN_CLOEXEC | linux::IN_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let event = Event::Inotify(Inotify::new()?);
    let file = OpenFile::new(Object::Event(event), flags & linux::IN_NONBLOCK)?;
    descriptor::add(file, 0, flags & linux::IN_CLOEXEC != 0)
}

fn inotify_of(file: &OpenFile) -> Result<&Shared<Inotify>, Errno> {
    match file.object() {
        Object::Event(Event::Inotify(inotify)) => Ok(inotify),
        _ => Err(Errno::EINVAL),
    }
}

/// `inotify_add_watch(fd, path, mask)`
pub fn inotify_add_watch(&[fd, path, mask, ..]: &Arguments) -> SyscallResult {
    const BOTH: u32 = linux::IN_MASK_ADD | linux::IN_MASK_CREATE;
    let mask = mask as u32;
    if mask & KNOWN == 0 {
        return Err(Errno::EINVAL);
    }
    let file = fs::file(fd)?;
    if mask & BOTH == BOTH {
        return Err(Errno::EINVAL);
    }
    let inotify = inotify_of(&file)?;
    let path = Path::read(path)?;
    let start = start(HERE, path.bytes())?;
    let links = match mask & linux::IN_DONT_FOLLOW {
        0 => Links::Followed,
        _ => Links::Kept,
    };
    let node = calls::find(&start, path.bytes(), links)?;
    if mask & linux::IN_ONLYDIR != 0 && !node.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    permission::check(&node, READ)?;
    inotify.add(&node, mask)
}

/// `inotify_rm_watch(fd, number)`
pub fn inotify_rm_watch(&[fd, number, ..]: &Arguments) -> SyscallResult {
    let file = fs::file(fd)?;
    inotify_of(&file)?.remove(number as u32)?;
    Ok(0)
}
