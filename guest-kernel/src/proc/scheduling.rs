//! How much of the CPU a thread gets: its nice value, by Linux's weights. Policies are kept and
//! told again: turns are the same for all of them.

use crate::proc::thread::Thread;

/// The weight of nice value 0.
pub const NORMAL_WEIGHT: u32 = 1024;

/// The largest: turns last no longer than others can wait for.
const MAX_WEIGHT: u32 = 8 * NORMAL_WEIGHT;
/// The smallest: so many times at most a thread is passed over for one turn.
const MIN_WEIGHT: u32 = NORMAL_WEIGHT / 8;
/// Where nice value 0 has its weight.
const MIDDLE: usize = 20;

/// Weights of the nice values from -20: each a quarter more than the next.
const WEIGHTS: [u32; 40] = {
    let mut weights = [NORMAL_WEIGHT; 40];
    let mut away = 1;
    while away <= MIDDLE {
        let more = weights[MIDDLE - away + 1] * 5 / 4;
        weights[MIDDLE - away] = if more > MAX_WEIGHT { MAX_WEIGHT } else { more };
        if MIDDLE + away < weights.len() {
            let less = weights[MIDDLE + away - 1] * 4 / 5;
            weights[MIDDLE + away] = if less < MIN_WEIGHT { MIN_WEIGHT } else { less };
        }
        away += 1;
    }
    weights
};

/// What was said of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheduling {
    /// From -20, the most CPU time, to 19, the least.
    pub nice: i8,
    /// `SCHED_OTHER` and so on.
    pub policy: u8,
    /// Of `SCHED_FIFO` and `SCHED_RR`; else 0.
    pub priority: u8,
    /// Whether children have the defaults.
    pub resets_at_fork: bool,
    /// `ioprio_set`.
    pub io_priority: u16,
}

impl Scheduling {
    /// What the first thread has.
    pub const DEFAULT: Self = Self {
        nice: 0,
        policy: 0,
        priority: 0,
        resets_at_fork: false,
        io_priority: 0,
    };

    /// What a child has: with the defaults, if they were better.
    pub fn of_child(self) -> Self {
        if !self.resets_at_fork {
            return self;
        }
        let is_real_time = self.priority != 0;
        Self {
            nice: self.nice.max(0),
            policy: if is_real_time { 0 } else { self.policy },
            priority: 0,
            resets_at_fork: false,
            ..self
        }
    }
}

impl Thread {
    /// What was said of it.
    pub fn scheduling(&self) -> Scheduling {
        self.scheduling.get()
    }

    /// Changes that.
    pub fn set_scheduling(&self, scheduling: Scheduling) {
        self.scheduling.set(scheduling);
        let place = MIDDLE.saturating_add_signed(scheduling.nice.into());
        self.weight.set(WEIGHTS[place.min(WEIGHTS.len() - 1)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_linux_s_up_to_the_largest() {
        assert_eq!(WEIGHTS[MIDDLE], NORMAL_WEIGHT);
        assert_eq!([WEIGHTS[21], WEIGHTS[19], WEIGHTS[18]], [819, 1280, 1600]);
        assert_eq!(WEIGHTS[0], MAX_WEIGHT);
        assert!(WEIGHTS.is_sorted_by(|more, less| more >= less));
    }
}
