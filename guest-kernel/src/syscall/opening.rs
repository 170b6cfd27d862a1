//! `openat2`: `open` that is told where the path may not lead, and takes no flags that it does not
//! know.

use core::mem::size_of;

use arch::trap::Arguments;
use linux_raw_sys::general as linux;

use crate::fs::path::{Rules, Start};
use crate::syscall::path::{self, Path};
use crate::syscall::{Errno, SyscallResult, growing};

/// Bytes of the first `struct open_how`, which has flags, mode, and what the walk does not do.
const HOW_SIZE: u64 = size_of::<linux::open_how>() as u64;

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
    let [flags, mode, rules] = growing::read(how, size, HOW_SIZE)?;
    let flags = u32::try_from(flags).map_err(|_| Errno::EINVAL)?;
    let makes = flags & MAKES != 0;
    let modes = if makes { MODE } else { 0 };
    let is_valid = flags & !FLAGS == 0
        && (flags & linux::O_PATH == 0 || flags & !PATH_FLAGS == 0)
        && (flags & NO_NAME == 0 || flags & linux::O_DIRECTORY != 0)
        && mode & !modes == 0;
    // Everything is in memory.
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

/// Where the path starts: one that stays in a directory has that as its root.
///
/// # Errors
/// EXDEV: it leaves it at once. As for [`path::start`].
fn start(directory: u64, path: &[u8], rules: Rules) -> Result<Start, Errno> {
    if rules.contains(Rules::BENEATH) && path.starts_with(b"/") {
        return Err(Errno::EXDEV);
    }
    let is_scoped = rules.are_scoped() && !path.is_empty();
    let start = path::start(directory, if is_scoped { b"." } else { path })?;
    Ok(Start {
        root: match is_scoped {
            true => start.directory.clone(),
            false => start.root.clone(),
        },
        directory: start.directory.clone(),
        rules,
    })
}
