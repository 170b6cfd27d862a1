//! Calls that name files by paths.

use core::ops::Deref;

use arch::trap::Arguments;
use linux_raw_sys::general as linux;
use mm::frames::FRAME_SIZE;
use mm::{Frame, OutOfMemory, Shared, UserSlice};

use crate::fs::mount::Location;
use crate::fs::path::{Links, Start};
use crate::fs::{self, Surroundings, calls, permission};
use crate::proc::capability::Capability;
use crate::proc::current;
use crate::syscall::file::offset;
use crate::syscall::{Errno, SyscallResult, attributes, descriptor};

/// The start of paths of calls without a directory: the working directory.
pub const HERE: u64 = linux::AT_FDCWD as u64;

/// Bytes of a path that are copied at a time: most are shorter.
const CHUNK: usize = 64;

/// A path of a program, copied.
pub struct Path {
    frame: Frame,
    len: usize,
}

impl Path {
    /// Copies the string at `address`.
    ///
    /// # Errors
    /// EFAULT; ENAMETOOLONG: with its zero longer than a frame, as PATH_MAX is; ENOMEM.
    pub fn read(address: u64) -> Result<Self, Errno> {
        const _: () = assert!(linux::PATH_MAX as usize == FRAME_SIZE);
        let mut frame = Frame::allocate().ok_or(OutOfMemory)?;
        let buffer = frame.bytes_mut();
        let mut len = 0;
        while len < FRAME_SIZE {
            // No chunk crosses a page: bytes past the string may not be there.
            let at = address.wrapping_add(len as u64);
            let on_page = FRAME_SIZE - at as usize % FRAME_SIZE;
            let count = CHUNK.min(on_page).min(FRAME_SIZE - len);
            let slice = UserSlice::new(at, count as u64);
            let chunk = slice.copy_in(&current().space(), &mut buffer[len..])?;
            if let Some(end) = chunk.iter().position(|&byte| byte == 0) {
                len += end;
                return Ok(Self { frame, len });
            }
            len += count;
        }
        Err(Errno::ENAMETOOLONG)
    }

    /// The path, without its zero.
    pub fn bytes(&self) -> &[u8] {
        &self.frame.bytes()[..self.len]
    }
}

/// Where the paths of a call start.
pub enum Base {
    /// Where all paths of the process do.
    Here(Shared<Start>),
    /// In a directory that the call has a descriptor for.
    At(Start),
}

impl Deref for Base {
    type Target = Start;

    fn deref(&self) -> &Start {
        match self {
            Self::Here(start) => start,
            Self::At(start) => start,
        }
    }
}

/// Where `path` starts for a call with the directory `fd`: the working directory for
/// AT_FDCWD, and no matter which for an absolute path.
///
/// # Errors
/// EBADF, ENOTDIR; ENOENT: there is no path at all.
pub fn start(fd: u64, path: &[u8]) -> Result<Base, Errno> {
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    let start = fs::here()?;
    if fd as i32 == linux::AT_FDCWD || path.starts_with(b"/") {
        return Ok(Base::Here(start));
    }
    Ok(Base::At(Start {
        root: start.root.clone(),
        directory: calls::directory(fs::any_file(fd)?.location()?)?,
        rules: start.rules,
    }))
}

/// Where the current process's paths start, to be changed.
fn surroundings() -> Result<Shared<Surroundings>, Errno> {
    fs::surroundings(current()).ok_or(Errno::ESRCH)
}

/// `open(path, flags, mode)`
pub fn open(&[path, flags, mode, ..]: &Arguments) -> SyscallResult {
    open_at(HERE, path, flags, mode)
}

/// `openat(directory, path, flags, mode)`
pub fn openat(&[directory, path, flags, mode, ..]: &Arguments) -> SyscallResult {
    open_at(directory, path, flags, mode)
}

/// `creat(path, mode)`
pub fn creat(&[path, mode, ..]: &Arguments) -> SyscallResult {
    let flags = linux::O_CREAT | linux::O_WRONLY | linux::O_TRUNC;
    open_at(HERE, path, flags.into(), mode)
}

fn open_at(directory: u64, path: u64, flags: u64, mode: u64) -> SyscallResult {
    let flags = flags as u32;
    let path = Path::read(path)?;
    let start = start(directory, path.bytes())?;
    open_from(&start, path.bytes(), flags, mode)
}

/// Opens what is there, as a new descriptor.
pub(super) fn open_from(start: &Start, path: &[u8], flags: u32, mode: u64) -> SyscallResult {
    let files = fs::files();
    files.check_room(descriptor::limit())?;
    let mode = mode as u32 & !fs::mask();
    let file = calls::open(start, path, flags, mode)?;
    descriptor::add(file, 0, flags & linux::O_CLOEXEC != 0)
}

/// `mkdir(path, mode)`
pub fn mkdir(&[path, mode, ..]: &Arguments) -> SyscallResult {
    make_directory_at(HERE, path, mode)
}

/// `mkdirat(directory, path, mode)`
pub fn mkdirat(&[directory, path, mode, ..]: &Arguments) -> SyscallResult {
    make_directory_at(directory, path, mode)
}

fn make_directory_at(directory: u64, path: u64, mode: u64) -> SyscallResult {
    let path = Path::read(path)?;
    let start = start(directory, path.bytes())?;
    let mode = mode as u32 & !fs::mask();
    calls::make_directory(&start, path.bytes(), mode)?;
    Ok(0)
}

/// `unlink(path)`
pub fn unlink(&[path, ..]: &Arguments) -> SyscallResult {
    remove_at(HERE, path, 0)
}

/// `rmdir(path)`
pub fn rmdir(&[path, ..]: &Arguments) -> SyscallResult {
    remove_at(HERE, path, linux::AT_REMOVEDIR)
}

/// `unlinkat(directory, path, flags)`
pub fn unlinkat(&[directory, path, flags, ..]: &Arguments) -> SyscallResult {
    remove_at(directory, path, flags as u32)
}

fn remove_at(directory: u64, path: u64, flags: u32) -> SyscallResult {
    let path = Path::read(path)?;
    let start = start(directory, path.bytes())?;
    match flags {
        0 => calls::remove_file(&start, path.bytes())?,
        linux::AT_REMOVEDIR => calls::remove_directory(&start, path.bytes())?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// `rename(from, to)`
pub fn rename(&[from, to, ..]: &Arguments) -> SyscallResult {
    rename_at([HERE, from], [HERE, to], 0)
}

/// `renameat(directory, from, directory, to)`
pub fn renameat(&[from_directory, from, to_directory, to, ..]: &Arguments) -> SyscallResult {
    rename_at([from_directory, from], [to_directory, to], 0)
}

/// `renameat2(directory, from, directory, to, flags)`
pub fn renameat2(
    &[from_directory, from, to_directory, to, flags, ..]: &Arguments,
) -> SyscallResult {
    rename_at([from_directory, from], [to_directory, to], flags as u32)
}

fn rename_at(from: [u64; 2], to: [u64; 2], flags: u32) -> SyscallResult {
    let ([from_fd, from], [to_fd, to]) = (from, to);
    let (from, to) = (Path::read(from)?, Path::read(to)?);
    let from_start = start(from_fd, from.bytes())?;
    let to_start = start(to_fd, to.bytes())?;
    calls::rename((&from_start, from.bytes()), (&to_start, to.bytes()), flags)?;
    Ok(0)
}

/// `truncate(path, length)`
pub fn truncate(&[path, len, ..]: &Arguments) -> SyscallResult {
    let path = Path::read(path)?;
    let start = start(HERE, path.bytes())?;
    calls::truncate(&start, path.bytes(), offset(len)?)?;
    Ok(0)
}

/// `access(path, mode)`
pub fn access(&[path, mode, ..]: &Arguments) -> SyscallResult {
    access_at(HERE, path, mode, 0)
}

/// `faccessat(directory, path, mode)`
pub fn faccessat(&[directory, path, mode, ..]: &Arguments) -> SyscallResult {
    access_at(directory, path, mode, 0)
}

/// `faccessat2(directory, path, mode, flags)`
pub fn faccessat2(&[directory, path, mode, flags, ..]: &Arguments) -> SyscallResult {
    access_at(directory, path, mode, flags as u32)
}

fn access_at(directory: u64, path: u64, mode: u64, flags: u32) -> SyscallResult {
    let check = || {
        let opened = attributes::opened_at(directory, path, flags & !linux::AT_EACCESS)?;
        calls::check_access(&opened.location(), mode as u32)
    };
    match flags & linux::AT_EACCESS {
        0 => permission::as_real(check)?,
        _ => check()?,
    }
    Ok(0)
}

/// `chdir(path)`
pub fn chdir(&[path, ..]: &Arguments) -> SyscallResult {
    let path = Path::read(path)?;
    let start = start(HERE, path.bytes())?;
    set_directory(calls::locate(&start, path.bytes(), Links::Followed)?)
}

fn set_directory(location: Location) -> SyscallResult {
    let directory = calls::directory(location)?;
    permission::check(&directory.node, permission::EXECUTE)?;
    surroundings()?.set_directory(directory)?;
    Ok(0)
}

/// `fchdir(fd)`
pub fn fchdir(&[fd, ..]: &Arguments) -> SyscallResult {
    set_directory(fs::any_file(fd)?.location()?)
}

/// `chroot(path)`
pub fn chroot(&[path, ..]: &Arguments) -> SyscallResult {
    let path = Path::read(path)?;
    let start = start(HERE, path.bytes())?;
    let location = calls::locate(&start, path.bytes(), Links::Followed)?;
    let directory = calls::directory(location)?;
    permission::check(&directory.node, permission::EXECUTE)?;
    current().require(Capability::SysChroot)?;
    surroundings()?.set_root(directory)?;
    Ok(0)
}

/// `getcwd(buffer, size)`: the length with its zero.
pub fn getcwd(&[buffer, size, ..]: &Arguments) -> SyscallResult {
    let start = fs::here()?;
    let mut frame = Frame::allocate().ok_or(OutOfMemory)?;
    let (zero, room) = frame
        .bytes_mut()
        .split_last_mut()
        .ok_or(Errno::ENAMETOOLONG)?;
    *zero = 0;
    let len = calls::path_of(&start, room)?.len() + 1;
    if (len as u64) > size {
        return Err(Errno::ERANGE);
    }
    let path = &frame.bytes()[FRAME_SIZE - len..];
    UserSlice::new(buffer, len as u64).copy_out(&current().space(), path)?;
    Ok(len as u64)
}

/// `umask(mask)`
pub fn umask(&[mask, ..]: &Arguments) -> SyscallResult {
    Ok(surroundings()?.set_mask(mask as u32).into())
}
