//! Guest time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Nanoseconds of guest time since its vCPU was made; clones agree.
#[derive(Clone, Debug)]
pub enum GuestClock {
    /// Guest time is the host's.
    Host(Instant),
    /// Guest time is what the vCPU last said, for runs that repeat exactly.
    Counted(Arc<AtomicU64>),
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
            Self::Counted(now) => now.load(Ordering::Relaxed),
        }
    }
}
