//! Calls that say how memory will be used, or ask where it is.

use abi::virtual_map::PAGE_SIZE;
use arch::processors;
use arch::trap::Arguments;
use linux_raw_sys::general as linux;
use mm::UserSlice;
use mm::area::{Locking, OnFork};
use mm::fault::Attempt;
use mm::mapping::Discarded;

use crate::proc::capability::Capability;
use crate::proc::current;
use crate::syscall::{Errno, SyscallResult};

/// `madvise(address, length, advice)`: what has an effect on contents has it; the rest is
/// checked.
pub fn madvise(&[address, len, advice, ..]: &Arguments) -> SyscallResult {
    let space = current().space();
    match advice as u32 {
        linux::MADV_DONTNEED => space.discard(address, len, Discarded::Unlocked)?,
        linux::MADV_DONTNEED_LOCKED => space.discard(address, len, Discarded::All)?,
        linux::MADV_FREE => space.discard(address, len, Discarded::Zeros)?,
        linux::MADV_REMOVE => space.clear_files(address, len)?,
        linux::MADV_DONTFORK => space.set_on_fork(address, len, OnFork::Leave)?,
        linux::MADV_WIPEONFORK => space.set_on_fork(address, len, OnFork::Clear)?,
        linux::MADV_DOFORK | linux::MADV_KEEPONFORK => {
            space.set_on_fork(address, len, OnFork::Copy)?;
        }
        linux::MADV_POPULATE_READ => space.touch(address, len, Attempt::Read)?,
        linux::MADV_POPULATE_WRITE => space.touch(address, len, Attempt::Write)?,
        linux::MADV_NORMAL..=linux::MADV_WILLNEED
        | linux::MADV_MERGEABLE..=linux::MADV_DODUMP
        | linux::MADV_COLD
        | linux::MADV_PAGEOUT
        | linux::MADV_COLLAPSE => space.check_mapped(address, len)?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// `mincore(address, length, vector)`
pub fn mincore(&[address, len, vector, ..]: &Arguments) -> SyscallResult {
    if !address.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    UserSlice::new(address, len)
        .check()
        .map_err(|_| Errno::ENOMEM)?;
    let space = current().space();
    for number in 0..len.div_ceil(PAGE_SIZE) {
        let page = address + number * PAGE_SIZE;
        let is_in_memory = space.is_in_memory(page).ok_or(Errno::ENOMEM)?;
        let byte = [u8::from(is_in_memory)];
        UserSlice::new(vector.wrapping_add(number), 1).copy_out(&space, &byte)?;
    }
    Ok(0)
}

/// How many bytes the process may lock.
pub(super) fn lock_limit() -> u64 {
    let process = current();
    match process.may(Capability::IpcLock) {
        true => u64::MAX,
        false => process.limits().soft(linux::RLIMIT_MEMLOCK),
    }
}

/// The same where it asks for locked memory.
///
/// # Errors
/// EPERM: none at all.
pub(super) fn check_may_lock() -> Result<u64, Errno> {
    match lock_limit() {
        0 => Err(Errno::EPERM),
        limit => Ok(limit),
    }
}

fn locking(on_fault: bool) -> Locking {
    match on_fault {
        true => Locking::OnFault,
        false => Locking::AtOnce,
    }
}

/// `mlock(address, length)`
pub fn mlock(&[address, len, ..]: &Arguments) -> SyscallResult {
    let limit = check_may_lock()?;
    current()
        .space()
        .lock(address, len, limit, Locking::AtOnce)?;
    Ok(0)
}

/// `mlock2(address, length, flags)`
pub fn mlock2(&[address, len, flags, ..]: &Arguments) -> SyscallResult {
    let flags = flags as u32;
    if flags & !linux::MLOCK_ONFAULT != 0 {
        return Err(Errno::EINVAL);
    }
    let limit = check_may_lock()?;
    let locking = locking(flags & linux::MLOCK_ONFAULT != 0);
    current().space().lock(address, len, limit, locking)?;
    Ok(0)
}

/// `munlock(address, length)`
pub fn munlock(&[address, len, ..]: &Arguments) -> SyscallResult {
    current().space().unlock(address, len)?;
    Ok(0)
}

/// `mlockall(flags)`
pub fn mlockall(&[flags, ..]: &Arguments) -> SyscallResult {
    let all = linux::MCL_CURRENT | linux::MCL_FUTURE | linux::MCL_ONFAULT;
    let flags = flags as u32;
    if flags & !all != 0 || flags & !linux::MCL_ONFAULT == 0 {
        return Err(Errno::EINVAL);
    }
    let limit = check_may_lock()?;
    let locking = locking(flags & linux::MCL_ONFAULT != 0);
    let space = current().space();
    if flags & linux::MCL_CURRENT != 0 {
        if space.size() > limit {
            return Err(Errno::ENOMEM);
        }
        space.lock_all(locking);
    }
    space.set_future(match flags & linux::MCL_FUTURE {
        0 => Locking::Unlocked,
        _ => locking,
    });
    Ok(0)
}

/// `munlockall()`
pub fn munlockall(_: &Arguments) -> SyscallResult {
    current().space().unlock_all();
    Ok(0)
}

/// `membarrier(command, flags, cpu)`: whoever runs on another CPU enters the kernel, with all that
/// a barrier does; others will.
pub fn membarrier(&[command, flags, ..]: &Arguments) -> SyscallResult {
    const QUERY: u32 = 0;
    const GLOBAL: u32 = 1 << 0;
    const GLOBAL_EXPEDITED: u32 = 1 << 1;
    const REGISTER_GLOBAL_EXPEDITED: u32 = 1 << 2;
    const PRIVATE_EXPEDITED: u32 = 1 << 3;
    const REGISTER_PRIVATE_EXPEDITED: u32 = 1 << 4;
    const PRIVATE_EXPEDITED_SYNC_CORE: u32 = 1 << 5;
    const REGISTER_PRIVATE_EXPEDITED_SYNC_CORE: u32 = 1 << 6;
    const REGISTRATIONS: u32 = REGISTER_GLOBAL_EXPEDITED
        | REGISTER_PRIVATE_EXPEDITED
        | REGISTER_PRIVATE_EXPEDITED_SYNC_CORE;
    const ALL: u32 =
        REGISTRATIONS | GLOBAL | GLOBAL_EXPEDITED | PRIVATE_EXPEDITED | PRIVATE_EXPEDITED_SYNC_CORE;
    if flags as u32 != 0 {
        return Err(Errno::EINVAL);
    }
    let space = current().space();
    match command as u32 {
        QUERY => Ok(ALL.into()),
        command if !command.is_power_of_two() || command & ALL == 0 => Err(Errno::EINVAL),
        command if command & REGISTRATIONS != 0 => {
            space.register_barriers(command);
            Ok(0)
        }
        // Each private command has the bit before that of its registration.
        command @ (PRIVATE_EXPEDITED | PRIVATE_EXPEDITED_SYNC_CORE)
            if space.barriers() & (command << 1) == 0 =>
        {
            Err(Errno::EPERM)
        }
        _ => {
            processors::synchronize();
            Ok(0)
        }
    }
}
