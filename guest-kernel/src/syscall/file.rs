//! Calls that read and write open files.

use arch::trap::Arguments;
use mm::frames::FRAME_SIZE;
use mm::{Frame, OutOfMemory, UserPtr};

use crate::fs;
use crate::fs::transfer::{KernelBytes, UserBytes};
use crate::proc::current;
use crate::proc::signal::{self, Signal};
use crate::syscall::{Errno, SyscallResult};

/// `read(fd, buffer, count)`
pub fn read(&[fd, buffer, count, ..]: &Arguments) -> SyscallResult {
    let file = fs::file(fd)?;
    file.read(&mut UserBytes::one(buffer, count)?)
}

/// `write(fd, buffer, count)`
pub fn write(&[fd, buffer, count, ..]: &Arguments) -> SyscallResult {
    let file = fs::file(fd)?;
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

/// A write to a pipe without readers also raises SIGPIPE.
fn written(result: SyscallResult) -> SyscallResult {
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

/// `sendfile(output, input, start, count)`: through a frame, so that nothing is borrowed
/// while the writer waits.
pub fn sendfile(&[output, input, start, count, ..]: &Arguments) -> SyscallResult {
    let (output, input) = (fs::file(output)?, fs::file(input)?);
    let pages = input.pages().map_err(|errno| match errno {
        Errno::EACCES => Errno::EBADF,
        _ => Errno::EINVAL,
    })?;
    let pointer = (start != 0).then(|| UserPtr::<u64>::new(start));
    let start = match &pointer {
        Some(pointer) => offset(pointer.read(&current().space())?)?,
        None => input.offset(),
    };
    let mut frame = Frame::allocate().ok_or(OutOfMemory)?;
    let mut done = 0;
    while done < count {
        let at = start.saturating_add(done);
        let left = pages.len().saturating_sub(at).min(count - done);
        let len = left.min(FRAME_SIZE as u64) as usize;
        let buffer = &mut frame.bytes_mut()[..len];
        pages.copy_at(at, buffer);
        let sent = match written(output.write(&mut KernelBytes(buffer))) {
            Err(errno) if done == 0 => return Err(errno),
            result => result.unwrap_or(0),
        };
        done += sent;
        if sent < FRAME_SIZE as u64 {
            break;
        }
    }
    match pointer {
        Some(pointer) => pointer.write(&current().space(), &(start + done))?,
        None => input.set_offset(start + done),
    }
    Ok(done)
}

/// `sync()`: there is nothing behind memory.
pub fn sync(_: &Arguments) -> SyscallResult {
    Ok(0)
}

/// `fsync(fd)` and `fdatasync(fd)`
pub fn fsync(&[fd, ..]: &Arguments) -> SyscallResult {
    fs::file(fd).map(|_| 0)
}
