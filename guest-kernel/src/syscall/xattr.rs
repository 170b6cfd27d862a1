//! Calls about extended attributes, of which nodes have none.

use arch::trap::Arguments;
use linux_raw_sys::general as linux;

use crate::fs;
use crate::syscall::attributes::node_at;
use crate::syscall::path::HERE;
use crate::syscall::{Errno, SyscallResult};

/// `setxattr(path, ...)`, `getxattr` and `removexattr`
pub fn of_path(&[path, ..]: &Arguments) -> SyscallResult {
    node_at(HERE, path, 0)?;
    Err(Errno::EOPNOTSUPP)
}

/// `lsetxattr(path, ...)`, `lgetxattr` and `lremovexattr`
pub fn of_link(&[path, ..]: &Arguments) -> SyscallResult {
    node_at(HERE, path, linux::AT_SYMLINK_NOFOLLOW)?;
    Err(Errno::EOPNOTSUPP)
}

/// `fsetxattr(fd, ...)`, `fgetxattr` and `fremovexattr`
pub fn of_file(&[fd, ..]: &Arguments) -> SyscallResult {
    fs::file(fd)?;
    Err(Errno::EOPNOTSUPP)
}

/// `listxattr(path, list, size)`
pub fn list_of_path(&[path, ..]: &Arguments) -> SyscallResult {
    node_at(HERE, path, 0)?;
    Ok(0)
}

/// `llistxattr(path, list, size)`
pub fn list_of_link(&[path, ..]: &Arguments) -> SyscallResult {
    node_at(HERE, path, linux::AT_SYMLINK_NOFOLLOW)?;
    Ok(0)
}

/// `flistxattr(fd, list, size)`
pub fn list_of_file(&[fd, ..]: &Arguments) -> SyscallResult {
    fs::file(fd)?;
    Ok(0)
}
