//! Files, pipes and directories: everything that is a descriptor (R22).

use core::ffi::CStr;
use core::mem::MaybeUninit;

use linux_raw_sys::general as linux;
pub use linux_raw_sys::general::{
    O_APPEND, O_CLOEXEC, O_CREAT, O_DIRECTORY, O_EXCL, O_NONBLOCK, O_RDONLY, O_RDWR, O_TRUNC,
    O_WRONLY, POLLHUP, POLLIN, POLLNVAL, POLLOUT, SEEK_CUR, SEEK_END, SEEK_SET, pollfd as PollFd,
    stat as Stat,
};

use crate::syscall::{self, Errno, Result, call};

/// A descriptor.
pub type Fd = u32;

/// Standard input.
pub const STDIN: Fd = 0;
const NEW_FILE_MODE: u64 = 0o644;
const NEW_DIRECTORY_MODE: u64 = 0o755;
/// The lowest four bits of the upper half of the mode: the type of the file.
const MODE_TYPE: u32 = linux::S_IFMT;

/// Opens a file; a new one gets mode 644.
pub fn open(path: &CStr, flags: u32) -> Result<Fd> {
    let cwd = i64::from(linux::AT_FDCWD) as u64;
    let arguments = [cwd, path.as_ptr() as u64, flags.into(), NEW_FILE_MODE];
    // SAFETY: the kernel reads a string that ends with a zero.
    unsafe { call(linux::__NR_openat, arguments) }.map(|fd| fd as Fd)
}

/// Closes a descriptor.
pub fn close(fd: Fd) -> Result<()> {
    // SAFETY: touches no memory.
    unsafe { call(linux::__NR_close, [fd.into()]) }.map(drop)
}

/// Reads up to as many bytes as `buffer` has; 0 is the end of the file.
pub fn read(fd: Fd, buffer: &mut [u8]) -> Result<usize> {
    let arguments = [fd.into(), buffer.as_mut_ptr() as u64, buffer.len() as u64];
    // SAFETY: the kernel writes into the buffer only.
    unsafe { call(linux::__NR_read, arguments) }.map(|count| count as usize)
}

/// Reads until `buffer` is full or the file ends; says how many bytes there were.
pub fn read_full(fd: Fd, buffer: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match read(fd, &mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

/// Writes all of `bytes`.
pub fn write_all(fd: Fd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        let count = syscall::write(fd, bytes)?;
        bytes = &bytes[count as usize..];
    }
    Ok(())
}

/// Moves the offset of the open file and returns the new one.
pub fn seek(fd: Fd, offset: i64, whence: u32) -> Result<u64> {
    // SAFETY: touches no memory.
    unsafe { call(linux::__NR_lseek, [fd.into(), offset as u64, whence.into()]) }
}

/// A second descriptor, the lowest free one, for the same open file.
pub fn dup(fd: Fd) -> Result<Fd> {
    // SAFETY: touches no memory.
    unsafe { call(linux::__NR_dup, [fd.into()]) }.map(|fd| fd as Fd)
}

/// Makes `new` a descriptor of the open file of `old`.
pub fn dup2(old: Fd, new: Fd) -> Result<Fd> {
    // SAFETY: touches no memory.
    unsafe { call(linux::__NR_dup2, [old.into(), new.into()]) }.map(|fd| fd as Fd)
}

/// A pipe: the end to read and the end to write.
pub fn pipe(flags: u32) -> Result<(Fd, Fd)> {
    let mut ends = [0_u32; 2];
    let arguments = [ends.as_mut_ptr() as u64, flags.into()];
    // SAFETY: the kernel writes two integers to where there are two.
    unsafe { call(linux::__NR_pipe2, arguments) }?;
    Ok((ends[0], ends[1]))
}

/// What the file of a descriptor is.
pub fn stat(fd: Fd) -> Result<Stat> {
    let mut stat = MaybeUninit::uninit();
    let arguments = [fd.into(), stat.as_mut_ptr() as u64];
    // SAFETY: the kernel writes a `Stat` to where there is room for one, or fails.
    unsafe {
        call(linux::__NR_fstat, arguments)?;
        Ok(stat.assume_init())
    }
}

/// Whether this is a directory.
pub fn is_directory(stat: &Stat) -> bool {
    stat.st_mode & MODE_TYPE == linux::S_IFDIR
}

/// Makes a directory.
pub fn make_directory(path: &CStr) -> Result<()> {
    let arguments = [path.as_ptr() as u64, NEW_DIRECTORY_MODE];
    // SAFETY: the kernel reads a string that ends with a zero.
    unsafe { call(linux::__NR_mkdir, arguments) }.map(drop)
}

/// Removes an empty directory.
pub fn remove_directory(path: &CStr) -> Result<()> {
    // SAFETY: the kernel reads a string that ends with a zero.
    unsafe { call(linux::__NR_rmdir, [path.as_ptr() as u64]) }.map(drop)
}

/// Removes a file's name.
pub fn unlink(path: &CStr) -> Result<()> {
    // SAFETY: the kernel reads a string that ends with a zero.
    unsafe { call(linux::__NR_unlink, [path.as_ptr() as u64]) }.map(drop)
}

/// Renames a file.
pub fn rename(old: &CStr, new: &CStr) -> Result<()> {
    let arguments = [old.as_ptr() as u64, new.as_ptr() as u64];
    // SAFETY: the kernel reads strings that end with a zero.
    unsafe { call(linux::__NR_rename, arguments) }.map(drop)
}

/// Changes the working directory.
pub fn change_directory(path: &CStr) -> Result<()> {
    // SAFETY: the kernel reads a string that ends with a zero.
    unsafe { call(linux::__NR_chdir, [path.as_ptr() as u64]) }.map(drop)
}

/// The working directory's path.
pub fn current_directory(buffer: &mut [u8]) -> Result<&str> {
    let arguments = [buffer.as_mut_ptr() as u64, buffer.len() as u64];
    // SAFETY: the kernel writes into the buffer only.
    unsafe { call(linux::__NR_getcwd, arguments) }?;
    let text = CStr::from_bytes_until_nul(buffer).map_err(|_| Errno::ERANGE)?;
    text.to_str().map_err(|_| Errno::ERANGE)
}

/// Calls `each` with every name in a directory but `.` and `..`, in the kernel's order.
pub fn for_each_name(directory: Fd, mut each: impl FnMut(&CStr)) -> Result<()> {
    /// Of a `linux_dirent64`: inode, offset, then these two, the type and the name.
    const LENGTH: usize = 16;
    const NAME: usize = 19;
    let mut buffer = [0_u8; 1024];
    loop {
        let address = buffer.as_mut_ptr() as u64;
        let arguments = [directory.into(), address, buffer.len() as u64];
        // SAFETY: the kernel writes into the buffer only.
        let filled = unsafe { call(linux::__NR_getdents64, arguments) }? as usize;
        let mut rest = &buffer[..filled];
        if rest.is_empty() {
            return Ok(());
        }
        while rest.len() > NAME {
            let length = usize::from(u16::from_le_bytes([rest[LENGTH], rest[LENGTH + 1]]));
            if let Ok(name) = CStr::from_bytes_until_nul(&rest[NAME..length])
                && name != c"."
                && name != c".."
            {
                each(name);
            }
            rest = &rest[length..];
        }
    }
}

/// Waits until a descriptor of `read` can be read or one of `write` written, of the first
/// 64, or until the time is over; with exactly the signals in `blocked` blocked meanwhile.
/// The sets are those that are ready then; says how many are.
pub fn select(
    read: &mut u64,
    write: &mut u64,
    timeout_ms: Option<i64>,
    blocked: Option<u64>,
) -> Result<u64> {
    let mut timeout = timeout_ms.map(|ms| [ms / 1000, ms % 1000 * 1_000_000]);
    let timeout = timeout.as_mut();
    let timeout = timeout.map_or(0, |timeout| timeout.as_mut_ptr() as u64);
    let set = blocked.as_ref().map_or(0, |set| &raw const *set as u64);
    let signals = [set, size_of::<u64>() as u64];
    let (read, write) = (&raw mut *read as u64, &raw mut *write as u64);
    let signals = signals.as_ptr() as u64;
    let arguments = [u64::BITS.into(), read, write, 0, timeout, signals];
    // SAFETY: the kernel writes into the two sets and the timeout, all of which are this
    // function's to change.
    unsafe { call(linux::__NR_pselect6, arguments) }
}

/// Waits until one of `files` is ready or `timeout_ms` are over (-1: for ever); says how
/// many are.
pub fn poll(files: &mut [PollFd], timeout_ms: i32) -> Result<usize> {
    let timeout = i64::from(timeout_ms) as u64;
    let arguments = [files.as_mut_ptr() as u64, files.len() as u64, timeout];
    // SAFETY: the kernel writes into `files` only.
    unsafe { call(linux::__NR_poll, arguments) }.map(|count| count as usize)
}
