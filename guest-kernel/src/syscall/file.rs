//! Calls that read and write open files.

use super::{Errno, SyscallResult};
use crate::arch::trap::Registers;
use crate::fs::OpenFile;
use crate::fs::transfer::{KernelBytes, UserBytes};
use crate::mm::frames::FRAME_SIZE;
use crate::mm::{Frame, OutOfMemory, Shared, UserPtr};
use crate::proc::current;
use crate::proc::signal::{self, Signal};

/// What the descriptor `fd` of the current process stands for.
///
/// # Errors
/// EBADF.
pub fn open_file(fd: u64) -> Result<Shared<OpenFile>, Errno> {
    current().files().get(fd)
}

/// `read(fd, buffer, count)`
pub fn read(registers: &Registers) -> SyscallResult {
    let file = open_file(registers.rdi)?;
    file.read(&mut UserBytes::one(registers.rsi, registers.rdx)?)
}

/// `write(fd, buffer, count)`
pub fn write(registers: &Registers) -> SyscallResult {
    let file = open_file(registers.rdi)?;
    let mut source = UserBytes::one(registers.rsi, registers.rdx)?;
    written(file.write(&mut source))
}

/// `readv(fd, vectors, count)`
pub fn readv(registers: &Registers) -> SyscallResult {
    let file = open_file(registers.rdi)?;
    file.read(&mut UserBytes::vectors(registers.rsi, registers.rdx)?)
}

/// `writev(fd, vectors, count)`
pub fn writev(registers: &Registers) -> SyscallResult {
    let file = open_file(registers.rdi)?;
    let mut source = UserBytes::vectors(registers.rsi, registers.rdx)?;
    written(file.write(&mut source))
}

/// `pread64(fd, buffer, count, offset)`
pub fn pread64(registers: &Registers) -> SyscallResult {
    let file = open_file(registers.rdi)?;
    let offset = offset(registers.r10)?;
    file.read_at(offset, &mut UserBytes::one(registers.rsi, registers.rdx)?)
}

/// `pwrite64(fd, buffer, count, offset)`
pub fn pwrite64(registers: &Registers) -> SyscallResult {
    let file = open_file(registers.rdi)?;
    let offset = offset(registers.r10)?;
    let mut source = UserBytes::one(registers.rsi, registers.rdx)?;
    written(file.write_at(offset, &mut source))
}

/// Who writes to a pipe that nobody reads is told by a signal too.
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
pub fn lseek(registers: &Registers) -> SyscallResult {
    let file = open_file(registers.rdi)?;
    file.seek(registers.rsi as i64, registers.rdx as u32)
}

/// `ftruncate(fd, length)`
pub fn ftruncate(registers: &Registers) -> SyscallResult {
    let file = open_file(registers.rdi)?;
    file.truncate(offset(registers.rsi)?)?;
    Ok(0)
}

/// `sendfile(out, in, offset, count)`: by way of a frame, so that nothing is borrowed while
/// the writer waits.
pub fn sendfile(registers: &Registers) -> SyscallResult {
    let (output, input) = (open_file(registers.rdi)?, open_file(registers.rsi)?);
    let pages = input.pages().map_err(|errno| match errno {
        Errno::EACCES => Errno::EBADF,
        _ => Errno::EINVAL,
    })?;
    let pointer = (registers.rdx != 0).then(|| UserPtr::<u64>::new(registers.rdx));
    let start = match &pointer {
        Some(pointer) => offset(pointer.read(&current().space())?)?,
        None => input.offset(),
    };
    let mut frame = Frame::allocate().ok_or(OutOfMemory)?;
    let mut done = 0;
    while done < registers.r10 {
        let at = start.saturating_add(done);
        let left = pages.len().saturating_sub(at).min(registers.r10 - done);
        let count = left.min(FRAME_SIZE as u64) as usize;
        let buffer = &mut frame.bytes_mut()[..count];
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
pub fn sync(_: &Registers) -> SyscallResult {
    Ok(0)
}

/// `fsync(fd)` and `fdatasync(fd)`
pub fn fsync(registers: &Registers) -> SyscallResult {
    open_file(registers.rdi).map(|_| 0)
}
