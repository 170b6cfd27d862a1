//! The clock of the run loop, and its times.

use crate::report::LoopTimes;

/// Time of a run loop in ticks of [`host_ticks`].
#[derive(Clone, Copy, Debug, Default)]
pub struct LoopTicks {
    /// From the first entry to the end.
    pub total: u64,
    /// Serving exits.
    pub serving: u64,
    /// Asleep until an interrupt.
    pub asleep: u64,
}

impl LoopTicks {
    /// The same in nanoseconds.
    pub fn times(&self, ns_per_tick: f64) -> LoopTimes {
        let ns = |ticks: u64| (ticks as f64 * ns_per_tick).round() as u64;
        LoopTimes {
            total_ns: ns(self.total),
            accelerator_ns: ns(self
                .total
                .saturating_sub(self.serving)
                .saturating_sub(self.asleep)),
            asleep_ns: ns(self.asleep),
        }
    }
}

/// The host's time-stamp counter: the cheapest clock there is, for differences only. The
/// report turns ticks into nanoseconds by the ratio over the whole run.
pub fn host_ticks() -> u64 {
    // SAFETY: every x86-64 processor has RDTSC, and Linux leaves it enabled.
    unsafe { std::arch::x86_64::_rdtsc() }
}
