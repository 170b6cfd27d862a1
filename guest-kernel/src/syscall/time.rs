//! Calls about time.

use arch::{clock, trap::Arguments, vdso};
use linux_raw_sys::general as linux;
use mm::UserPtr;

use crate::fs::stamp::{Stamp, Time};
use crate::proc::clocks::Clock;
use crate::proc::wait_queue::{Deadline, Interrupted, WaitQueue, Woken};
use crate::proc::{current, current_thread, system};
use crate::syscall::{Errno, SyscallResult};

pub use arch::clock::now_ns;

/// Nanoseconds in a second.
pub const NS_PER_S: u64 = 1_000_000_000;
/// Nanoseconds in a microsecond.
pub const NS_PER_US: u64 = 1000;

/// Sets the time of day: so many nanoseconds after 1970 when the time-stamp counter was
/// zero. The clock runs. Ring 3's counter is so far behind, if it can be used there.
pub fn start(ns_at_zero: u64, user_offset: Option<u64>) {
    let at_boot = ns_at_zero.wrapping_add(clock::boot_ns());
    system::set_boot_time(at_boot);
    vdso::start(at_boot, user_offset);
}

/// `struct timespec`: seconds and nanoseconds, both signed.
pub(super) type Timespec = [u64; 2];

pub(super) fn timespec(ns: u64) -> Timespec {
    [ns / NS_PER_S, ns % NS_PER_S]
}

/// A valid duration, in nanoseconds; at most 584 years, which is what fits.
pub(super) fn nanoseconds([seconds, nanoseconds]: Timespec) -> Option<u64> {
    let is_valid = i64::try_from(seconds).is_ok() && nanoseconds < NS_PER_S;
    is_valid.then(|| seconds.saturating_mul(NS_PER_S).saturating_add(nanoseconds))
}

/// What is left of a timer, in counts, told in units of so many nanoseconds and rounded up: a count
/// may be less than a nanosecond, but only nothing is told as 0.
pub fn timer_units(counts: u64, unit_ns: u64) -> u64 {
    clock::ns(counts).div_ceil(unit_ns).max(counts.min(1))
}

/// The `struct timespec` of a program at `address`, in nanoseconds.
///
/// # Errors
/// EFAULT; EINVAL: it is invalid.
pub(super) fn read_ns(address: u64) -> Result<u64, Errno> {
    let time = UserPtr::<Timespec>::new(address).read(&current().space())?;
    nanoseconds(time).ok_or(Errno::EINVAL)
}

/// Nanoseconds after boot, so many from now; or the original deadline, for a call that is
/// restarted after a signal.
pub(super) fn deadline_after(ns: u64) -> u64 {
    let first = current_thread().take_wait_deadline();
    first.unwrap_or_else(|| now_ns().saturating_add(ns))
}

/// Why a call fails if `errno` comes out of its wait until a deadline that
/// [`deadline_after`] gave.
pub(super) fn note_deadline(deadline_ns: u64, errno: Errno) -> Errno {
    if errno.restarts().is_some() {
        current_thread().set_wait_deadline(deadline_ns);
    }
    errno
}

/// Nanoseconds after boot, from nanoseconds after 1970; negative for times before boot.
pub(super) fn since_boot_signed(realtime: i64) -> i64 {
    realtime.saturating_sub_unsigned(system::boot_time_ns())
}

/// A moment, as the time of day.
pub fn of_stamp(stamp: Stamp) -> Time {
    match stamp {
        Stamp::Told(time) => time,
        Stamp::Counted(count) => {
            let [seconds, nanoseconds] =
                timespec(clock::at_ns(count).wrapping_add(system::boot_time_at(count)));
            Time {
                seconds: seconds as i64,
                nanoseconds: nanoseconds as u32,
            }
        }
    }
}

/// What a clock shows, if there is such a clock.
fn read_clock(number: u64) -> Option<u64> {
    Some(match Clock::of_number(number as u32)? {
        Clock::Boot => now_ns(),
        Clock::Day => now_ns().wrapping_add(system::boot_time_ns()),
        Clock::Cpu(clock) => clock::ns(clock.now()?),
    })
}

/// The clock of this number, which can do more than be read.
///
/// # Errors
/// EINVAL: there is none. EOPNOTSUPP: it can be read only, or would wake the machine.
pub(super) fn clock_to_wait_by(number: u32) -> Result<Clock, Errno> {
    match number {
        linux::CLOCK_MONOTONIC_RAW
        | linux::CLOCK_MONOTONIC_COARSE
        | linux::CLOCK_REALTIME_COARSE
        | linux::CLOCK_REALTIME_ALARM
        | linux::CLOCK_BOOTTIME_ALARM => Err(Errno::EOPNOTSUPP),
        _ => Clock::of_number(number).ok_or(Errno::EINVAL),
    }
}

/// `clock_gettime(clock, time)`
pub fn clock_gettime(&[clock, time, ..]: &Arguments) -> SyscallResult {
    let ns = read_clock(clock).ok_or(Errno::EINVAL)?;
    UserPtr::new(time).write(&current().space(), &timespec(ns))?;
    Ok(0)
}

/// `clock_getres(clock, resolution)`: a nanosecond.
pub fn clock_getres(&[clock, resolution, ..]: &Arguments) -> SyscallResult {
    Clock::of_number(clock as u32).ok_or(Errno::EINVAL)?;
    if resolution != 0 {
        UserPtr::new(resolution).write(&current().space(), &timespec(1))?;
    }
    Ok(0)
}

/// `gettimeofday(time, zone)`: seconds and microseconds after 1970; the zone is UTC.
pub fn gettimeofday(&[time, zone, ..]: &Arguments) -> SyscallResult {
    let ns = now_ns().wrapping_add(system::boot_time_ns());
    let space = current().space();
    if time != 0 {
        let timeval = [ns / NS_PER_S, ns % NS_PER_S / NS_PER_US];
        UserPtr::new(time).write(&space, &timeval)?;
    }
    if zone != 0 {
        UserPtr::new(zone).write(&space, &[0_u32; 2])?;
    }
    Ok(0)
}

/// `time(place)`
pub fn time(&[place, ..]: &Arguments) -> SyscallResult {
    let seconds = now_ns().wrapping_add(system::boot_time_ns()) / NS_PER_S;
    if place != 0 {
        UserPtr::new(place).write(&current().space(), &[seconds])?;
    }
    Ok(seconds)
}

/// `nanosleep(duration, remaining)`
pub fn nanosleep(&[duration, remaining, ..]: &Arguments) -> SyscallResult {
    sleep_for(read_ns(duration)?, remaining)
}

/// `clock_nanosleep(clock, flags, time, remaining)`
pub fn clock_nanosleep(&[clock, flags, time, remaining, ..]: &Arguments) -> SyscallResult {
    let clock = clock_to_wait_by(clock as u32)?;
    let is_absolute = flags as u32 & linux::TIMER_ABSTIME != 0;
    let ns = read_ns(time)?;
    match clock {
        Clock::Cpu(_) => Err(Errno::EOPNOTSUPP),
        Clock::Day if is_absolute => sleep_until(Deadline::Day(ns)),
        Clock::Boot if is_absolute => sleep_until(Deadline::Boot(ns)),
        Clock::Day | Clock::Boot => sleep_for(ns, remaining),
    }
}

/// Sleeps for so long. What remains when a signal comes is written to `remaining`, unless
/// that is null.
fn sleep_for(ns: u64, remaining: u64) -> SyscallResult {
    let deadline = deadline_after(ns);
    sleep_until(Deadline::Boot(deadline)).map_err(|errno| {
        let left = timespec(deadline.saturating_sub(now_ns()));
        let remaining = (remaining != 0).then(|| UserPtr::new(remaining));
        match remaining.map(|place| place.write(&current().space(), &left)) {
            Some(Err(error)) => error.into(),
            _ => note_deadline(deadline, errno),
        }
    })
}

fn sleep_until(deadline: Deadline) -> SyscallResult {
    let nobody = WaitQueue::new();
    loop {
        match nobody.sleep_by(deadline) {
            Ok(Woken::TimedOut) => return Ok(0),
            Ok(Woken::Up) => {}
            Err(Interrupted) => return Err(Errno::RESTART_UNHANDLED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_checked() {
        assert_eq!(nanoseconds([1, 5]), Some(1_000_000_005));
        assert_eq!(nanoseconds([i64::MAX as u64, 0]), Some(u64::MAX));
        let bad = [[-1_i64 as u64, 0], [0, -1_i64 as u64], [0, NS_PER_S]];
        assert_eq!(bad.map(nanoseconds), [None; 3]);
    }

    #[test]
    fn times_are_split() {
        assert_eq!(timespec(3 * NS_PER_S + 7), [3, 7]);
    }
}
