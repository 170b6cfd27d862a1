//! Calls about timers that a process makes.

use arch::clock;
use arch::trap::Arguments;
use linux_raw_sys::general as linux;
use mm::UserPtr;

use crate::proc::clocks::Clock;
use crate::proc::posix_timer::{self, Event, PosixTimer};
use crate::proc::signal::Signal;
use crate::proc::wait_queue::Deadline;
use crate::proc::{current, table};
use crate::syscall::time::{NS_PER_S, clock_to_wait_by, nanoseconds, timer_units};
use crate::syscall::{Errno, SyscallResult};

/// `struct itimerspec`: interval and rest, each in seconds and nanoseconds.
type Words = [u64; 4];

/// `timer_create(clock, event, number)`
pub fn timer_create(&[clock, event, number, ..]: &Arguments) -> SyscallResult {
    let clock = clock_to_wait_by(clock as u32)?;
    let process = current();
    let space = process.space();
    let event = match event {
        0 => Event {
            signal: Some(Signal::SIGALRM),
            thread: None,
            value: None,
            clock,
        },
        address => {
            let words = UserPtr::<[u64; 3]>::new(address).read(&space)?;
            event_of(words, clock)?
        }
    };
    let created = posix_timer::create(process, event)?;
    if let Err(error) = UserPtr::new(number).write(&space, &created) {
        posix_timer::delete(posix_timer::find(process, created)?);
        return Err(error.into());
    }
    Ok(0)
}

/// `struct sigevent`: a value, signal and kind, and a thread.
fn event_of([value, kind, thread]: [u64; 3], clock: Clock) -> Result<Event, Errno> {
    let (number, kind) = (kind as u32, (kind >> 32) as u32);
    let signal = match kind {
        linux::SIGEV_NONE => None,
        linux::SIGEV_SIGNAL | linux::SIGEV_THREAD | linux::SIGEV_THREAD_ID => {
            Some(Signal::new(number.into()).ok_or(Errno::EINVAL)?)
        }
        _ => return Err(Errno::EINVAL),
    };
    let thread = match kind {
        linux::SIGEV_THREAD_ID => {
            let thread = table::thread(thread as u32).ok_or(Errno::EINVAL)?;
            if thread.process().pid() != current().pid() {
                return Err(Errno::EINVAL);
            }
            Some(thread.tid())
        }
        _ => None,
    };
    Ok(Event {
        signal,
        thread,
        value: Some(value),
        clock,
    })
}

fn words(timer: &PosixTimer) -> Words {
    let interval = timer.interval_ns();
    let rest = timer_units(timer.get().rest, 1);
    [
        interval / NS_PER_S,
        interval % NS_PER_S,
        rest / NS_PER_S,
        rest % NS_PER_S,
    ]
}

/// `timer_settime(number, flags, new, old)`
pub fn timer_settime(&[number, flags, new, old, ..]: &Arguments) -> SyscallResult {
    let process = current();
    let space = process.space();
    if new == 0 {
        return Err(Errno::EINVAL);
    }
    let [seconds, ns, rest_seconds, rest_ns] = UserPtr::<Words>::new(new).read(&space)?;
    let interval = nanoseconds([seconds, ns]).ok_or(Errno::EINVAL)?;
    let rest = nanoseconds([rest_seconds, rest_ns]).ok_or(Errno::EINVAL)?;
    let timer = posix_timer::find(process, number as u32)?;
    let now = timer.now().ok_or(Errno::ESRCH)?;
    let before = words(timer);
    let is_absolute = flags as u32 & linux::TIMER_ABSTIME != 0;
    let deadline = match rest {
        0 => None,
        at if is_absolute => Some(match timer.clock() {
            Clock::Day => clock::counter_at(Deadline::Day(at).since_boot()),
            Clock::Boot => clock::counter_at(at),
            Clock::Cpu(_) => clock::counts(at),
        }),
        rest => Some(now.saturating_add(clock::counts(rest))),
    };
    let is_of_day = is_absolute && timer.clock() == Clock::Day;
    timer.set(deadline, interval, is_of_day);
    if old != 0 {
        UserPtr::new(old).write(&space, &before)?;
    }
    Ok(0)
}

/// `timer_gettime(number, value)`
pub fn timer_gettime(&[number, value, ..]: &Arguments) -> SyscallResult {
    let timer = posix_timer::find(current(), number as u32)?;
    UserPtr::new(value).write(&current().space(), &words(timer))?;
    Ok(0)
}

/// `timer_getoverrun(number)`
pub fn timer_getoverrun(&[number, ..]: &Arguments) -> SyscallResult {
    let timer = posix_timer::find(current(), number as u32)?;
    Ok(timer.overrun().into())
}

/// `timer_delete(number)`
pub fn timer_delete(&[number, ..]: &Arguments) -> SyscallResult {
    posix_timer::delete(posix_timer::find(current(), number as u32)?);
    Ok(0)
}
