//! Where `rdrand` and `rdseed` get their numbers.

use std::arch::x86_64::{_rdrand64_step, _rdseed64_step};

use fastrand::Rng;

use crate::GuestClock;

/// A source of random numbers.
pub enum Random {
    /// The host's own instructions.
    Host,
    /// A generator: with counted time, two runs of one guest see the same numbers.
    Generator(Rng),
}

impl Random {
    /// The source that goes with a clock, for the vCPU of this number.
    pub fn of(clock: &GuestClock, id: u8) -> Self {
        match clock {
            GuestClock::Host(_) => Self::Host,
            GuestClock::Counted(_) => Self::Generator(Rng::with_seed(id.into())),
        }
    }

    /// The next number of `rdseed` or, unless `seed`, of `rdrand`; `None` if there is none
    /// now.
    pub fn next(&mut self, seed: bool) -> Option<u64> {
        match self {
            Self::Host => from_host(seed),
            Self::Generator(rng) => Some(rng.u64(..)),
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
