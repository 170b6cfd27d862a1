//! The superuser's rights, one by one (Linux, capabilities(7)): a process may have given up some of
//! them, or have kept some as another user.

use abi::Errno;
use linux_raw_sys::general as linux;

use crate::proc::process::Process;

/// A right, with Linux's name and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// To give files to anybody.
    Chown = linux::CAP_CHOWN as isize,
    /// To use files whatever their modes say.
    DacOverride = linux::CAP_DAC_OVERRIDE as isize,
    /// To read files, and search directories.
    DacReadSearch = linux::CAP_DAC_READ_SEARCH as isize,
    /// To change files as their owners do.
    Fowner = linux::CAP_FOWNER as isize,
    /// To keep what makes a program act as its owner or group.
    Fsetid = linux::CAP_FSETID as isize,
    /// To send signals to anybody.
    Kill = linux::CAP_KILL as isize,
    /// To become any group.
    Setgid = linux::CAP_SETGID as isize,
    /// To become any user.
    Setuid = linux::CAP_SETUID as isize,
    /// To take capabilities away for good.
    Setpcap = linux::CAP_SETPCAP as isize,
    /// To bind low ports.
    NetBindService = linux::CAP_NET_BIND_SERVICE as isize,
    /// To change the network.
    NetAdmin = linux::CAP_NET_ADMIN as isize,
    /// To lock memory without limit.
    IpcLock = linux::CAP_IPC_LOCK as isize,
    /// To use System V's objects whatever their modes say.
    IpcOwner = linux::CAP_IPC_OWNER as isize,
    /// To change the root.
    SysChroot = linux::CAP_SYS_CHROOT as isize,
    /// To look into anybody's process.
    SysPtrace = linux::CAP_SYS_PTRACE as isize,
    /// To mount, and much else.
    SysAdmin = linux::CAP_SYS_ADMIN as isize,
    /// To take more of the CPU, and give it to others.
    SysNice = linux::CAP_SYS_NICE as isize,
    /// To exceed limits, and raise them.
    SysResource = linux::CAP_SYS_RESOURCE as isize,
    /// To set the clock.
    SysTime = linux::CAP_SYS_TIME as isize,
    /// To make devices.
    Mknod = linux::CAP_MKNOD as isize,
}

impl Capability {
    /// Its bit in a set.
    pub const fn bit(self) -> u64 {
        1 << self as u32
    }

    /// Those about files, which come and go with the user for files.
    pub const OF_FILES: u64 = Self::Chown.bit()
        | Self::DacOverride.bit()
        | Self::DacReadSearch.bit()
        | Self::Fowner.bit()
        | Self::Fsetid.bit()
        | Self::Mknod.bit()
        | 1 << linux::CAP_LINUX_IMMUTABLE
        | 1 << linux::CAP_MAC_OVERRIDE;
}

impl Process {
    /// Whether it has this right in effect. The kernel itself, before there is a process, has all.
    pub fn may(&self, right: Capability) -> bool {
        self.attributes().capabilities.effective & right.bit() != 0 || self.pid() == 0
    }

    /// Fails unless it has.
    ///
    /// # Errors
    /// EPERM.
    pub fn require(&self, right: Capability) -> Result<(), Errno> {
        match self.may(right) {
            true => Ok(()),
            false => Err(Errno::EPERM),
        }
    }
}
