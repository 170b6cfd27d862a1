//! Waiting for descriptors of the host, and non-blocking access to them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

/// For [`poll`]: until `fd` can be read, or has ended.
pub fn readable(fd: &impl AsRawFd) -> libc::pollfd {
    wanted(fd, libc::POLLIN)
}

/// For [`poll`]: until `fd` can be written to, or has ended.
pub fn writable(fd: &impl AsRawFd) -> libc::pollfd {
    wanted(fd, libc::POLLOUT)
}

fn wanted(fd: &impl AsRawFd, events: libc::c_short) -> libc::pollfd {
    libc::pollfd {
        fd: fd.as_raw_fd(),
        events,
        revents: 0,
    }
}

/// Waits until one of `polled` is ready, or for `limit`, in milliseconds. A signal ends the
/// wait too: then none is.
///
/// # Errors
/// The host is out of memory.
pub fn poll(polled: &mut [libc::pollfd], limit: Option<Duration>) -> io::Result<()> {
    let limit_ms = limit.map_or(-1, |limit| limit.as_millis() as libc::c_int);
    for one in &mut *polled {
        one.revents = 0;
    }
    // SAFETY: the slice has as many entries as said.
    let ready = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, limit_ms) };
    match ready {
        0.. => Ok(()),
        _ => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            error => Err(error),
        },
    }
}

/// The same file, opened by `options` so that nothing ever waits for it. The one open
/// before, which others may share, stays as it is.
///
/// # Errors
/// There is no /proc, or the file is somebody else's.
pub fn open_anew(file: &File, options: &mut OpenOptions) -> io::Result<File> {
    options
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}
