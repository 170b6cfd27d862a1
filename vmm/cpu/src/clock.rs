//! Guest time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Nanoseconds of guest time since its machine was made; clones agree.
#[derive(Clone, Debug)]
pub enum GuestClock {
    /// Guest time is the host's.
    Host(Instant),
    /// Guest time is the time that the vCPUs last set, for runs that repeat exactly.
    Counted(Arc<CountedTime>),
}

impl Default for GuestClock {
    fn default() -> Self {
        Self::host()
    }
}

impl GuestClock {
    /// A clock that starts now and goes with the host's.
    pub fn host() -> Self {
        Self::Host(Instant::now())
    }

    /// Guest time now, in nanoseconds. Never goes back.
    pub fn now_ns(&self) -> u64 {
        match self {
            Self::Host(start) => u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX),
            Self::Counted(time) => time.now_ns(),
        }
    }
}

/// No alarm: a time that never comes.
const NEVER: u64 = u64::MAX;

/// The time of a machine whose clock counts the instructions of its vCPUs, which take turns:
/// the host's clock has no effect, so a vCPU itself must stop when a deadline is due, and
/// idle time is skipped.
///
/// Only the vCPUs' thread changes it; other threads may read it.
#[derive(Debug)]
pub struct CountedTime {
    now: AtomicU64,
    alarm: AtomicU64,
}

impl Default for CountedTime {
    fn default() -> Self {
        Self {
            now: AtomicU64::new(0),
            alarm: AtomicU64::new(NEVER),
        }
    }
}

impl CountedTime {
    /// Guest time when a vCPU last stopped, in nanoseconds.
    pub fn now_ns(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// Sets the time, as counted by the vCPU.
    pub(super) fn publish(&self, now_ns: u64) {
        self.now.store(now_ns, Ordering::Relaxed);
    }

    /// Advances time to `at_ns` while all vCPUs are idle; no effect if that is past.
    pub fn skip_to(&self, at_ns: u64) {
        self.publish(at_ns.max(self.now_ns()));
    }

    /// Has [`Vcpu::run`](super::Vcpu::run) return
    /// [`VmExit::Interrupted`](crate::exit::VmExit::Interrupted), once, exactly when guest
    /// time reaches `at_ns`.
    pub fn set_alarm(&self, at_ns: Option<u64>) {
        self.alarm.store(at_ns.unwrap_or(NEVER), Ordering::Relaxed);
    }

    /// Nanoseconds from `now_ns` to the alarm. Zero means that it is due, and clears it.
    pub(super) fn until_alarm(&self, now_ns: u64) -> u64 {
        let at = self.alarm.load(Ordering::Relaxed);
        let left = at.saturating_sub(now_ns);
        if left == 0 {
            self.set_alarm(None);
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::CountedTime;

    #[test]
    fn an_alarm_goes_off_once_and_time_never_goes_back() {
        let time = CountedTime::default();
        assert_eq!(time.until_alarm(5), u64::MAX - 5);
        time.set_alarm(Some(100));
        assert_eq!(time.until_alarm(60), 40);
        assert_eq!(time.until_alarm(130), 0);
        assert_ne!(time.until_alarm(130), 0);
        time.publish(130);
        time.skip_to(200);
        time.skip_to(150);
        assert_eq!(time.now_ns(), 200);
    }
}
