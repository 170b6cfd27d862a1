//! Calls that read and write open files.

use arch::trap::Arguments;

use crate::fs::transfer::UserBytes;
use crate::fs::{self, Object};
use crate::proc::current;
use crate::proc::signal::{self, Signal};
use crate::syscall::{Errno, SyscallResult};

/// `read(fd, buffer, count)`
pub fn read(&[fd, buffer, count, ..]: &Arguments) -> SyscallResult {
    let file = fs::file_inline(fd)?;
    file.read(&mut UserBytes::one(buffer, count)?)
}

/// `write(fd, buffer, count)`
pub fn write(&[fd, buffer, count, ..]: &Arguments) -> SyscallResult {
    let file = fs::file_inline(fd)?;
    let mut source = UserBytes::one(buffer, count)?;
    written(file.write(&mut source))
}

/// `readv(fd, vectors, count)`
pub fn readv(&[fd, vectors, count, ..]: &Arguments) -> SyscallResult {
    let file = fs::file(fd)?;
    file.read(&mut UserBytes::vectors(vectors, count)?)
}

/// `writev(fd, vectors, count)`
pub fn writev(&[fd, vectors, count, ..]: &Arguments) -> SyscallResult {
    let file = fs::file(fd)?;
    let mut source = UserBytes::vectors(vectors, count)?;
    written(file.write(&mut source))
}

/// `pread64(fd, buffer, count, offset)`
pub fn pread64(&[fd, buffer, count, at, ..]: &Arguments) -> SyscallResult {
    let file = fs::file(fd)?;
    let offset = offset(at)?;
    file.read_at(offset, &mut UserBytes::one(buffer, count)?)
}

/// `pwrite64(fd, buffer, count, offset)`
pub fn pwrite64(&[fd, buffer, count, at, ..]: &Arguments) -> SyscallResult {
    let file = fs::file(fd)?;
    let offset = offset(at)?;
    let mut source = UserBytes::one(buffer, count)?;
    written(file.write_at(offset, &mut source))
}

/// Most bytes that one call moves (Linux, MAX_RW_COUNT).
pub(super) const MAX_COUNT: u64 = 0x7fff_f000;

/// A write to a pipe without readers also raises SIGPIPE.
pub(super) fn written(result: SyscallResult) -> SyscallResult {
    if result == Err(Errno::EPIPE) {
        signal::send(current(), Signal::SIGPIPE);
    }
    result
}

/// An offset or length in a file: not negative.
pub fn offset(value: u64) -> Result<u64, Errno> {
    match i64::try_from(value) {
        Ok(_) => Ok(value),
        Err(_) => Err(Errno::EINVAL),
    }
}

/// `lseek(fd, offset, whence)`
pub fn lseek(&[fd, offset, whence, ..]: &Arguments) -> SyscallResult {
    let file = fs::file(fd)?;
    file.seek(offset as i64, whence as u32)
}

/// `ftruncate(fd, length)`
pub fn ftruncate(&[fd, len, ..]: &Arguments) -> SyscallResult {
    let file = fs::file(fd)?;
    file.truncate(offset(len)?)?;
    Ok(0)
}

/// `sync()`: there is nothing behind memory.
pub fn sync(_: &Arguments) -> SyscallResult {
    Ok(0)
}

/// `fsync(fd)` and `fdatasync(fd)`: nothing is kept elsewhere.
pub fn fsync(&[fd, ..]: &Arguments) -> SyscallResult {
    match fs::file(fd)?.object() {
        Object::Node(node) if node.is_directory() || node.pages().is_some() => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}
