//! The limit on the size of files that a process may write (RLIMIT_FSIZE).

use abi::Errno;

use crate::proc::current;
use crate::proc::limits::INFINITY;
use crate::proc::signal::{self, Signal};

/// How many of `len` bytes the current process may write to a file at `offset`.
///
/// # Errors
/// EFBIG: none; the process gets SIGXFSZ.
pub fn room(offset: u64, len: usize) -> Result<u64, Errno> {
    let limit = limit();
    if limit == INFINITY || len == 0 {
        return Ok(INFINITY);
    }
    match limit.saturating_sub(offset) {
        0 => Err(exceeded()),
        room => Ok(room),
    }
}

/// Lets the current process make a file so long.
///
/// # Errors
/// As for [`room`].
pub fn check(len: u64) -> Result<(), Errno> {
    match len > limit() {
        true => Err(exceeded()),
        false => Ok(()),
    }
}

#[cfg(not(test))]
fn limit() -> u64 {
    current()
        .limits()
        .soft(linux_raw_sys::general::RLIMIT_FSIZE)
}

// There are no processes in tests.
#[cfg(test)]
fn limit() -> u64 {
    INFINITY
}

fn exceeded() -> Errno {
    signal::send(current(), Signal::SIGXFSZ);
    Errno::EFBIG
}
