//! Where `rdrand` and `rdseed` get their numbers.

use std::arch::x86_64::{_rdrand64_step, _rdseed64_step};

use crate::emu::outside::meter::Clock;

/// A source of random numbers.
pub enum Random {
    /// The host's own instructions.
    Host,
    /// SplitMix64: with counted time, two runs of one guest see the same numbers.
    Counted(u64),
}

impl Random {
    /// The source that goes with a clock.
    pub fn of(clock: Clock) -> Self {
        match clock {
            Clock::Host => Self::Host,
            Clock::Instructions => Self::Counted(0),
        }
    }

    /// The next number of `rdseed` or, unless `seed`, of `rdrand`; `None` if there is none
    /// now.
    pub fn next(&mut self, seed: bool) -> Option<u64> {
        match self {
            Self::Host => from_host(seed),
            Self::Counted(state) => {
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut value = *state;
                value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
                Some(value ^ value >> 31)
            }
        }
    }
}

fn from_host(seed: bool) -> Option<u64> {
    let mut value = 0;
    // SAFETY: the decoder refuses what the host does not have.
    let done = unsafe {
        if seed {
            _rdseed64_step(&mut value)
        } else {
            _rdrand64_step(&mut value)
        }
    };
    (done != 0).then_some(value)
}
