//! The time of the guest's records.

use crate::cpu::{CpuError, Vcpu};

/// The guest's time-stamp counter as guest time.
#[derive(Clone, Copy, Debug)]
pub(super) struct TscClock {
    pub khz: u32,
    /// What to add to the counter's nanoseconds, modulo 2^64.
    pub offset_ns: u64,
}

impl TscClock {
    pub fn of(vcpu: &mut dyn Vcpu) -> Result<Self, CpuError> {
        let mut clock = Self {
            khz: vcpu.tsc_khz().max(1),
            offset_ns: 0,
        };
        let tsc = vcpu.state()?.tsc;
        clock.offset_ns = vcpu.clock().now_ns().wrapping_sub(clock.ns(tsc));
        Ok(clock)
    }

    pub fn ns(self, tsc: u64) -> u64 {
        let ns = u128::from(tsc) * 1_000_000 / u128::from(self.khz);
        (ns as u64).wrapping_add(self.offset_ns)
    }
}
