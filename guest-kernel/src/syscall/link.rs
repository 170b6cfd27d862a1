//! Calls about links, hard and symbolic.

use arch::trap::Arguments;
use linux_raw_sys::general as linux;
use mm::{Frame, OutOfMemory, UserSlice};

use crate::fs::calls;
use crate::fs::mount::Location;
use crate::fs::node::Kind;
use crate::fs::path::Links;
use crate::fs::proc_files::ProcFile;
use crate::fs::{self};
use crate::proc::current;
use crate::syscall::path::{HERE, Path, start};
use crate::syscall::{Errno, SyscallResult};

/// `link(from, to)`
pub fn link(&[from, to, ..]: &Arguments) -> SyscallResult {
    link_at([HERE, from], [HERE, to], 0)
}

/// `linkat(directory, from, directory, to, flags)`
pub fn linkat(&[from_fd, from, to_fd, to, flags, ..]: &Arguments) -> SyscallResult {
    link_at([from_fd, from], [to_fd, to], flags as u32)
}

fn link_at([from_fd, from]: [u64; 2], [to_fd, to]: [u64; 2], flags: u32) -> SyscallResult {
    const KNOWN: u32 = linux::AT_SYMLINK_FOLLOW | linux::AT_EMPTY_PATH;
    if flags & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    let (from, to) = (Path::read(from)?, Path::read(to)?);
    if from.bytes().is_empty() && flags & linux::AT_EMPTY_PATH != 0 {
        let file = fs::any_file(from_fd)?;
        let from = file.location().map_err(|_| Errno::EXDEV)?;
        let to_start = start(to_fd, to.bytes())?;
        calls::link_node(&from, (&to_start, to.bytes()))?;
        return Ok(0);
    }
    let links = match flags & linux::AT_SYMLINK_FOLLOW {
        0 => Links::Kept,
        _ => Links::Followed,
    };
    let from_start = start(from_fd, from.bytes())?;
    let to_start = start(to_fd, to.bytes())?;
    calls::link((&from_start, from.bytes()), (&to_start, to.bytes()), links)?;
    Ok(0)
}

/// `symlink(target, path)`
pub fn symlink(&[target, path, ..]: &Arguments) -> SyscallResult {
    symlink_at(target, HERE, path)
}

/// `symlinkat(target, directory, path)`
pub fn symlinkat(&[target, directory, path, ..]: &Arguments) -> SyscallResult {
    symlink_at(target, directory, path)
}

fn symlink_at(target: u64, directory: u64, path: u64) -> SyscallResult {
    let (target, path) = (Path::read(target)?, Path::read(path)?);
    let start = start(directory, path.bytes())?;
    calls::make_link(&start, path.bytes(), target.bytes())?;
    Ok(0)
}

/// `readlink(path, buffer, size)`
pub fn readlink(&[path, buffer, size, ..]: &Arguments) -> SyscallResult {
    readlink_at(HERE, path, buffer, size)
}

/// `readlinkat(directory, path, buffer, size)`
pub fn readlinkat(&[directory, path, buffer, size, ..]: &Arguments) -> SyscallResult {
    readlink_at(directory, path, buffer, size)
}

fn readlink_at(directory: u64, path: u64, buffer: u64, size: u64) -> SyscallResult {
    let size = usize::try_from(size as i32).map_err(|_| Errno::EINVAL)?;
    if size == 0 {
        return Err(Errno::EINVAL);
    }
    let path = Path::read(path)?;
    let is_itself = path.bytes().is_empty() && directory as i32 != linux::AT_FDCWD;
    let Location { mount, node } = match is_itself {
        true => {
            let file = fs::any_file(directory)?;
            file.location().map_err(|_| Errno::ENOENT)?
        }
        false => {
            let start = start(directory, path.bytes())?;
            calls::locate(&start, path.bytes(), Links::Kept)?
        }
    };
    match node.kind() {
        Kind::Proc(ProcFile::Link(link)) => {
            let mut frame = Frame::allocate().ok_or(OutOfMemory)?;
            let text = link.text(&mut frame)?;
            let part = &text[..text.len().min(size)];
            UserSlice::new(buffer, part.len() as u64).copy_out(&current().space(), part)?;
            Ok(part.len() as u64)
        }
        Kind::Link(target) => {
            mount.note_access(&node);
            let target = target.text()?;
            let part = &target[..target.len().min(size)];
            UserSlice::new(buffer, part.len() as u64).copy_out(&current().space(), part)?;
            Ok(part.len() as u64)
        }
        _ if is_itself => Err(Errno::ENOENT),
        _ => Err(Errno::EINVAL),
    }
}
