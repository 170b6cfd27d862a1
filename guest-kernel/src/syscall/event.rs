//! Calls that make counters, timers and the like, and those about timers.

use arch::trap::Arguments;
use linux_raw_sys::general as linux;
use mm::{Owned, Shared, UserPtr};

use crate::fs::events::timer::{OnSet, Setting};
use crate::fs::events::{Counter, Event, SignalFile, Timer};
use crate::fs::open_file::Object;
use crate::fs::{self, OpenFile};
use crate::proc::current;
use crate::syscall::descriptor;
use crate::syscall::time::{NS_PER_S, nanoseconds, now_ns, since_boot_signed};
use crate::syscall::{Errno, SyscallResult, signal};

/// Gives the current process a descriptor for `event`; of `flags` O_NONBLOCK and O_CLOEXEC
/// count, which all such calls have under these numbers.
fn add(event: Event, flags: u32) -> SyscallResult {
    let file = OpenFile::new(
        Object::Event(event),
        linux::O_RDWR | flags & linux::O_NONBLOCK,
    )?;
    descriptor::add(file, 0, flags & linux::O_CLOEXEC != 0)
}

/// `eventfd(count)`
pub fn eventfd(&[count, ..]: &Arguments) -> SyscallResult {
    new_counter(count, 0)
}

/// `eventfd2(count, flags)`
pub fn eventfd2(&[count, flags, ..]: &Arguments) -> SyscallResult {
    new_counter(count, flags as u32)
}

fn new_counter(count: u64, flags: u32) -> SyscallResult {
    if flags & !(linux::EFD_SEMAPHORE | linux::EFD_CLOEXEC | linux::EFD_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let is_semaphore = flags & linux::EFD_SEMAPHORE != 0;
    let counter = Counter::new((count as u32).into(), is_semaphore);
    add(Event::Counter(Owned::new(counter)?), flags)
}

/// `signalfd(fd, signals, size)`
pub fn signalfd(&[fd, signals, size, ..]: &Arguments) -> SyscallResult {
    signal_file(fd, signals, size, 0)
}

/// `signalfd4(fd, signals, size, flags)`: a new one if `fd` is -1, else other signals for that
/// one.
pub fn signalfd4(&[fd, signals, size, flags, ..]: &Arguments) -> SyscallResult {
    signal_file(fd, signals, size, flags as u32)
}

fn signal_file(fd: u64, signals: u64, size: u64, flags: u32) -> SyscallResult {
    if flags & !(linux::O_CLOEXEC | linux::O_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    if size != signal::SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let signals = signal::read_set(signals, size)?.ok_or(Errno::EFAULT)?;
    if fd as i32 == -1 {
        return add(Event::Signals(SignalFile::new(signals)), flags);
    }
    let file = fs::file(fd)?;
    let Object::Event(Event::Signals(existing)) = file.object() else {
        return Err(Errno::EINVAL);
    };
    existing.set(signals);
    Ok((fd as u32).into())
}

/// `timerfd_create(clock, flags)`: one clock is as good as another, as they all run.
pub fn timerfd_create(&[clock, flags, ..]: &Arguments) -> SyscallResult {
    let flags = flags as u32;
    if flags & !(linux::TFD_CLOEXEC | linux::TFD_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let is_realtime = match clock as u32 {
        linux::CLOCK_REALTIME | linux::CLOCK_REALTIME_ALARM => true,
        linux::CLOCK_MONOTONIC | linux::CLOCK_BOOTTIME | linux::CLOCK_BOOTTIME_ALARM => false,
        _ => return Err(Errno::EINVAL),
    };
    add(Event::Timer(Timer::new(is_realtime)?), flags)
}

/// `struct itimerspec`: interval and value, each in seconds and nanoseconds.
type Times = [u64; 4];

fn times(setting: Setting) -> Times {
    let interval = setting.interval;
    let next = setting.next.map_or(0, i64::unsigned_abs);
    [
        interval / NS_PER_S,
        interval % NS_PER_S,
        next / NS_PER_S,
        next % NS_PER_S,
    ]
}

fn timer_of(file: &Shared<OpenFile>) -> Result<&Timer, Errno> {
    match file.object() {
        Object::Event(Event::Timer(timer)) => Ok(timer),
        _ => Err(Errno::EINVAL),
    }
}

/// `timerfd_settime(fd, flags, new, old)`
pub fn timerfd_settime(&[fd, flags, new, old, ..]: &Arguments) -> SyscallResult {
    let flags = flags as u32;
    let space = current().space();
    let [interval_s, interval_ns, next_s, next_ns] = UserPtr::<Times>::new(new).read(&space)?;
    if flags & !(linux::TFD_TIMER_ABSTIME | linux::TFD_TIMER_CANCEL_ON_SET) != 0 {
        return Err(Errno::EINVAL);
    }
    let interval = nanoseconds([interval_s, interval_ns]).ok_or(Errno::EINVAL)?;
    let next = nanoseconds([next_s, next_ns]).ok_or(Errno::EINVAL)?;
    let file = fs::file(fd)?;
    let timer = timer_of(&file)?;
    let before = timer.get();
    let is_absolute = flags & linux::TFD_TIMER_ABSTIME != 0;
    let next = (next > 0).then(|| match i64::try_from(next) {
        Ok(next) if is_absolute && timer.is_realtime() => since_boot_signed(next),
        Ok(next) if is_absolute => next,
        Ok(next) => next.saturating_add(now_ns() as i64),
        Err(_) => i64::MAX,
    });
    let on_set = match is_absolute && timer.is_realtime() {
        false => OnSet::Stays,
        true if flags & linux::TFD_TIMER_CANCEL_ON_SET != 0 => OnSet::Cancels,
        true => OnSet::Moves,
    };
    timer.set(Setting { next, interval }, on_set)?;
    if old != 0 {
        UserPtr::new(old).write(&space, &times(before))?;
    }
    Ok(0)
}

/// `timerfd_gettime(fd, current)`
pub fn timerfd_gettime(&[fd, place, ..]: &Arguments) -> SyscallResult {
    let file = fs::file(fd)?;
    let setting = timer_of(&file)?.get();
    UserPtr::new(place).write(&current().space(), &times(setting))?;
    Ok(0)
}
