//! Calls about memory.

use abi::virtual_map::{PAGE_SIZE, USER_END};
use arch::trap::Arguments;
use bitflags::bitflags;
use linux_raw_sys::general as linux;
use mm::AddressSpace;
use mm::area::{Locking, MayWrite};
use mm::mapping::{Backing, Place, Request, Target};
use mm::page_tables::Access;

use crate::fs::mount::MountFlags;
use crate::fs::opened::Opened;
use crate::fs::seal::{self, Seals};
use crate::fs::{self, Object, mapped};
use crate::proc::current;
use crate::syscall::{Errno, SyscallResult, advice};

bitflags! {
    /// Flags of `mmap` that have an effect here.
    #[derive(Clone, Copy)]
    struct MapFlags: u32 {
        const FIXED = linux::MAP_FIXED;
        const FIXED_NOREPLACE = linux::MAP_FIXED_NOREPLACE;
        const ANONYMOUS = linux::MAP_ANONYMOUS;
        const LOW = linux::MAP_32BIT;
        const GROWS_DOWN = linux::MAP_GROWSDOWN;
        const HUGE = linux::MAP_HUGETLB;
        const LOCKED = linux::MAP_LOCKED;
        const NORESERVE = linux::MAP_NORESERVE;
        const POPULATE = linux::MAP_POPULATE;
        const NONBLOCK = linux::MAP_NONBLOCK;
    }
}

/// Flags that a MAP_SHARED_VALIDATE may have (Linux, LEGACY_MAP_MASK).
const KNOWN: u32 = MapFlags::all().bits()
    | linux::MAP_TYPE
    | linux::MAP_DENYWRITE
    | linux::MAP_EXECUTABLE
    | linux::MAP_STACK
    | linux::MAP_UNINITIALIZED
    | MAP_HUGE_SIZE;

/// The size of huge pages.
const MAP_HUGE_SIZE: u32 = linux::MAP_HUGE_MASK << linux::MAP_HUGE_SHIFT;

/// Who has a mapping in common.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Private,
    Shared,
    /// Shared, and unknown flags are errors.
    Validated,
}

/// `mmap(address, length, protection, flags, fd, offset)`
pub fn mmap(&[address, len, protection, flags, fd, offset]: &Arguments) -> SyscallResult {
    if !offset.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let bits = flags as u32;
    let flags = MapFlags::from_bits_truncate(bits);
    let place = if flags.contains(MapFlags::FIXED_NOREPLACE) {
        Place::Free(address)
    } else if flags.contains(MapFlags::FIXED) {
        Place::Replace(address)
    } else if flags.contains(MapFlags::LOW) && address == 0 {
        Place::Low
    } else {
        Place::Near(address)
    };
    let sharing = match bits & linux::MAP_TYPE {
        linux::MAP_PRIVATE => Sharing::Private,
        linux::MAP_SHARED => Sharing::Shared,
        linux::MAP_SHARED_VALIDATE => Sharing::Validated,
        _ => return Err(Errno::EINVAL),
    };
    let access = access(protection);
    let backing = match flags.contains(MapFlags::ANONYMOUS) {
        true => anonymous(flags, sharing)?,
        false if sharing == Sharing::Validated && bits & !KNOWN != 0 => {
            return Err(Errno::EOPNOTSUPP);
        }
        false => {
            if len == 0 {
                // A descriptor that is none is the error before this one.
                fs::file(fd)?;
                return Err(Errno::EINVAL);
            }
            let end = offset.checked_add(len.div_ceil(PAGE_SIZE) * PAGE_SIZE);
            end.filter(|&end| i64::try_from(end).is_ok())
                .ok_or(Errno::EOVERFLOW)?;
            file(flags, sharing, access, fd, offset)?
        }
    };
    let locking = match flags.contains(MapFlags::LOCKED) {
        true => Locking::AtOnce,
        false => Locking::Unlocked,
    };
    let space = current().space();
    if locking != Locking::Unlocked {
        advice::check_may_lock()?;
    }
    if locking != Locking::Unlocked || space.locks_future() {
        check_lock(&space, 0, len)?;
    }
    space.map(Request {
        place,
        len,
        access,
        backing,
        populate: flags.contains(MapFlags::POPULATE) && !flags.contains(MapFlags::NONBLOCK),
        overcommit: flags.contains(MapFlags::NORESERVE),
        locking,
    })
}

/// Whether `new` bytes may be locked where there were `old`.
///
/// # Errors
/// EAGAIN: they are too many.
fn check_lock(space: &AddressSpace, old: u64, new: u64) -> Result<(), Errno> {
    let whole = |len: u64| len.checked_next_multiple_of(PAGE_SIZE).unwrap_or(u64::MAX);
    let more = whole(new).saturating_sub(whole(old));
    match more == 0 || space.may_lock(more, advice::lock_limit()) {
        true => Ok(()),
        false => Err(Errno::EAGAIN),
    }
}

fn anonymous(flags: MapFlags, sharing: Sharing) -> Result<Backing, Errno> {
    if flags.contains(MapFlags::HUGE) {
        // There are none.
        return Err(Errno::ENOMEM);
    }
    match sharing {
        Sharing::Private if flags.contains(MapFlags::GROWS_DOWN) => Ok(Backing::Growing),
        Sharing::Private => Ok(Backing::Zero),
        Sharing::Shared if !flags.contains(MapFlags::GROWS_DOWN) => {
            Ok(Backing::Shared(MayWrite(true)))
        }
        _ => Err(Errno::EINVAL),
    }
}

fn file(
    flags: MapFlags,
    sharing: Sharing,
    access: Access,
    fd: u64,
    offset: u64,
) -> Result<Backing, Errno> {
    let open = fs::file(fd)?;
    if flags.intersects(MapFlags::HUGE | MapFlags::GROWS_DOWN) {
        return Err(Errno::EINVAL);
    }
    let is_shared = sharing != Sharing::Private;
    let lacks_right = is_shared && access.contains(Access::WRITE) && !open.is_writable();
    if lacks_right || !open.is_readable() {
        return Err(Errno::EACCES);
    }
    let has_no_programs = |opened: &Opened| opened.mount.has(MountFlags::NO_PROGRAMS);
    if access.contains(Access::EXECUTE) && open.opened().is_some_and(has_no_programs) {
        return Err(Errno::EPERM);
    }
    if let Object::Device(device) = open.object()
        && device.is_zeros()
    {
        return Ok(match is_shared {
            true => Backing::Shared(MayWrite(open.is_writable())),
            false => Backing::Zero,
        });
    }
    let file = open.pages()?.clone();
    if let Some(opened) = open.opened() {
        mapped::note(opened);
    }
    if !is_shared {
        return Ok(Backing::File { file, offset });
    }
    let is_sealed = seal::has(&file, Seals::WRITE | Seals::FUTURE_WRITE);
    if is_sealed && access.contains(Access::WRITE) {
        return Err(Errno::EPERM);
    }
    Ok(Backing::SharedFile {
        file,
        offset,
        may_write: MayWrite(open.is_writable() && !is_sealed),
    })
}

/// `munmap(address, length)`
pub fn munmap(&[address, len, ..]: &Arguments) -> SyscallResult {
    current().space().unmap(address, len)?;
    Ok(0)
}

/// `mprotect(address, length, protection)`
pub fn mprotect(&[address, len, protection, ..]: &Arguments) -> SyscallResult {
    let grows = u64::from(linux::PROT_GROWSDOWN | linux::PROT_GROWSUP);
    let known = linux::PROT_READ | linux::PROT_WRITE | linux::PROT_EXEC | linux::PROT_SEM;
    if protection & grows == grows || protection & !(grows | u64::from(known)) != 0 {
        return Err(Errno::EINVAL);
    }
    let space = current().space();
    let (mut start, mut end) = (address, address.saturating_add(len).min(USER_END));
    if protection & grows != 0 {
        // No area grows upwards.
        let is_down = protection & u64::from(linux::PROT_GROWSDOWN) != 0;
        let area = space.growing_area(address).filter(|_| is_down);
        start = area.ok_or(Errno::EINVAL)?.start;
        end = end.max(start);
    }
    let len = if start == address { len } else { end - start };
    space.protect(start, len, access(protection))?;
    Ok(0)
}

/// `brk(address)`: where the heap ends now, whether or not that is where it should.
pub fn brk(&[address, ..]: &Arguments) -> SyscallResult {
    let space = current().space();
    if space.locks_future() {
        // No heap ends there, so that this asks where it does.
        let end = space.set_heap_end(0);
        if check_lock(&space, end, address).is_err() {
            return Ok(end);
        }
    }
    Ok(space.set_heap_end(address))
}

/// `mremap(address, old length, new length, flags, new address)`
pub fn mremap(&[address, old, new, flags, target, ..]: &Arguments) -> SyscallResult {
    let all = linux::MREMAP_MAYMOVE | linux::MREMAP_FIXED | linux::MREMAP_DONTUNMAP;
    let has = |flag: u32| flags & u64::from(flag) != 0;
    let may_move = has(linux::MREMAP_MAYMOVE);
    let keep = has(linux::MREMAP_DONTUNMAP);
    if flags & !u64::from(all) != 0
        || (!may_move && (has(linux::MREMAP_FIXED) || keep))
        || (keep && old != new)
    {
        return Err(Errno::EINVAL);
    }
    let target = match may_move {
        _ if has(linux::MREMAP_FIXED) => Target::Replace(target),
        true => Target::Anywhere,
        false => Target::Stay,
    };
    let space = current().space();
    if space.is_locked(address) {
        check_lock(&space, old, new)?;
    }
    space.remap(address, old, new, target, keep)
}

/// `remap_file_pages(address, length, protection, page, flags)`: as Linux does since it has no
/// mappings of pages in any order, by a mapping of its own.
pub fn remap_file_pages(&[address, len, protection, page, ..]: &Arguments) -> SyscallResult {
    let whole = |bytes: u64| bytes / PAGE_SIZE * PAGE_SIZE;
    let (start, len) = (whole(address), whole(len));
    if protection != 0 || len == 0 || page.checked_add(len / PAGE_SIZE).is_none() {
        return Err(Errno::EINVAL);
    }
    current().space().show_other_pages(start, len, page)?;
    Ok(0)
}

/// `msync(address, length, flags)`: there is nothing behind memory.
pub fn msync(&[address, len, flags, ..]: &Arguments) -> SyscallResult {
    let all = linux::MS_ASYNC | linux::MS_INVALIDATE | linux::MS_SYNC;
    let both = u64::from(linux::MS_ASYNC | linux::MS_SYNC);
    if flags & !u64::from(all) != 0 || flags & both == both {
        return Err(Errno::EINVAL);
    }
    let space = current().space();
    match flags & u64::from(linux::MS_INVALIDATE) {
        0 => space.check_mapped(address, len)?,
        _ => space.check_unlocked(address, len)?,
    }
    Ok(0)
}

fn access(protection: u64) -> Access {
    let mut access = Access::empty();
    for (bit, meaning) in [
        (linux::PROT_READ, Access::READ),
        (linux::PROT_WRITE, Access::WRITE),
        (linux::PROT_EXEC, Access::EXECUTE),
    ] {
        access.set(meaning, protection & u64::from(bit) != 0);
    }
    access
}
