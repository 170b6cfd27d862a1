//! Resources that programs must free, compared before and after as in xv6's `usertests`.

use crate::file::{self, O_RDONLY};
use crate::process;

/// The resources in use in the whole machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Bytes of free memory.
    pub free_bytes: u64,
    /// Threads, and processes that are only to be reaped.
    pub processes: u16,
    /// Open files of all processes; those that several share count once.
    pub open_files: u64,
}

impl Resources {
    /// The resources in use now.
    ///
    /// # Panics
    /// The kernel does not report them.
    pub fn now() -> Self {
        let open_files = open_files().expect("the kernel counts open files");
        let info = process::system_info().expect("the kernel tells");
        Self {
            free_bytes: info.freeram,
            processes: info.procs,
            open_files,
        }
    }
}

/// The first number of `/proc/sys/fs/file-nr`, without the file that is open to read it.
fn open_files() -> Option<u64> {
    let fd = file::open(c"/proc/sys/fs/file-nr", O_RDONLY).ok()?;
    let mut text = [0; 64];
    let count = file::read_full(fd, &mut text);
    file::close(fd).ok()?;
    let text = core::str::from_utf8(&text[..count.ok()?]).ok()?;
    let count: u64 = text.split_ascii_whitespace().next()?.parse().ok()?;
    count.checked_sub(1)
}
