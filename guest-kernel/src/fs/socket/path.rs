//! Names of Unix sockets that are paths.

use abi::Errno;
use mm::Shared;

use crate::fs::node::Kind;
use crate::fs::path::Links;
use crate::fs::permission;
use crate::fs::socket::address::UnixName;
use crate::fs::{calls, process_files};

/// Permissions of a socket's node before the umask.
const MODE: u32 = 0o777;

/// Makes a node for a socket.
///
/// # Errors
/// EADDRINUSE: there is something. Those of paths.
pub fn make(path: &[u8]) -> Result<Shared<UnixName>, Errno> {
    let mode = MODE & !process_files::mask();
    let node = calls::make_node(&*process_files::here()?, path, Kind::Socket, mode);
    let node = node.map_err(|errno| match errno {
        Errno::EEXIST => Errno::EADDRINUSE,
        errno => errno,
    })?;
    UnixName::new(path, Some(node))
}

/// Whether there is something at `path`.
///
/// # Errors
/// Those of paths.
pub fn exists(path: &[u8]) -> Result<bool, Errno> {
    match calls::find(&*process_files::here()?, path, Links::Kept) {
        Ok(_) => Ok(true),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// The name of the socket at `path`, as far as it is needed to find that.
///
/// # Errors
/// ECONNREFUSED: no socket. EACCES: not to be written. Those of paths.
pub fn find(path: &[u8]) -> Result<Shared<UnixName>, Errno> {
    let node = calls::find(&*process_files::here()?, path, Links::Followed)?;
    match node.kind() {
        Kind::Socket => {
            permission::check(&node, permission::WRITE)?;
            UnixName::new(path, Some(node))
        }
        _ => Err(Errno::ECONNREFUSED),
    }
}
