//! Calls about the space that files take, and hints of what will be read. All of a file is in
//! memory, so that there is nothing to fetch and nothing behind it to write to.

use arch::trap::Arguments;
use linux_raw_sys::general as linux;

use crate::fs::{self, notify, open_file, regular};
use crate::syscall::{Errno, SyscallResult};

/// `fallocate(fd, mode, offset, length)`: makes a file as long as that, if it is to be, for
/// which no memory is set aside; or a hole. The rest is refused, as of any tmpfs.
pub fn fallocate(&[fd, mode, offset, len, ..]: &Arguments) -> SyscallResult {
    let file = fs::file(fd)?;
    let (Ok(offset), Ok(len @ 1..)) = (i64::try_from(offset), i64::try_from(len)) else {
        return Err(Errno::EINVAL);
    };
    const HOLE: u32 = linux::FALLOC_FL_PUNCH_HOLE | linux::FALLOC_FL_KEEP_SIZE;
    let mode = mode as u32;
    if ![0, linux::FALLOC_FL_KEEP_SIZE, HOLE].contains(&mode) {
        return Err(Errno::EOPNOTSUPP);
    }
    if !file.is_writable() {
        return Err(Errno::EBADF);
    }
    if file.is_pipe() {
        return Err(Errno::ESPIPE);
    }
    let (node, pages) = match file.node().map(|node| (node, node.pages())) {
        Some((node, Some(pages))) => (node, pages),
        Some((node, _)) if node.is_directory() => return Err(Errno::EISDIR),
        _ => return Err(Errno::ENODEV),
    };
    let end = offset.checked_add(len).ok_or(Errno::EFBIG)? as u64;
    if mode == HOLE {
        regular::punch(pages, offset as u64, len as u64)?;
        node.times().note_modification();
    } else if mode == 0 && end > file.len() {
        open_file::set_len(node, pages, end)?;
    }
    notify::file(&file, notify::MODIFY);
    Ok(0)
}

/// `fadvise64(fd, offset, length, advice)`
pub fn fadvise64(&[fd, _, len, advice, ..]: &Arguments) -> SyscallResult {
    let file = fs::file(fd)?;
    if file.is_pipe() {
        return Err(Errno::ESPIPE);
    }
    match i64::try_from(len).is_ok() && advice as u32 <= linux::POSIX_FADV_NOREUSE {
        true => Ok(0),
        false => Err(Errno::EINVAL),
    }
}

/// `readahead(fd, offset, count)`
pub fn readahead(&[fd, ..]: &Arguments) -> SyscallResult {
    let file = fs::file(fd)?;
    if !file.is_readable() {
        return Err(Errno::EBADF);
    }
    match file.pages() {
        Ok(_) => Ok(0),
        Err(_) => Err(Errno::EINVAL),
    }
}

/// `sync_file_range(fd, offset, length, flags)`
pub fn sync_file_range(&[fd, offset, len, flags, ..]: &Arguments) -> SyscallResult {
    const FLAGS: u32 = linux::SYNC_FILE_RANGE_WAIT_BEFORE
        | linux::SYNC_FILE_RANGE_WRITE
        | linux::SYNC_FILE_RANGE_WAIT_AFTER;
    let file = fs::file(fd)?;
    let end = offset.checked_add(len);
    let is_range = [Some(offset), Some(len), end]
        .iter()
        .all(|number| number.is_some_and(|number| i64::try_from(number).is_ok()));
    if flags as u32 & !FLAGS != 0 || !is_range {
        return Err(Errno::EINVAL);
    }
    match file.node() {
        Some(node) if node.pages().is_some() || node.is_directory() => Ok(0),
        _ => Err(Errno::ESPIPE),
    }
}

/// `syncfs(fd)`
pub fn syncfs(&[fd, ..]: &Arguments) -> SyscallResult {
    fs::file(fd).map(|_| 0)
}
