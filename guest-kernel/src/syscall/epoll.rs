//! Calls about sets of files to wait for.

use arch::trap::Arguments;
use linux_raw_sys::general as linux;
use mm::{Shared, UserSlice};

use crate::fs::events::Event;
use crate::fs::events::epoll::{Control, Epoll, Found};
use crate::fs::open_file::Object;
use crate::fs::{self, OpenFile};
use crate::proc::current;
use crate::syscall::descriptor;
use crate::syscall::poll::NS_PER_MS;
use crate::syscall::time::{deadline_after, note_deadline, read_ns};
use crate::syscall::{Errno, SyscallResult, signal};

/// Bytes of an `epoll_event`, which is packed: events and data.
const EVENT_SIZE: u64 = 12;
/// Events that a wait may ask for.
const MAX_EVENTS: u64 = i32::MAX as u64 / EVENT_SIZE;

/// `epoll_create(size)`: any size above 0.
pub fn epoll_create(&[size, ..]: &Arguments) -> SyscallResult {
    match size as i32 {
        ..=0 => Err(Errno::EINVAL),
        _ => create(false),
    }
}

/// `epoll_create1(flags)`
pub fn epoll_create1(&[flags, ..]: &Arguments) -> SyscallResult {
    let flags = flags as u32;
    match flags & !linux::EPOLL_CLOEXEC {
        0 => create(flags & linux::EPOLL_CLOEXEC != 0),
        _ => Err(Errno::EINVAL),
    }
}

fn create(close_on_exec: bool) -> SyscallResult {
    let object = Object::Event(Event::Epoll(Epoll::new()?));
    descriptor::add(OpenFile::new(object, linux::O_RDWR)?, 0, close_on_exec)
}

fn epoll_of(file: &OpenFile) -> Result<&Shared<Epoll>, Errno> {
    match file.object() {
        Object::Event(Event::Epoll(epoll)) => Ok(epoll),
        _ => Err(Errno::EINVAL),
    }
}

/// `epoll_ctl(set, operation, fd, event)`
pub fn epoll_ctl(&[set, operation, fd, event, ..]: &Arguments) -> SyscallResult {
    let operation = operation as u32;
    let event = match operation {
        linux::EPOLL_CTL_DEL => None,
        _ => Some(read_event(event)?),
    };
    let set = fs::file(set)?;
    let file = fs::file(fd)?;
    file.watches().ok_or(Errno::EPERM)?;
    let epoll = epoll_of(&set)?;
    let control = match (operation, event) {
        (linux::EPOLL_CTL_ADD, Some((events, data))) => Control::Add(events, data),
        (linux::EPOLL_CTL_MOD, Some((events, data))) => Control::Change(events, data),
        (linux::EPOLL_CTL_DEL, _) => Control::Remove,
        _ => return Err(Errno::EINVAL),
    };
    epoll.control(fd as u32 as usize, &file, control)?;
    Ok(0)
}

fn read_event(address: u64) -> Result<(u32, u64), Errno> {
    let mut bytes = [0; EVENT_SIZE as usize];
    UserSlice::new(address, EVENT_SIZE).copy_in(&current().space(), &mut bytes)?;
    let [e0, e1, e2, e3, data @ ..] = bytes;
    Ok((
        u32::from_le_bytes([e0, e1, e2, e3]),
        u64::from_le_bytes(data),
    ))
}

/// `epoll_wait(set, events, count, timeout)`, the timeout in milliseconds; none if negative.
pub fn epoll_wait(&[set, events, count, timeout, ..]: &Arguments) -> SyscallResult {
    wait(set, events, count, timeout_ns(timeout))
}

/// `epoll_pwait(set, events, count, timeout, signals, size)`: these signals are blocked
/// meanwhile.
pub fn epoll_pwait(&[set, events, count, timeout, signals, size]: &Arguments) -> SyscallResult {
    let blocked = signal::read_set(signals, size)?;
    signal::with_blocked(blocked, || wait(set, events, count, timeout_ns(timeout)))
}

/// `epoll_pwait2(set, events, count, timeout, signals, size)`: the timeout is a duration, or
/// none.
pub fn epoll_pwait2(&[set, events, count, timeout, signals, size]: &Arguments) -> SyscallResult {
    let timeout = match timeout {
        0 => None,
        address => Some(read_ns(address)?),
    };
    let blocked = signal::read_set(signals, size)?;
    signal::with_blocked(blocked, || wait(set, events, count, timeout))
}

fn timeout_ns(timeout: u64) -> Option<u64> {
    let ms = u64::try_from(timeout as i32).ok()?;
    Some(ms * NS_PER_MS)
}

fn wait(set: u64, events: u64, count: u64, timeout: Option<u64>) -> SyscallResult {
    let count = u64::try_from(count as i32).map_err(|_| Errno::EINVAL)?;
    if !(1..=MAX_EVENTS).contains(&count) {
        return Err(Errno::EINVAL);
    }
    UserSlice::new(events, count * EVENT_SIZE).check()?;
    let set = fs::file(set)?;
    let epoll = epoll_of(&set)?;
    let mut tell = |number, found: Found| {
        let mut bytes = [0; EVENT_SIZE as usize];
        bytes[..4].copy_from_slice(&found.events.to_le_bytes());
        bytes[4..].copy_from_slice(&found.data.to_le_bytes());
        let place = UserSlice::new(events + number * EVENT_SIZE, EVENT_SIZE);
        Ok(place.copy_out(&current().space(), &bytes)?)
    };
    let max = count as usize;
    match timeout {
        Some(0) => epoll.collect(max, &mut tell),
        Some(timeout) => {
            let deadline = deadline_after(timeout);
            let result = epoll.wait(Some(deadline), max, tell);
            result.map_err(|errno| note_deadline(deadline, errno))
        }
        None => epoll.wait(None, max, tell),
    }
}
