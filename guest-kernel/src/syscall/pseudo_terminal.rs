//! What `ioctl` does with the master of a pseudo-terminal alone (Linux, ioctl_tty(2)).

use linux_raw_sys::{general as linux, ioctl};
use mm::UserSlice;

use crate::fs::calls;
use crate::fs::path::Start;
use crate::fs::proc_files::ProcName;
use crate::fs::terminal::Master;
use crate::proc::current;
use crate::proc::signal::Signal;
use crate::syscall::terminal::tell;
use crate::syscall::{Errno, SyscallResult, descriptor};

/// What is asked of `master`.
///
/// # Errors
/// ENOTTY: nothing that is asked of a master alone. Those of the request.
pub fn request(master: &Master, request: u32, argument: u64) -> SyscallResult {
    match request {
        ioctl::TIOCGPTN => tell(argument, &master.number().to_le_bytes()),
        ioctl::TIOCSPTLCK => {
            master.set_locked(flag(argument)?);
            Ok(0)
        }
        ioctl::TIOCGPTLCK => tell(argument, &i32::from(master.is_locked()).to_le_bytes()),
        ioctl::TIOCPKT => {
            master.set_packet(flag(argument)?);
            Ok(0)
        }
        ioctl::TIOCGPKT => tell(argument, &i32::from(master.is_packet()).to_le_bytes()),
        ioctl::TIOCGPTPEER => open_peer(master, argument as u32),
        ioctl::TIOCSIG => match Signal::new(argument & u64::from(u32::MAX)) {
            Some(signal @ (Signal::SIGINT | Signal::SIGQUIT | Signal::SIGTSTP)) => {
                master.terminal().signal(signal);
                Ok(0)
            }
            _ => Err(Errno::EINVAL),
        },
        _ => Err(Errno::ENOTTY),
    }
}

/// The `int` at `address`, as a flag.
fn flag(address: u64) -> Result<bool, Errno> {
    let mut value = [0; 4];
    UserSlice::new(address, 4).copy_in(&current().space(), &mut value)?;
    Ok(value != [0; 4])
}

/// Opens the slave by its path in the whole tree, wherever the root of the process is.
fn open_peer(master: &Master, flags: u32) -> SyscallResult {
    const FLAGS: u32 = linux::O_ACCMODE | linux::O_NONBLOCK | linux::O_NOCTTY;
    const DIRECTORY: &[u8] = b"/dev/pts/";
    let name = ProcName::number(master.number());
    let mut path = [0; DIRECTORY.len() + ProcName::LEN];
    let len = DIRECTORY.len() + name.bytes().len();
    path[..DIRECTORY.len()].copy_from_slice(DIRECTORY);
    path[DIRECTORY.len()..len].copy_from_slice(name.bytes());
    let file = calls::open(&Start::of_tree()?, &path[..len], flags & FLAGS, 0)?;
    descriptor::add(file, 0, flags & linux::O_CLOEXEC != 0)
}
