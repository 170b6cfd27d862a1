//! Calls about files that are memory and nothing else.

use arch::trap::Arguments;
use linux_raw_sys::general as linux;

use crate::fs::seal::{self, Seals};
use crate::syscall::path::Path;
use crate::syscall::{Errno, SyscallResult, descriptor};

/// What stands before the name that a program gives.
const PREFIX: &[u8] = b"memfd:";

/// `memfd_create(name, flags)`
pub fn memfd_create(&[name, flags, ..]: &Arguments) -> SyscallResult {
    let flags = flags as u32;
    let has = |flag: u32| flags & flag != 0;
    let all = linux::MFD_CLOEXEC | linux::MFD_ALLOW_SEALING | linux::MFD_NOEXEC_SEAL;
    let is_contradiction = has(linux::MFD_NOEXEC_SEAL) && has(linux::MFD_EXEC);
    if flags & !(all | linux::MFD_EXEC) != 0 || is_contradiction {
        return Err(Errno::EINVAL);
    }
    let name = Path::read(name)?;
    let mut buffer = [0; linux::NAME_MAX as usize];
    let (prefix, rest) = buffer.split_at_mut(PREFIX.len());
    let rest = rest.get_mut(..name.bytes().len()).ok_or(Errno::EINVAL)?;
    prefix.copy_from_slice(PREFIX);
    rest.copy_from_slice(name.bytes());
    let len = PREFIX.len() + rest.len();
    let (mode, seals) = match has(linux::MFD_NOEXEC_SEAL) {
        true => (0o666, Seals::EXEC),
        false if has(linux::MFD_ALLOW_SEALING) => (0o777, Seals::empty()),
        false => (0o777, Seals::SEAL),
    };
    let file = seal::create(&buffer[..len], mode, seals)?;
    descriptor::add(file, 0, has(linux::MFD_CLOEXEC))
}
