//! `openat2`: `open` that is told where the path may not lead, and takes no flags that it does not
//! know.

use core::mem::size_of;

use abi::virtual_map::PAGE_SIZE;
use arch::trap::Arguments;
use linux_raw_sys::general as linux;
use mm::{UserPtr, UserSlice};

use crate::fs;
use crate::fs::calls;
use crate::fs::path::{Rules, Start};
use crate::proc::current;
use crate::syscall::path::{self, Path};
use crate::syscall::{Errno, SyscallResult};

/// `struct open_how`: flags, mode, and what the walk does not do.
type How = [u64; 3];
const HOW_SIZE: u64 = size_of::<How>() as u64;
const _: () = assert!(size_of::<How>() == size_of::<linux::open_how>());

/// The flags that there are (Linux, VALID_OPEN_FLAGS), and those that go with O_PATH.
const FLAGS: u32 = PATH_FLAGS
    | linux::O_ACCMODE
    | linux::O_CREAT
    | linux::O_EXCL
    | linux::O_NOCTTY
    | linux::O_TRUNC
    | linux::O_APPEND
    | linux::O_NONBLOCK
    | linux::O_SYNC
    | linux::FASYNC
    | linux::O_DIRECT
    | linux::O_LARGEFILE
    | linux::O_NOATIME
    | linux::O_TMPFILE;
const PATH_FLAGS: u32 = linux::O_PATH | linux::O_DIRECTORY | linux::O_NOFOLLOW | linux::O_CLOEXEC;
/// What makes a file.
const MAKES: u32 = linux::O_CREAT | NO_NAME;
/// What O_TMPFILE has beside O_DIRECTORY.
const NO_NAME: u32 = linux::O_TMPFILE & !linux::O_DIRECTORY;
const MODE: u64 = 0o7777;

/// `openat2(directory, path, how, size)`
pub fn openat2(&[directory, path, how, size, ..]: &Arguments) -> SyscallResult {
    let [flags, mode, rules] = read(how, size)?;
    let flags = u32::try_from(flags).map_err(|_| Errno::EINVAL)?;
    let makes = flags & MAKES != 0;
    let is_valid = flags & !FLAGS == 0
        && (flags & linux::O_PATH == 0 || flags & !PATH_FLAGS == 0)
        && (flags & NO_NAME == 0 || flags & linux::O_DIRECTORY != 0)
        && mode & !if makes { MODE } else { 0 } == 0;
    // All that there is is in memory.
    let cached = u64::from(linux::RESOLVE_CACHED);
    let known = u32::try_from(rules & !cached)
        .ok()
        .and_then(Rules::from_bits);
    let known = known.filter(|known| !known.contains(Rules::BENEATH | Rules::IN_ROOT));
    let (Some(known), true) = (known, is_valid) else {
        return Err(Errno::EINVAL);
    };
    if rules & cached != 0 && (makes || flags & linux::O_TRUNC != 0) {
        return Err(Errno::EAGAIN);
    }
    let path = Path::read(path)?;
    let start = start(directory, path.bytes(), known)?;
    path::open_from(&start, path.bytes(), flags, mode)
}

/// The structure, which has grown, and may grow more by fields that are zero.
fn read(address: u64, size: u64) -> Result<How, Errno> {
    if size < HOW_SIZE {
        return Err(Errno::EINVAL);
    }
    if size > PAGE_SIZE {
        return Err(Errno::E2BIG);
    }
    let space = current().space();
    for at in HOW_SIZE..size {
        let mut byte = [0];
        UserSlice::new(address.wrapping_add(at), 1).copy_in(&space, &mut byte)?;
        if byte != [0] {
            return Err(Errno::E2BIG);
        }
    }
    Ok(UserPtr::<How>::new(address).read(&space)?)
}

/// Where the path starts: one that stays in a directory has that as its root.
///
/// # Errors
/// EXDEV: it leaves it at once. As for [`path::start`].
fn start(directory: u64, path: &[u8], rules: Rules) -> Result<Start, Errno> {
    let start = path::start(directory, path)?;
    if rules.contains(Rules::BENEATH) && path.starts_with(b"/") {
        return Err(Errno::EXDEV);
    }
    if !rules.are_scoped() {
        return Ok(Start {
            rules,
            ..(*start).clone()
        });
    }
    let directory = match directory as i32 {
        linux::AT_FDCWD => start.directory.clone(),
        _ => calls::directory(fs::any_file(directory)?.location()?)?,
    };
    Ok(Start {
        root: directory.clone(),
        directory,
        rules,
    })
}
