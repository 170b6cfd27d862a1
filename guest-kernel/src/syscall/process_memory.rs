//! Calls that copy between the memory of two processes.

use core::ptr;

use arch::trap::Arguments;
use linux_raw_sys::general as linux;
use mm::frames::FRAME_SIZE;
use mm::{AddressSpace, Frame, OutOfMemory, UserPtr, UserSlice};

use crate::fs::transfer::{Source, Target, Transfer, UserBytes};
use crate::proc::capability::Capability;
use crate::proc::process::Process;
use crate::proc::{current, table};
use crate::syscall::{Errno, SyscallResult, pidfd};

/// Bytes of an `iovec`: address and length.
const VECTOR_SIZE: u64 = 16;

/// `process_vm_readv(pid, vectors, count, vectors there, count, flags)`
pub fn process_vm_readv(
    &[pid, vectors, count, remote, remote_count, flags]: &Arguments,
) -> SyscallResult {
    let mut here = UserBytes::vectors(vectors, count)?;
    over_pieces(
        pid,
        remote,
        remote_count,
        flags,
        |space, address, buffer| {
            let wanted = buffer.len().min(here.left());
            let got = match space.get(address, &mut buffer[..wanted]) {
                Ok(()) => wanted,
                Err(_) => 0,
            };
            let mut done = 0;
            while done < got {
                let put = here.put(&buffer[done..got]);
                done += put;
                if put == 0 && here.resolve().is_err() {
                    break;
                }
            }
            (done, wanted)
        },
    )
}

/// `process_vm_writev(pid, vectors, count, vectors there, count, flags)`
pub fn process_vm_writev(
    &[pid, vectors, count, remote, remote_count, flags]: &Arguments,
) -> SyscallResult {
    let mut here = UserBytes::vectors(vectors, count)?;
    over_pieces(
        pid,
        remote,
        remote_count,
        flags,
        |space, address, buffer| {
            let wanted = buffer.len().min(here.left());
            let mut got = 0;
            while got < wanted {
                let taken = here.take(&mut buffer[got..wanted]);
                got += taken;
                if taken == 0 && here.resolve().is_err() {
                    break;
                }
            }
            match space.put(address, &buffer[..got]) {
                Ok(()) => (got, wanted),
                Err(_) => (0, wanted),
            }
        },
    )
}

/// Calls `copy` with each part, no larger than a page and on one, of what the vectors at `remote`
/// refer to, and a buffer of that size. It says how much it has copied, and how much there
/// was to copy, which is less than a part at the end of the memory here.
fn over_pieces(
    pid: u64,
    remote: u64,
    count: u64,
    flags: u64,
    mut copy: impl FnMut(&AddressSpace, u64, &mut [u8]) -> (usize, usize),
) -> SyscallResult {
    if flags != 0 || count > linux::UIO_MAXIOV.into() {
        return Err(Errno::EINVAL);
    }
    let process = table::process(pid as u32).filter(|process| process.is_alive());
    let process = process.ok_or(Errno::ESRCH)?;
    check_inspectable(process)?;
    let (here, there) = (current().space(), process.space());
    let mut frame = Frame::allocate().ok_or(OutOfMemory)?;
    let mut done = 0;
    for number in 0..count {
        let mut bytes = [0; VECTOR_SIZE as usize];
        let vector = UserSlice::new(remote.wrapping_add(number * VECTOR_SIZE), VECTOR_SIZE);
        vector.copy_in(&here, &mut bytes)?;
        let (words, _) = bytes.as_chunks::<8>();
        let [start, len] = [0, 1].map(|word| u64::from_le_bytes(words[word]));
        let mut at = 0;
        while at < len {
            let address = start.wrapping_add(at);
            let on_page = FRAME_SIZE - address as usize % FRAME_SIZE;
            let part = (len - at).min(on_page as u64) as usize;
            let (copied, wanted) = copy(&there, address, &mut frame.bytes_mut()[..part]);
            done += copied as u64;
            at += copied as u64;
            if copied < wanted && done == 0 {
                return Err(Errno::EFAULT);
            }
            if copied < part {
                return Ok(done);
            }
        }
    }
    Ok(done)
}

/// Fails unless the current process may look into another, or it is itself.
///
/// # Errors
/// EPERM.
pub(super) fn check_inspectable(process: &Process) -> Result<(), Errno> {
    match current().may_look_into(process, |ids| ids.real) {
        true => Ok(()),
        false => Err(Errno::EPERM),
    }
}

/// `process_madvise(pidfd, vectors, count, advice, flags)`: what has no effect on contents; it has
/// none on anything here.
pub fn process_madvise(&[fd, vectors, count, advice, flags, ..]: &Arguments) -> SyscallResult {
    if flags as u32 != 0 || count > linux::UIO_MAXIOV.into() {
        return Err(Errno::EINVAL);
    }
    let process = pidfd::process_of(fd)?;
    check_inspectable(process).map_err(|_| Errno::EACCES)?;
    let is_known = matches!(
        advice as u32,
        linux::MADV_COLD | linux::MADV_PAGEOUT | linux::MADV_WILLNEED | linux::MADV_COLLAPSE
    );
    if !is_known {
        return Err(Errno::EINVAL);
    }
    if !ptr::eq(process, current()) {
        current().require(Capability::SysNice)?;
    }
    if !process.is_alive() {
        return Err(Errno::ESRCH);
    }
    let (here, there) = (current().space(), process.space());
    let mut done = 0;
    for number in 0..count {
        let at = vectors.wrapping_add(number * VECTOR_SIZE);
        let [start, len]: [u64; 2] = UserPtr::new(at).read(&here)?;
        match there.check_mapped(start, len) {
            Ok(()) => done += len,
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(done)
}
