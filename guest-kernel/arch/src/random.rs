//! Pseudorandom numbers: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), mixed with the
//! time-stamp counter at each use.
//!
//! They are for hash seeds and the like; this machine keeps no secrets. Rejected: `rdrand`,
//! which not every CPU has that the kernel runs on and which a hypervisor may have to
//! emulate.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::clock;

/// 2^64 divided by the golden ratio, odd.
const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;

static STATE: AtomicU64 = AtomicU64::new(0);

/// A pseudorandom number.
pub fn number() -> u64 {
    let state = STATE.load(Relaxed).wrapping_add(GOLDEN_RATIO) ^ clock::counter();
    STATE.store(state, Relaxed);
    mix(state)
}

/// Mixes every bit into all others; a bijection.
fn mix(mut value: u64) -> u64 {
    value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::{GOLDEN_RATIO, mix};

    #[test]
    fn the_generator_is_the_published_one() {
        // The first outputs for the seed 1234567, as its authors' program prints them.
        let outputs =
            [1, 2, 3].map(|n| mix(1_234_567_u64.wrapping_add(GOLDEN_RATIO.wrapping_mul(n))));
        assert_eq!(
            outputs,
            [
                6457827717110365317,
                3203168211198807973,
                9817491932198370423
            ]
        );
    }
}
