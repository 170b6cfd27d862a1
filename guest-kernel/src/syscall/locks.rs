//! Calls that lock files: `flock`, and the part of `fcntl` that locks ranges.

use arch::trap::Arguments;
use linux_raw_sys::general as linux;
use mm::{Shared, UserSlice};

use crate::fs::locks::{Kind, LAST, Lock, Owner};
use crate::fs::node::Node;
use crate::fs::{self, OpenFile};
use crate::proc::current;
use crate::syscall::{Errno, SyscallResult};

/// Bytes of a `struct flock`, and where its fields are.
const FLOCK_SIZE: usize = 32;
const START: usize = 8;
const LEN: usize = 16;
const PID: usize = 24;

/// What `l_type` says.
const READ: u16 = linux::F_RDLCK as u16;
const WRITE: u16 = linux::F_WRLCK as u16;
const UNLOCK: u16 = linux::F_UNLCK as u16;

/// `flock(fd, operation)`
pub fn flock(&[fd, operation, ..]: &Arguments) -> SyscallResult {
    let operation = operation as u32;
    let file = fs::file(fd)?;
    let is_exclusive = match operation & !linux::LOCK_NB {
        linux::LOCK_UN => None,
        linux::LOCK_SH => Some(false),
        linux::LOCK_EX => Some(true),
        _ => return Err(Errno::EINVAL),
    };
    let node = node_of(&file)?;
    let lock = Lock {
        owner: Owner::file(&*file),
        pid: current().pid(),
        first: 0,
        last: LAST,
        is_exclusive: is_exclusive == Some(true),
    };
    let locks = node.locks();
    if is_exclusive.is_none() {
        locks.release(Kind::Whole, lock)?;
        return Ok(0);
    }
    let waits = operation & linux::LOCK_NB == 0;
    if locks.conflict(Kind::Whole, &lock).is_some() {
        // As on Linux, who wants another kind of lock and must wait for it gives up its own.
        locks.release(Kind::Whole, lock)?;
    }
    locks.set(Kind::Whole, lock, waits)?;
    file.note_locks();
    Ok(0)
}

/// The node that has a file's locks.
fn node_of(file: &OpenFile) -> Result<&Shared<Node>, Errno> {
    if file.is_path() {
        return Err(Errno::EBADF);
    }
    file.node().ok_or(Errno::ENOLCK)
}

/// `fcntl(fd, command, lock)` with a command about locks of ranges.
pub(super) fn control(file: &Shared<OpenFile>, command: u32, address: u64) -> SyscallResult {
    let is_of_file = matches!(
        command,
        linux::F_OFD_GETLK | linux::F_OFD_SETLK | linux::F_OFD_SETLKW
    );
    let mut bytes = [0; FLOCK_SIZE];
    let place = UserSlice::new(address, FLOCK_SIZE as u64);
    place.copy_in(&current().space(), &mut bytes)?;
    let kind = u16::from_le_bytes([bytes[0], bytes[1]]);
    let (first, last) = range(file, &bytes)?;
    let node = node_of(file)?;
    if is_of_file && bytes[PID..][..4] != [0; 4] {
        return Err(Errno::EINVAL);
    }
    let files = fs::files();
    let lock = Lock {
        owner: match is_of_file {
            true => Owner::file(&**file),
            false => Owner::process(&*files),
        },
        pid: current().pid(),
        first,
        last,
        is_exclusive: kind == WRITE,
    };
    let locks = node.locks();
    if matches!(command, linux::F_GETLK | linux::F_OFD_GETLK) {
        if !matches!(kind, READ | WRITE) {
            return Err(Errno::EINVAL);
        }
        match locks.conflict(Kind::Ranges, &lock) {
            Some(lock) => tell(&lock, &mut bytes),
            None => bytes[..2].copy_from_slice(&UNLOCK.to_le_bytes()),
        }
        place.copy_out(&current().space(), &bytes)?;
        return Ok(0);
    }
    let may = match kind {
        UNLOCK => {
            locks.release(Kind::Ranges, lock)?;
            return Ok(0);
        }
        READ => file.is_readable(),
        WRITE => file.is_writable(),
        _ => return Err(Errno::EINVAL),
    };
    if !may {
        return Err(Errno::EBADF);
    }
    // They may go while this waits: they are noted first.
    match is_of_file {
        true => file.note_locks(),
        false => files.note_locks(),
    }
    let waits = matches!(command, linux::F_SETLKW | linux::F_OFD_SETLKW);
    locks.set(Kind::Ranges, lock, waits)?;
    Ok(0)
}

/// The first and last byte that a `struct flock` means.
fn range(file: &OpenFile, bytes: &[u8; FLOCK_SIZE]) -> Result<(u64, u64), Errno> {
    let number = |at: usize| {
        let word = bytes[at..].first_chunk().copied();
        i64::from_le_bytes(word.unwrap_or_default())
    };
    let whence = u16::from_le_bytes([bytes[2], bytes[3]]);
    let from = match u32::from(whence) {
        linux::SEEK_SET => 0,
        linux::SEEK_CUR => file.offset(),
        linux::SEEK_END => file.len(),
        _ => return Err(Errno::EINVAL),
    };
    let from = i64::try_from(from).map_err(|_| Errno::EOVERFLOW)?;
    let start = from.checked_add(number(START)).ok_or(Errno::EOVERFLOW)?;
    let len = number(LEN);
    let (first, last) = match len {
        0 => (start, i64::MAX),
        1.. => (start, start.checked_add(len - 1).ok_or(Errno::EOVERFLOW)?),
        _ => (start.saturating_add(len), start - 1),
    };
    match (u64::try_from(first), u64::try_from(last)) {
        (Ok(first), Ok(last)) => Ok((first, last)),
        _ => Err(Errno::EINVAL),
    }
}

/// Says which lock there is.
fn tell(lock: &Lock, bytes: &mut [u8; FLOCK_SIZE]) {
    let kind = if lock.is_exclusive { WRITE } else { READ };
    let len = match lock.last {
        LAST => 0,
        last => last - lock.first + 1,
    };
    let pid = match lock.owner {
        Owner::Process(_) => lock.pid as i32,
        Owner::File(_) => -1,
    };
    *bytes = [0; FLOCK_SIZE];
    bytes[..2].copy_from_slice(&kind.to_le_bytes());
    bytes[START..][..8].copy_from_slice(&lock.first.to_le_bytes());
    bytes[LEN..][..8].copy_from_slice(&len.to_le_bytes());
    bytes[PID..][..4].copy_from_slice(&pid.to_le_bytes());
}
