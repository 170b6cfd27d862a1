//! Calls that set the time of day. The clock of the host stays as it is.

use arch::trap::Arguments;
use arch::{clock, vdso};
use linux_raw_sys::general as linux;
use mm::{UserPtr, spaces};

use crate::fs::events::timer;
use crate::proc::capability::Capability;
use crate::proc::{current, posix_timer, scheduler, system};
use crate::syscall::time::{NS_PER_S, NS_PER_US, Timespec, now_ns, timespec};
use crate::syscall::{Errno, SyscallResult};

/// Seconds after 1970 that the clock must not reach (Linux, TIME_SETTOD_SEC_MAX).
const LATEST: u64 = i64::MAX as u64 / NS_PER_S - 30 * 365 * 24 * 3600;

/// A time that the clock may be set to, in nanoseconds after 1970.
fn settable([seconds, nanoseconds]: Timespec) -> Result<u64, Errno> {
    match seconds < LATEST && nanoseconds < NS_PER_S {
        true => Ok(seconds * NS_PER_S + nanoseconds),
        false => Err(Errno::EINVAL),
    }
}

/// Fails unless the process may set the clock.
fn check_right() -> Result<(), Errno> {
    current().require(Capability::SysTime)
}

/// Sets the clock, and moves the timers that are set to a time of day, and who waits for one.
///
/// # Errors
/// EINVAL: the machine would have booted before 1970.
fn set(ns: u64) -> Result<(), Errno> {
    let boot_time = ns.checked_sub(now_ns()).ok_or(Errno::EINVAL)?;
    let change = boot_time.wrapping_sub(system::boot_time_ns()) as i64;
    system::change_boot_time(boot_time);
    vdso::set_realtime(boot_time);
    spaces::renew_vdso();
    let counts = i64::try_from(clock::counts(change.unsigned_abs())).unwrap_or(i64::MAX);
    let counts = counts * change.signum();
    posix_timer::clock_was_set(counts);
    scheduler::clock_was_set(counts);
    timer::clock_was_set(change);
    Ok(())
}

/// `clock_settime(clock, time)`
pub fn clock_settime(&[clock, time, ..]: &Arguments) -> SyscallResult {
    if clock as u32 != linux::CLOCK_REALTIME {
        return Err(Errno::EINVAL);
    }
    let ns = settable(UserPtr::new(time).read(&current().space())?)?;
    check_right()?;
    set(ns)?;
    Ok(0)
}

/// `settimeofday(time, zone)`: there is no zone but UTC.
pub fn settimeofday(&[time, zone, ..]: &Arguments) -> SyscallResult {
    let space = current().space();
    let ns = match time {
        0 => None,
        address => {
            let [seconds, us]: [u64; 2] = UserPtr::new(address).read(&space)?;
            let ns = us.checked_mul(NS_PER_US).ok_or(Errno::EINVAL)?;
            Some(settable([seconds, ns])?)
        }
    };
    let is_utc = zone == 0 || UserPtr::<[u32; 2]>::new(zone).read(&space)? == [0; 2];
    check_right()?;
    if !is_utc {
        return Err(Errno::EINVAL);
    }
    ns.map_or(Ok(()), set)?;
    Ok(0)
}

/// `struct timex` in words: modes, then offset, frequency, greatest and estimated error, status,
/// constant, precision, tolerance, the time in two, the length of a tick, and what is about pulses.
type Timex = [u64; 26];
const OFFSET: usize = 1;
const FREQUENCY: usize = 2;
const ERRORS: [usize; 2] = [3, 4];
const STATUS: usize = 5;
const CONSTANT: usize = 6;
const PRECISION: usize = 7;
const TOLERANCE: usize = 8;
const TIME: usize = 9;
const TICK: usize = 11;

// Modes, a bit of the status, and what the clock is without anybody who corrects it (Linux,
// include/uapi/linux/timex.h).
const ADJ_SETOFFSET: u32 = 0x100;
const ADJ_NANO: u32 = 0x2000;
const ADJ_OFFSET_SS_READ: u32 = 0xa001;
const STA_UNSYNC: u64 = 0x40;
const TIME_ERROR: u64 = 5;

/// `adjtimex(timex)`: the clock can be looked at and stepped; it runs at the speed that it has.
pub fn adjtimex(&[address, ..]: &Arguments) -> SyscallResult {
    let space = current().space();
    let place = UserPtr::<Timex>::new(address);
    let mut words = place.read(&space)?;
    let modes = words[0] as u32;
    if !matches!(modes, 0 | ADJ_OFFSET_SS_READ) {
        check_right()?;
        if modes & ADJ_SETOFFSET == 0 || modes & !(ADJ_SETOFFSET | ADJ_NANO) != 0 {
            return Err(Errno::EINVAL);
        }
        step([words[TIME], words[TIME + 1]], modes & ADJ_NANO != 0)?;
    }
    let [seconds, ns] = timespec(now_ns().wrapping_add(system::boot_time_ns()));
    let unknown = 16 * NS_PER_S / NS_PER_US;
    words[OFFSET] = 0;
    words[FREQUENCY] = 0;
    for error in ERRORS {
        words[error] = unknown;
    }
    words[STATUS] = STA_UNSYNC;
    words[CONSTANT] = 2;
    words[PRECISION] = 1;
    words[TOLERANCE] = 500 << 16;
    words[TIME] = seconds;
    words[TIME + 1] = ns / NS_PER_US;
    words[TICK] = 10_000;
    words[TICK + 1..].fill(0);
    place.write(&space, &words)?;
    Ok(TIME_ERROR)
}

/// Moves the clock by so many seconds and, forward, parts of one.
fn step([seconds, parts]: [u64; 2], are_nanoseconds: bool) -> Result<(), Errno> {
    let unit = if are_nanoseconds { 1 } else { NS_PER_US };
    let parts = parts.checked_mul(unit).filter(|&ns| ns < NS_PER_S);
    let ns = (seconds as i64).checked_mul(NS_PER_S as i64);
    let change = ns.and_then(|ns| ns.checked_add_unsigned(parts?));
    let now = now_ns().wrapping_add(system::boot_time_ns());
    let time = change.and_then(|change| now.checked_add_signed(change));
    set(settable(timespec(time.ok_or(Errno::EINVAL)?))?)
}

/// `clock_adjtime(clock, timex)`
pub fn clock_adjtime(&[clock, address, ..]: &Arguments) -> SyscallResult {
    match clock as u32 {
        linux::CLOCK_REALTIME => adjtimex(&[address, 0, 0, 0, 0, 0]),
        linux::CLOCK_PROCESS_CPUTIME_ID..=linux::CLOCK_TAI => Err(Errno::EOPNOTSUPP),
        linux::CLOCK_MONOTONIC => Err(Errno::EOPNOTSUPP),
        _ => Err(Errno::EINVAL),
    }
}
