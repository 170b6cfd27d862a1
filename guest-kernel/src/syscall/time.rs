//! Calls about time.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use linux_raw_sys::general::{self as linux, __kernel_timespec};

use super::{Errno, SyscallResult};
use crate::arch::{clock, trap::Registers};
use crate::mm::{UserPtr, user_memory::UserData};
use crate::proc::{current, scheduler};

const NS_PER_S: u64 = 1_000_000_000;

/// CLOCK_REALTIME at boot.
static REALTIME: AtomicU64 = AtomicU64::new(0);

/// Says how many nanoseconds after 1970 the machine booted.
pub fn set_realtime(ns: u64) {
    REALTIME.store(ns, Relaxed);
}

impl UserData for __kernel_timespec {
    type Bytes = [u8; 16];

    fn from_bytes(bytes: &Self::Bytes) -> Self {
        let [seconds, nanoseconds] = [0, 8].map(|at| {
            let word = bytes[at..].first_chunk().copied();
            i64::from_le_bytes(word.unwrap_or_default())
        });
        Self {
            tv_sec: seconds,
            tv_nsec: nanoseconds,
        }
    }

    fn to_bytes(&self) -> Self::Bytes {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.tv_sec.to_le_bytes());
        bytes[8..].copy_from_slice(&self.tv_nsec.to_le_bytes());
        bytes
    }
}

/// `clock_gettime(clock, time)`
pub fn clock_gettime(registers: &Registers) -> SyscallResult {
    let now = clock::now_ns();
    let ns = match u32::try_from(registers.rdi) {
        Ok(linux::CLOCK_MONOTONIC) => now,
        Ok(linux::CLOCK_REALTIME) => now.wrapping_add(REALTIME.load(Relaxed)),
        _ => return Err(Errno::EINVAL),
    };
    let time = __kernel_timespec {
        tv_sec: (ns / NS_PER_S) as i64,
        tv_nsec: (ns % NS_PER_S) as i64,
    };
    UserPtr::new(registers.rsi).write(&mut current().space(), &time)?;
    Ok(0)
}

/// `nanosleep(duration, remaining)`. No signal ever cuts it short, so nothing remains.
pub fn nanosleep(registers: &Registers) -> SyscallResult {
    let duration = UserPtr::new(registers.rdi).read(&mut current().space())?;
    let ns = nanoseconds(&duration).ok_or(Errno::EINVAL)?;
    scheduler::sleep_until(clock::now_ns().saturating_add(ns));
    Ok(0)
}

/// A duration that makes sense, in nanoseconds; at most the 584 years that there are.
fn nanoseconds(duration: &__kernel_timespec) -> Option<u64> {
    let seconds = u64::try_from(duration.tv_sec).ok()?;
    let nanoseconds = u64::try_from(duration.tv_nsec).ok()?;
    (nanoseconds < NS_PER_S).then(|| seconds.saturating_mul(NS_PER_S).saturating_add(nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tv_sec: i64, tv_nsec: i64) -> Option<u64> {
        nanoseconds(&__kernel_timespec { tv_sec, tv_nsec })
    }

    #[test]
    fn durations_are_checked() {
        assert_eq!(of(1, 5), Some(1_000_000_005));
        assert_eq!(of(i64::MAX, 0), Some(u64::MAX));
        assert_eq!([of(-1, 0), of(0, -1), of(0, 1_000_000_000)], [None; 3]);
    }

    #[test]
    fn timespecs_cross_as_bytes() {
        let time = __kernel_timespec {
            tv_sec: -2,
            tv_nsec: 0x0102_0304,
        };
        let bytes = time.to_bytes();
        assert_eq!(bytes[8..12], [4, 3, 2, 1]);
        let back = __kernel_timespec::from_bytes(&bytes);
        assert_eq!((back.tv_sec, back.tv_nsec), (time.tv_sec, time.tv_nsec));
    }
}
