//! Calls about extended attributes (Linux, xattr(7)).

use arch::trap::Arguments;
use linux_raw_sys::general as linux;
use mm::frames::FRAME_SIZE;
use mm::{Frame, OutOfMemory, UserSlice};

use crate::fs;
use crate::fs::mount::Kind;
use crate::fs::node::Node;
use crate::fs::notify;
use crate::fs::opened::Opened;
use crate::fs::permission::{self, READ, WRITE};
use crate::proc::capability::Capability;
use crate::proc::current;
use crate::syscall::attributes::{opened_at, opened_of};
use crate::syscall::path::{HERE, Path};
use crate::syscall::{Errno, SyscallResult};

/// A symbolic link at the end of a path is followed.
const FOLLOW: u32 = 0;
const KEEP: u32 = linux::AT_SYMLINK_NOFOLLOW;

/// `setxattr(path, name, value, size, flags)`
pub fn setxattr(&[path, name, value, size, flags, ..]: &Arguments) -> SyscallResult {
    set(|| opened_at(HERE, path, FOLLOW), name, [value, size], flags)
}

/// `lsetxattr(path, name, value, size, flags)`
pub fn lsetxattr(&[path, name, value, size, flags, ..]: &Arguments) -> SyscallResult {
    set(|| opened_at(HERE, path, KEEP), name, [value, size], flags)
}

/// `fsetxattr(fd, name, value, size, flags)`
pub fn fsetxattr(&[fd, name, value, size, flags, ..]: &Arguments) -> SyscallResult {
    set(|| of_descriptor(fd), name, [value, size], flags)
}

/// `getxattr(path, name, value, size)`
pub fn getxattr(&[path, name, value, size, ..]: &Arguments) -> SyscallResult {
    get(|| opened_at(HERE, path, FOLLOW), name, [value, size])
}

/// `lgetxattr(path, name, value, size)`
pub fn lgetxattr(&[path, name, value, size, ..]: &Arguments) -> SyscallResult {
    get(|| opened_at(HERE, path, KEEP), name, [value, size])
}

/// `fgetxattr(fd, name, value, size)`
pub fn fgetxattr(&[fd, name, value, size, ..]: &Arguments) -> SyscallResult {
    get(|| of_descriptor(fd), name, [value, size])
}

/// `listxattr(path, list, size)`
pub fn listxattr(&[path, list, size, ..]: &Arguments) -> SyscallResult {
    list_of(&opened_at(HERE, path, FOLLOW)?.node, [list, size])
}

/// `llistxattr(path, list, size)`
pub fn llistxattr(&[path, list, size, ..]: &Arguments) -> SyscallResult {
    list_of(&opened_at(HERE, path, KEEP)?.node, [list, size])
}

/// `flistxattr(fd, list, size)`
pub fn flistxattr(&[fd, list, size, ..]: &Arguments) -> SyscallResult {
    match fs::file(fd)?.node() {
        Some(node) => list_of(node, [list, size]),
        None => Ok(0),
    }
}

/// `removexattr(path, name)`
pub fn removexattr(&[path, name, ..]: &Arguments) -> SyscallResult {
    remove(|| opened_at(HERE, path, FOLLOW), name)
}

/// `lremovexattr(path, name)`
pub fn lremovexattr(&[path, name, ..]: &Arguments) -> SyscallResult {
    remove(|| opened_at(HERE, path, KEEP), name)
}

/// `fremovexattr(fd, name)`
pub fn fremovexattr(&[fd, name, ..]: &Arguments) -> SyscallResult {
    remove(|| of_descriptor(fd), name)
}

/// What an open file was opened by: what has no node has no attributes.
fn of_descriptor(fd: u64) -> Result<Opened, Errno> {
    opened_of(&*fs::file(fd)?).map_err(|errno| match errno {
        Errno::EPERM => Errno::EOPNOTSUPP,
        other => other,
    })
}

/// The name at `address`.
fn name_at(address: u64) -> Result<Path, Errno> {
    let name = Path::read(address).map_err(|errno| match errno {
        Errno::ENAMETOOLONG => Errno::ERANGE,
        other => other,
    })?;
    match name.bytes().len() {
        0 => Err(Errno::ERANGE),
        len if len > linux::XATTR_NAME_MAX as usize => Err(Errno::ERANGE),
        _ => Ok(name),
    }
}

/// Who may have attributes of a kind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Space {
    /// Who may read and write the file, which is a file or directory.
    User,
    /// The superuser.
    Trusted,
    /// The superuser sets them, and all see them.
    Security,
}

fn space_of(name: &[u8]) -> Result<Space, Errno> {
    let spaces = [
        (&b"user."[..], Space::User),
        (b"trusted.", Space::Trusted),
        (b"security.", Space::Security),
    ];
    let mut found = spaces.iter().filter(|(prefix, _)| name.starts_with(prefix));
    match found.next() {
        Some(&(_, space)) => Ok(space),
        None => Err(Errno::EOPNOTSUPP),
    }
}

/// Fails unless the process may use attributes of this kind of the node in this way.
fn check(opened: &Opened, name: &[u8], wanted: u32) -> Result<(), Errno> {
    let (node, is_write) = (&opened.node, wanted == WRITE);
    if is_write {
        opened.mount.check_writable()?;
    }
    let refused = match is_write {
        true => Errno::EPERM,
        false => Errno::ENODATA,
    };
    let is_privileged = current().may(Capability::SysAdmin);
    let space = space_of(name);
    match space {
        Ok(Space::Trusted) if !is_privileged => return Err(refused),
        Ok(Space::Security) if !is_privileged && is_write => return Err(Errno::EPERM),
        Ok(Space::User) => {
            let is_directory = node.is_directory();
            if !is_directory && node.mode() & linux::S_IFMT != linux::S_IFREG {
                return Err(refused);
            }
            let is_sticky = is_directory && node.mode() & linux::S_ISVTX != 0;
            if is_sticky && is_write && !permission::owns(node) {
                return Err(Errno::EPERM);
            }
        }
        _ => {}
    }
    if matches!(space, Ok(Space::User) | Err(_)) {
        permission::check(node, wanted)?;
    }
    space?;
    // What is generated keeps nothing.
    let is_generated = matches!(
        opened.mount.file_system().kind(),
        Kind::Proc | Kind::Terminals
    );
    let names_none = name.iter().position(|&byte| byte == b'.') == Some(name.len() - 1);
    match (is_generated, names_none) {
        (true, _) => Err(Errno::EOPNOTSUPP),
        (_, true) => Err(Errno::EINVAL),
        _ => Ok(()),
    }
}

fn set(
    find: impl FnOnce() -> Result<Opened, Errno>,
    name: u64,
    [value, size]: [u64; 2],
    flags: u64,
) -> SyscallResult {
    let flags = flags as u32;
    if flags & !(linux::XATTR_CREATE | linux::XATTR_REPLACE) != 0 {
        return Err(Errno::EINVAL);
    }
    let name = name_at(name)?;
    if size > u64::from(linux::XATTR_SIZE_MAX) {
        return Err(Errno::E2BIG);
    }
    let mut frame = Frame::allocate().ok_or(OutOfMemory)?;
    let slice = UserSlice::new(value, size.min(FRAME_SIZE as u64));
    let bytes = slice.copy_in(&current().space(), frame.bytes_mut())?;
    let opened = find()?;
    check(&opened, name.bytes(), WRITE)?;
    if size > FRAME_SIZE as u64 {
        return Err(Errno::ENOSPC);
    }
    let attributes = opened.node.attributes();
    attributes.set(name.bytes(), bytes, flags)?;
    has_changed(&opened);
    Ok(0)
}

fn has_changed(opened: &Opened) {
    opened.node.times().note_change();
    notify::opened(opened, notify::ATTRIBUTES);
}

fn get(
    find: impl FnOnce() -> Result<Opened, Errno>,
    name: u64,
    [place, size]: [u64; 2],
) -> SyscallResult {
    let name = name_at(name)?;
    let opened = find()?;
    check(&opened, name.bytes(), READ)?;
    let value = opened.node.attributes().get(name.bytes())?;
    let len = value.len() as u64;
    if size != 0 {
        if size < len {
            return Err(Errno::ERANGE);
        }
        UserSlice::new(place, len).copy_out(&current().space(), &value)?;
    }
    Ok(len)
}

/// The names, each with a zero after it.
fn list_of(node: &Node, [place, size]: [u64; 2]) -> SyscallResult {
    let mut frame = Frame::allocate().ok_or(OutOfMemory)?;
    let is_privileged = current().may(Capability::SysAdmin);
    let mut len = 0;
    node.attributes().names(|name| {
        if !is_privileged && space_of(name) == Ok(Space::Trusted) {
            return;
        }
        // All names of a node fit.
        if let Some(place) = frame.bytes_mut().get_mut(len..=len + name.len()) {
            place[..name.len()].copy_from_slice(name);
            place[name.len()] = 0;
            len += place.len();
        }
    });
    if size != 0 {
        if size < len as u64 {
            return Err(Errno::ERANGE);
        }
        let slice = UserSlice::new(place, len as u64);
        slice.copy_out(&current().space(), &frame.bytes()[..len])?;
    }
    Ok(len as u64)
}

fn remove(find: impl FnOnce() -> Result<Opened, Errno>, name: u64) -> SyscallResult {
    let name = name_at(name)?;
    let opened = find()?;
    check(&opened, name.bytes(), WRITE)?;
    opened.node.attributes().remove(name.bytes())?;
    has_changed(&opened);
    Ok(0)
}
