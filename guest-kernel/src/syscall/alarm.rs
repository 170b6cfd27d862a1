//! Calls about the alarm of a process.

use arch::{clock, trap::Arguments};
use linux_raw_sys::general as linux;
use mm::UserPtr;

use crate::proc::alarm::{self, Alarm};
use crate::proc::cpu_alarm;
use crate::proc::current;
use crate::syscall::time::{NS_PER_S, NS_PER_US, timer_units};
use crate::syscall::{Errno, SyscallResult};

const US_PER_S: u64 = 1_000_000;

/// `struct itimerval`: interval and rest, each in seconds and microseconds.
type Words = [u64; 4];

fn words(alarm: Alarm) -> Words {
    let [interval, rest] = [alarm.interval, alarm.rest].map(|counts| {
        let us = timer_units(counts, NS_PER_US);
        [us / US_PER_S, us % US_PER_S]
    });
    [interval[0], interval[1], rest[0], rest[1]]
}

fn alarm_of([interval, interval_us, rest, rest_us]: Words) -> Result<Alarm, Errno> {
    let counts = |seconds: u64, us: u64| {
        if i64::try_from(seconds).is_err() || us >= US_PER_S {
            return Err(Errno::EINVAL);
        }
        let ns = seconds.saturating_mul(NS_PER_S);
        Ok(clock::counts(ns.saturating_add(us * NS_PER_US)))
    };
    Ok(Alarm {
        rest: counts(rest, rest_us)?,
        interval: counts(interval, interval_us)?,
    })
}

/// `alarm(seconds)`: returns the seconds left of the previous alarm, at least 1; 0 if there
/// was none.
pub fn alarm(&[seconds, ..]: &Arguments) -> SyscallResult {
    let process = current();
    let old = alarm::get(process);
    let ns = u64::from(seconds as u32) * NS_PER_S;
    let new = Alarm {
        rest: clock::counts(ns),
        interval: 0,
    };
    alarm::set(process, new);
    Ok(timer_units(old.rest, NS_PER_S))
}

/// `getitimer(kind, value)`
pub fn getitimer(&[kind, value, ..]: &Arguments) -> SyscallResult {
    let alarm = words(get(Kind::from_number(kind)?));
    UserPtr::new(value).write(&current().space(), &alarm)?;
    Ok(0)
}

/// `setitimer(kind, new, old)`
pub fn setitimer(&[kind, new, old, ..]: &Arguments) -> SyscallResult {
    let kind = Kind::from_number(kind)?;
    let space = current().space();
    let new = match new {
        0 => Alarm::default(),
        address => alarm_of(UserPtr::<Words>::new(address).read(&space)?)?,
    };
    if old != 0 {
        let alarm = words(get(kind));
        UserPtr::new(old).write(&space, &alarm)?;
    }
    match kind {
        Kind::Real => alarm::set(current(), new),
        Kind::Cpu(kind) => cpu_alarm::set(current(), kind, new),
    }
    Ok(0)
}

/// The timers of a process.
#[derive(Clone, Copy)]
enum Kind {
    Real,
    Cpu(cpu_alarm::Kind),
}

impl Kind {
    fn from_number(number: u64) -> Result<Self, Errno> {
        match number as u32 {
            linux::ITIMER_REAL => Ok(Self::Real),
            linux::ITIMER_VIRTUAL => Ok(Self::Cpu(cpu_alarm::Kind::User)),
            linux::ITIMER_PROF => Ok(Self::Cpu(cpu_alarm::Kind::All)),
            _ => Err(Errno::EINVAL),
        }
    }
}

fn get(kind: Kind) -> Alarm {
    match kind {
        Kind::Real => alarm::get(current()),
        Kind::Cpu(kind) => cpu_alarm::get(current(), kind),
    }
}
