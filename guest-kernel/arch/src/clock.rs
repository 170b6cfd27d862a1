//! Time: the time-stamp counter and its frequency.
//!
//! The frequency comes from the hypervisor (CPUID leaf 4000_0010H: eax TSC, ebx APIC bus,
//! both in kHz; a convention of VMware that KVM's users and our VMM follow), so that
//! booting needs no calibration loop. QEMU's TCG has no such leaf: there `calibrate`
//! measures.

use core::arch::x86_64::{__cpuid, _rdtsc};

use crate::{at_boot::AtBoot, calibrate, cpu::Features};

const HYPERVISOR_LEAVES: u32 = 0x4000_0000;
const FREQUENCY_LEAF: u32 = 0x4000_0010;
const KHZ_PER_GHZ: u64 = 1_000_000;
const FRACTION_BITS: u32 = 32;

#[derive(Clone, Copy)]
struct Clock {
    /// Counter at boot, which is time zero.
    boot: u64,
    /// Nanoseconds per count and counts per nanosecond, with 32 bits of fraction.
    ns_per_count: u64,
    counts_per_ns: u64,
}

static CLOCK: AtBoot<Clock> = AtBoot::new(Clock {
    boot: 0,
    ns_per_count: 0,
    counts_per_ns: 0,
});

/// The frequencies of the machine's counters, in kHz.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frequencies {
    pub tsc: u64,
    /// The local APIC timer's input, undivided.
    pub bus: u64,
}

/// Starts the clock at zero and returns the frequency of the APIC bus in kHz.
pub fn start(features: Features) -> u64 {
    let boot = counter();
    let frequencies = announced(features).unwrap_or_else(|| calibrate::measure(features));
    let ratio = |counts: u64, per: u64| (counts << FRACTION_BITS) / per;
    let clock = Clock {
        boot,
        ns_per_count: ratio(KHZ_PER_GHZ, frequencies.tsc),
        counts_per_ns: ratio(frequencies.tsc, KHZ_PER_GHZ),
    };
    // SAFETY: the first CPU boots, and there is no other one yet.
    unsafe { CLOCK.set(clock) };
    frequencies.bus
}

fn announced(features: Features) -> Option<Frequencies> {
    if !features.hypervisor || __cpuid(HYPERVISOR_LEAVES).eax < FREQUENCY_LEAF {
        return None;
    }
    let leaf = __cpuid(FREQUENCY_LEAF);
    let (tsc, bus) = (u64::from(leaf.eax), u64::from(leaf.ebx));
    (tsc != 0 && bus != 0).then_some(Frequencies { tsc, bus })
}

/// The time-stamp counter.
#[inline]
pub fn counter() -> u64 {
    // SAFETY: CR4.TSD is clear and every long-mode CPU has the counter.
    unsafe { _rdtsc() }
}

/// Nanoseconds since boot.
#[inline]
pub fn now_ns() -> u64 {
    at_ns(counter())
}

/// Nanoseconds from boot to when the counter had this value.
#[inline]
pub fn at_ns(counter: u64) -> u64 {
    let clock = CLOCK.get();
    scale(counter.wrapping_sub(clock.boot), clock.ns_per_count)
}

/// The counter at boot, and nanoseconds per count with 32 bits of fraction.
pub(crate) fn parameters() -> (u64, u64) {
    let clock = CLOCK.get();
    (clock.boot, clock.ns_per_count)
}

/// Nanoseconds from when the counter was zero to boot.
pub fn boot_ns() -> u64 {
    ns(CLOCK.get().boot)
}

/// So many counts in nanoseconds.
#[inline]
pub fn ns(counts: u64) -> u64 {
    scale(counts, CLOCK.get().ns_per_count)
}

/// The counter's value `ns` nanoseconds after boot.
#[inline]
pub fn counter_at(ns: u64) -> u64 {
    let clock = CLOCK.get();
    clock.boot.saturating_add(scale(ns, clock.counts_per_ns))
}

/// The counter's increase in `ns` nanoseconds.
#[inline]
pub fn counts(ns: u64) -> u64 {
    scale(ns, CLOCK.get().counts_per_ns)
}

/// `value` times a ratio with 32 bits of fraction.
#[inline]
pub(crate) fn scale(value: u64, ratio: u64) -> u64 {
    let product = (u128::from(value) * u128::from(ratio)) >> FRACTION_BITS;
    u64::try_from(product).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::scale;

    #[test]
    fn scaling_saturates() {
        assert_eq!(scale(10, 3 << 31), 15);
        assert_eq!(scale(u64::MAX, 1 << 32), u64::MAX);
        assert_eq!(scale(u64::MAX, u64::MAX), u64::MAX);
    }
}
