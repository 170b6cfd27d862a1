//! Calls about futexes that say their size (Linux, include/uapi/linux/futex.h, FUTEX2_...).

use arch::trap::Arguments;
use linux_raw_sys::general as linux;
use mm::UserPtr;

use crate::proc::current;
use crate::proc::futex::{self, Expected, Key, Several};
use crate::proc::wait_queue::Deadline;
use crate::syscall::futex::{key, wake_count};
use crate::syscall::time::read_ns;
use crate::syscall::{Errno, SyscallResult};

const KNOWN: u32 =
    linux::FUTEX2_SIZE_MASK | linux::FUTEX2_NUMA | linux::FUTEX2_MPOL | linux::FUTEX2_PRIVATE;

/// `struct futex_waitv`: value, address, flags and a reserved half.
type Waiter = [u64; 3];
const WAITER_SIZE: u64 = size_of::<Waiter>() as u64;

/// Fails unless these are flags of a word of 32 bits on the one node of memory that there is; says
/// whether it is private.
fn check_flags(flags: u32) -> Result<bool, Errno> {
    let is_supported = flags & (linux::FUTEX2_NUMA | linux::FUTEX2_MPOL) == 0;
    match flags & linux::FUTEX2_SIZE_MASK {
        linux::FUTEX2_SIZE_U32 if is_supported && flags & !KNOWN == 0 => {
            Ok(flags & linux::FUTEX2_PRIVATE != 0)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// A value or mask of a word of 32 bits.
fn narrow(value: u64) -> Result<u32, Errno> {
    u32::try_from(value).map_err(|_| Errno::EINVAL)
}

/// The word at `address`, by its flags.
fn word(address: u64, flags: u64) -> Result<Key, Errno> {
    let is_private = check_flags(narrow(flags)?)?;
    key(&current().space(), address, is_private)
}

/// When a wait ends: at the time of a clock at `timeout`, unless that is null.
fn deadline(timeout: u64, clock: u64) -> Result<Option<Deadline>, Errno> {
    if timeout == 0 {
        return Ok(None);
    }
    match clock as u32 {
        linux::CLOCK_REALTIME => Ok(Some(Deadline::Day(read_ns(timeout)?))),
        linux::CLOCK_MONOTONIC => Ok(Some(Deadline::Boot(read_ns(timeout)?))),
        _ => Err(Errno::EINVAL),
    }
}

/// The word that element `number` of an array at `address` is about.
fn expected(address: u64, number: usize) -> Result<Expected, Errno> {
    let at = address.wrapping_add(number as u64 * WAITER_SIZE);
    let [value, address, flags]: Waiter = UserPtr::new(at).read(&current().space())?;
    // The reserved half is zero.
    let is_private = check_flags(narrow(flags)?)?;
    let value = narrow(value)?;
    Ok(Expected {
        key: key(&current().space(), address, is_private)?,
        address,
        value,
    })
}

/// `futex_waitv(waiters, count, flags, timeout, clock)`
pub fn futex_waitv(&[waiters, count, flags, timeout, clock, ..]: &Arguments) -> SyscallResult {
    let count = count as u32;
    if flags as u32 != 0 || !(1..=linux::FUTEX_WAITV_MAX).contains(&count) || waiters == 0 {
        return Err(Errno::EINVAL);
    }
    let deadline = deadline(timeout, clock)?;
    let several = Several::new(count as usize, |number| expected(waiters, number))?;
    futex::wait_any(&current().space(), several, deadline)
}

/// `futex_wake(address, mask, count, flags)`
pub fn futex_wake(&[address, mask, count, flags, ..]: &Arguments) -> SyscallResult {
    check_flags(flags as u32)?;
    let mask = narrow(mask)?;
    let key = word(address, u64::from(flags as u32))?;
    let count = match count as u32 {
        0 => 0,
        count => wake_count(count),
    };
    futex::wake(key, mask, count)
}

/// `futex_wait(address, value, mask, flags, timeout, clock)`
pub fn futex_wait(&[address, value, mask, flags, timeout, clock]: &Arguments) -> SyscallResult {
    check_flags(flags as u32)?;
    let (value, mask) = (narrow(value)?, narrow(mask)?);
    let deadline = deadline(timeout, clock)?;
    let key = word(address, u64::from(flags as u32))?;
    futex::wait(&current().space(), key, address, value, mask, deadline)?;
    Ok(0)
}

/// `futex_requeue(waiters, flags, wake count, move count)`: from the first word to the second.
pub fn futex_requeue(&[waiters, flags, wake, moved, ..]: &Arguments) -> SyscallResult {
    if flags as u32 != 0 || waiters == 0 {
        return Err(Errno::EINVAL);
    }
    let [from, to] = [expected(waiters, 0)?, expected(waiters, 1)?];
    let [wake, moved] = [wake, moved].map(|count| u64::try_from(count as i32));
    let (Ok(wake), Ok(moved)) = (wake, moved) else {
        return Err(Errno::EINVAL);
    };
    if UserPtr::<u32>::new(from.address).read(&current().space())? != from.value {
        return Err(Errno::EAGAIN);
    }
    futex::requeue(from.key, wake, to.key, moved)
}
