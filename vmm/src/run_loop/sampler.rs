//! Which exits are timed.
//!
//! Reading the clock costs as much as serving a port write (20 ns; 50 ns under another
//! hypervisor), and an exit's time takes two readings. So of each reason the first
//! [`ALL_TIMED`] exits are timed, and of those that follow one in [`STANDS_FOR`], which
//! counts for so many. Which one is random: a guest with an expensive exit at a fixed
//! period (the end of a line of output) is not sampled at the same point always. Times over
//! many exits stay true; counts are exact anyway.

use crate::exit::ExitReason;

/// Exits of a reason that are all timed.
const ALL_TIMED: u32 = 1024;
/// One in so many is timed after that.
const STANDS_FOR: u64 = 16;

/// Says of each exit whether it is timed.
#[derive(Debug)]
pub struct Sampler {
    seen: [u32; ExitReason::ALL.len()],
    random: fastrand::Rng,
}

impl Sampler {
    /// Has seen no exits.
    pub fn new() -> Self {
        Self {
            seen: [0; ExitReason::ALL.len()],
            random: fastrand::Rng::with_seed(1),
        }
    }

    /// For how many exits the time of this one of `reason` stands; 0 if it need not be
    /// timed.
    #[inline]
    pub fn weight(&mut self, reason: ExitReason) -> u64 {
        let seen = &mut self.seen[reason as usize];
        if *seen < ALL_TIMED {
            *seen += 1;
            return 1;
        }
        if self.random.u64(..).is_multiple_of(STANDS_FOR) {
            STANDS_FOR
        } else {
            0
        }
    }
}

impl Default for Sampler {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::{ALL_TIMED, STANDS_FOR, Sampler};
    use crate::exit::ExitReason;

    #[test]
    fn few_exits_are_all_timed_and_many_stand_for_all() {
        let mut sampler = Sampler::new();
        for _ in 0..ALL_TIMED {
            assert_eq!(sampler.weight(ExitReason::PioOut), 1);
        }
        assert_eq!(sampler.weight(ExitReason::Hlt), 1, "by reason");
        const MANY: u64 = 160_000;
        let timed: u64 = (0..MANY)
            .map(|_| sampler.weight(ExitReason::PioOut))
            .inspect(|weight| assert!([0, STANDS_FOR].contains(weight)))
            .sum();
        assert!(timed.abs_diff(MANY) < MANY / 20, "{timed} for {MANY}");
    }

    /// What happens every 80 exits is timed as often as anything else.
    #[test]
    fn no_rhythm_hides_from_it() {
        let mut sampler = Sampler::new();
        for period in [16, 64, 80, 100] {
            const PERIODS: u64 = 20_000;
            let timed: u64 = (0..PERIODS * period)
                .map(|n| (sampler.weight(ExitReason::PioOut), n % period))
                .filter(|&(_, at)| at == 0)
                .map(|(weight, _)| weight)
                .sum();
            assert!(timed.abs_diff(PERIODS) < PERIODS / 4, "{timed} by {period}");
        }
    }
}
