//! Calls about memory.
//!
//! Write and execute at once (PROT_WRITE | PROT_EXEC) is EACCES: see
//! [`mm::mapping`].

use abi::virtual_map::PAGE_SIZE;
use arch::trap::Arguments;
use bitflags::bitflags;
use linux_raw_sys::general as linux;
use mm::mapping::{Backing, Place, Request};
use mm::page_tables::Access;

use crate::fs;
use crate::proc::current;
use crate::syscall::{Errno, SyscallResult};

bitflags! {
    /// Flags of `mmap` that have an effect here.
    #[derive(Clone, Copy)]
    struct MapFlags: u32 {
        const SHARED = linux::MAP_SHARED;
        const PRIVATE = linux::MAP_PRIVATE;
        const FIXED = linux::MAP_FIXED;
        const FIXED_NOREPLACE = linux::MAP_FIXED_NOREPLACE;
        const ANONYMOUS = linux::MAP_ANONYMOUS;
        const NORESERVE = linux::MAP_NORESERVE;
        const POPULATE = linux::MAP_POPULATE;
    }
}

/// Flags of `mmap` that are not supported.
const UNSUPPORTED: u32 = linux::MAP_GROWSDOWN | linux::MAP_HUGETLB;

/// `mmap(address, length, protection, flags, fd, offset)`
pub fn mmap(&[address, len, protection, flags, fd, offset]: &Arguments) -> SyscallResult {
    let access = access(protection)?;
    let bits = flags as u32;
    if bits & UNSUPPORTED != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let flags = MapFlags::from_bits_truncate(bits);
    let place = if flags.contains(MapFlags::FIXED_NOREPLACE) {
        Place::Free(address)
    } else if flags.contains(MapFlags::FIXED) {
        Place::Replace(address)
    } else {
        Place::Near(address)
    };
    current().space().map(Request {
        place,
        len,
        access,
        backing: backing(flags, fd, offset)?,
        populate: flags.contains(MapFlags::POPULATE),
        overcommit: flags.contains(MapFlags::NORESERVE),
    })
}

fn backing(flags: MapFlags, fd: u64, offset: u64) -> Result<Backing, Errno> {
    let sharing = flags & (MapFlags::SHARED | MapFlags::PRIVATE);
    if sharing.is_empty() || !offset.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    // Linux's MAP_SHARED_VALIDATE is both bits.
    let shared = sharing.contains(MapFlags::SHARED);
    match (flags.contains(MapFlags::ANONYMOUS), shared) {
        (true, true) => Ok(Backing::Shared),
        (true, false) => Ok(Backing::Zero),
        // A file's bytes are not in pages of their own, so a shared mapping would not see
        // them change.
        (false, true) => Err(Errno::ENODEV),
        (false, false) => {
            let file = fs::file(fd)?.pages()?.clone();
            Ok(Backing::File { file, offset })
        }
    }
}

/// `munmap(address, length)`
pub fn munmap(&[address, len, ..]: &Arguments) -> SyscallResult {
    current().space().unmap(address, len)?;
    Ok(0)
}

/// `mprotect(address, length, protection)`
pub fn mprotect(&[address, len, protection, ..]: &Arguments) -> SyscallResult {
    let access = access(protection)?;
    current().space().protect(address, len, access)?;
    Ok(0)
}

/// `brk(address)`: where the heap ends now, whether or not that is where it should.
pub fn brk(&[address, ..]: &Arguments) -> SyscallResult {
    Ok(current().space().set_heap_end(address))
}

/// `mremap(address, old length, new length, flags, new address)`; the kernel chooses the
/// new address, and the old range is unmapped.
pub fn mremap(&[address, old, new, flags, ..]: &Arguments) -> SyscallResult {
    if flags & !u64::from(linux::MREMAP_MAYMOVE) != 0 {
        return Err(Errno::EINVAL);
    }
    current().space().remap(address, old, new, flags != 0)
}

/// `msync(address, length, flags)`: no mapping is ever written back.
pub fn msync(&[address, len, flags, ..]: &Arguments) -> SyscallResult {
    let all = linux::MS_ASYNC | linux::MS_INVALIDATE | linux::MS_SYNC;
    if flags & !u64::from(all) != 0 {
        return Err(Errno::EINVAL);
    }
    current().space().check_mapped(address, len)?;
    Ok(0)
}

/// `madvise(address, length, advice)`: all but MADV_DONTNEED and MADV_FREE is ignored.
pub fn madvise(&[address, len, advice, ..]: &Arguments) -> SyscallResult {
    let space = current().space();
    match advice as u32 {
        linux::MADV_DONTNEED | linux::MADV_FREE => space.discard(address, len)?,
        linux::MADV_NORMAL..=linux::MADV_WILLNEED
        | linux::MADV_MERGEABLE..=linux::MADV_DODUMP
        | linux::MADV_COLD
        | linux::MADV_PAGEOUT => space.check_mapped(address, len)?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

fn access(protection: u64) -> Result<Access, Errno> {
    let mut access = Access::empty();
    let mut left = protection & !u64::from(linux::PROT_SEM);
    for (bit, meaning) in [
        (linux::PROT_READ, Access::READ),
        (linux::PROT_WRITE, Access::WRITE),
        (linux::PROT_EXEC, Access::EXECUTE),
    ] {
        access.set(meaning, protection & u64::from(bit) != 0);
        left &= !u64::from(bit);
    }
    if left != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(access)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protections_are_read_bit_by_bit() {
        assert_eq!(access(0), Ok(Access::empty()));
        assert_eq!(access(3), Ok(Access::READ | Access::WRITE));
        assert_eq!(access(4 | 8), Ok(Access::EXECUTE));
        assert_eq!(access(16), Err(Errno::EINVAL));
        assert_eq!(access(1 << 40), Err(Errno::EINVAL));
    }
}
