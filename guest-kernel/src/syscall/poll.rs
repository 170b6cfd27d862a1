//! Calls that wait for several files.

use arch::trap::Arguments;
use mm::UserSlice;

use crate::fs;
use crate::fs::poll::{self, Readiness};
use crate::proc::current;
use crate::syscall::time::{deadline_after, note_deadline, read_ns};
use crate::syscall::{Errno, SyscallResult, descriptor, signal};

pub(super) const NS_PER_MS: u64 = 1_000_000;

/// Bytes of a `pollfd`: descriptor, events, and where what was found goes.
const POLLFD_SIZE: u64 = 8;
const FOUND_OFFSET: u64 = 6;

/// `poll(files, count, timeout)`, the timeout in milliseconds; none if negative.
pub fn poll(&[files, count, timeout, ..]: &Arguments) -> SyscallResult {
    let timeout = u64::try_from(timeout as i32).ok();
    let timeout = timeout.map(|ms| ms * NS_PER_MS);
    wait(files, count, timeout)
}

/// `ppoll(files, count, timeout, signals, size)`, the timeout a duration, or none, and
/// the signals those that are blocked meanwhile.
pub fn ppoll(&[files, count, timeout, signals, size, ..]: &Arguments) -> SyscallResult {
    let timeout = match timeout {
        0 => None,
        address => Some(read_ns(address)?),
    };
    let blocked = signal::read_set(signals, size)?;
    signal::with_blocked(blocked, || wait(files, count, timeout))
}

fn wait(files: u64, count: u64, timeout: Option<u64>) -> SyscallResult {
    if count > descriptor::limit() as u64 {
        return Err(Errno::EINVAL);
    }
    wait_for(timeout, || look(files, count))
}

/// Calls `look` until it finds something or so many nanoseconds have passed; at least once.
pub(super) fn wait_for(
    timeout: Option<u64>,
    mut look: impl FnMut() -> SyscallResult,
) -> SyscallResult {
    match timeout {
        Some(0) => look(),
        Some(timeout) => {
            let deadline = deadline_after(timeout);
            poll::wait(Some(deadline), look).map_err(|errno| note_deadline(deadline, errno))
        }
        None => poll::wait(None, look),
    }
}

/// Tells the program what is ready, and returns how many files are.
fn look(files: u64, count: u64) -> SyscallResult {
    let mut ready = 0;
    for number in 0..count {
        let address = files.wrapping_add(number * POLLFD_SIZE);
        let mut pollfd = [0; POLLFD_SIZE as usize];
        UserSlice::new(address, POLLFD_SIZE).copy_in(&current().space(), &mut pollfd)?;
        let found = ready_of(&pollfd).bits();
        let place = UserSlice::new(address.wrapping_add(FOUND_OFFSET), 2);
        place.copy_out(&current().space(), &found.to_le_bytes())?;
        ready += u64::from(found != 0);
    }
    Ok(ready)
}

fn ready_of(pollfd: &[u8; POLLFD_SIZE as usize]) -> Readiness {
    let [fd @ .., wanted_0, wanted_1, _, _] = *pollfd;
    let fd = i32::from_le_bytes(fd);
    let wanted = Readiness::from_bits_retain(u16::from_le_bytes([wanted_0, wanted_1]));
    // A negative number is skipped.
    let Ok(fd) = u32::try_from(fd) else {
        return Readiness::empty();
    };
    let ready = match fs::file(fd.into()) {
        Ok(file) => file.readiness(),
        Err(_) => Readiness::INVALID,
    };
    ready & (wanted | Readiness::ALWAYS)
}
