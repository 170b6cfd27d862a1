//! Why system calls fail.

use linux_raw_sys::errno;

use crate::mm::user_memory::BadAddress;

/// An error number of Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(u32);

impl Errno {
    /// Bad file descriptor.
    pub const EBADF: Self = Self(errno::EBADF);
    /// Bad address.
    pub const EFAULT: Self = Self(errno::EFAULT);
    /// Invalid argument.
    pub const EINVAL: Self = Self(errno::EINVAL);
    /// No such system call.
    pub const ENOSYS: Self = Self(errno::ENOSYS);

    /// How a program sees it: its negative.
    pub fn to_rax(self) -> u64 {
        u64::from(self.0).wrapping_neg()
    }
}

impl From<BadAddress> for Errno {
    fn from(BadAddress: BadAddress) -> Self {
        Self::EFAULT
    }
}
