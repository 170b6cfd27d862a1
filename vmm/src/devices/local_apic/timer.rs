//! The local APIC's timer (Intel SDM vol. 3A 11.5.4).
//!
//! Time comes in as nanoseconds. The timer keeps the moment of its next expiry, not a
//! count: the count is computed when the guest reads it, and a periodic timer that was
//! not looked at for a while moves on by whole periods, in one division, so that it
//! neither drifts nor loops. Periods missed meanwhile are one interrupt, as the IRR can
//! hold no more.

/// Frequency of the timer's clock before its divider: one tick is one nanosecond.
pub const BUS_HZ: u64 = 1_000_000_000;

const _: () = assert!(BUS_HZ == 1_000_000_000, "ticks are used as nanoseconds");

/// What the timer does, by bits 17 and 18 of its LVT entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerMode {
    /// Counts down once.
    OneShot,
    /// Counts down again and again.
    Periodic,
    /// Waits for the time-stamp counter to reach IA32_TSC_DEADLINE.
    TscDeadline,
    /// The encoding without a meaning, 3: does nothing.
    Reserved,
}

impl TimerMode {
    /// Decodes the low two bits, ignoring the others.
    pub const fn from_bits(bits: u32) -> Self {
        match bits & 3 {
            0 => Self::OneShot,
            1 => Self::Periodic,
            2 => Self::TscDeadline,
            _ => Self::Reserved,
        }
    }

    /// Whether the timer counts down from its initial count.
    const fn counts(self) -> bool {
        matches!(self, Self::OneShot | Self::Periodic)
    }
}

/// Timer state. Guest time in all methods is in nanoseconds and never goes back, and
/// [`expire`](Self::expire) has been called with it before a register is touched.
#[derive(Debug)]
pub struct Timer {
    tsc_khz: u32,
    mode: TimerMode,
    initial: u32,
    divide: u32,
    /// IA32_TSC_DEADLINE; zero while not armed.
    deadline: u64,
    /// When the timer expires next.
    next: Option<u64>,
}

impl Timer {
    /// A stopped one-shot timer beside a time-stamp counter of `tsc_khz`.
    pub fn new(tsc_khz: u32) -> Self {
        Self {
            tsc_khz: tsc_khz.max(1),
            mode: TimerMode::OneShot,
            initial: 0,
            divide: 0,
            deadline: 0,
            next: None,
        }
    }

    /// The same time-stamp counter, and all else as after reset.
    pub fn reset(&mut self) {
        *self = Self::new(self.tsc_khz);
    }

    /// Changes the mode. Between counting and waiting for a deadline the timer stops
    /// (11.5.4.1); between one-shot and periodic it counts on.
    pub fn set_mode(&mut self, mode: TimerMode) {
        if mode.counts() != self.mode.counts() || !mode.counts() && mode != self.mode {
            self.initial = 0;
            self.deadline = 0;
            self.next = None;
        }
        self.mode = mode;
    }

    /// The initial-count register.
    pub fn initial_count(&self) -> u32 {
        self.initial
    }

    /// Starts the timer, or stops it by zero. No effect where it does not count.
    pub fn set_initial_count(&mut self, count: u32, now: u64) {
        if self.mode.counts() {
            self.initial = count;
            self.next = (count != 0).then(|| now.saturating_add(self.ticks(count)));
        }
    }

    /// The current-count register: what is left, rounded up.
    pub fn current_count(&self, now: u64) -> u32 {
        match self.next {
            Some(next) if self.mode.counts() => {
                let left = next.saturating_sub(now).div_ceil(self.divisor());
                u32::try_from(left).unwrap_or(u32::MAX)
            }
            _ => 0,
        }
    }

    /// The divide-configuration register.
    pub fn divide_config(&self) -> u32 {
        self.divide
    }

    /// Changes the divider; a count in progress goes on from where it is, at the new rate.
    pub fn set_divide_config(&mut self, config: u32, now: u64) {
        let left = self.current_count(now);
        self.divide = config & 0xb;
        if self.next.is_some() && self.mode.counts() {
            self.next = Some(now.saturating_add(self.ticks(left)));
        }
    }

    /// IA32_TSC_DEADLINE: zero while not armed or in another mode.
    pub fn tsc_deadline(&self) -> u64 {
        self.deadline
    }

    /// Arms the timer for when the time-stamp counter reaches `tsc`, or disarms it by zero.
    /// No effect in other modes (11.5.4.1). When that will be depends on the counter: see
    /// [`wants_tsc`](Self::wants_tsc).
    pub fn set_tsc_deadline(&mut self, tsc: u64) {
        if self.mode == TimerMode::TscDeadline {
            self.deadline = tsc;
            self.next = None;
        }
    }

    /// Whether the timer is armed and was not told the time-stamp counter since.
    #[inline]
    pub fn wants_tsc(&self) -> bool {
        self.deadline != 0 && self.next.is_none()
    }

    /// The time-stamp counter is `tsc` at guest time `now`. If software sets the counter
    /// later, an armed timer does not follow.
    pub fn tell_tsc(&mut self, tsc: u64, now: u64) {
        if self.wants_tsc() {
            let left = u128::from(self.deadline.saturating_sub(tsc)) * 1_000_000;
            let left_ns = left.div_ceil(u128::from(self.tsc_khz));
            let left_ns = u64::try_from(left_ns).unwrap_or(u64::MAX);
            self.next = Some(now.saturating_add(left_ns));
        }
    }

    /// Whether the timer has expired since the last call; moves a periodic one on.
    pub fn expire(&mut self, now: u64) -> bool {
        let Some(next) = self.next.filter(|&next| next <= now) else {
            return false;
        };
        self.deadline = 0;
        self.next = if self.mode == TimerMode::Periodic {
            let period = self.ticks(self.initial);
            let missed = (now - next) / period.max(1);
            Some(next.saturating_add(period.saturating_mul(missed.saturating_add(1))))
        } else {
            None
        };
        true
    }

    /// When the timer expires next.
    pub fn next(&self) -> Option<u64> {
        self.next
    }

    /// Nanoseconds that counting down from `count` takes: below 2^39.
    fn ticks(&self, count: u32) -> u64 {
        u64::from(count) * self.divisor()
    }

    /// Bus ticks in a count, 1 to 128 (11.5.4, figure of the divide-configuration
    /// register).
    fn divisor(&self) -> u64 {
        let code = self.divide & 3 | self.divide >> 1 & 4;
        1 << ((code + 1) & 7)
    }
}

#[cfg(test)]
mod tests {
    use super::{Timer, TimerMode};

    /// The divide configuration for 1.
    const BY_ONE: u32 = 0xb;

    fn timer(mode: TimerMode) -> Timer {
        let mut timer = Timer::new(2_000_000);
        timer.set_mode(mode);
        timer.set_divide_config(BY_ONE, 0);
        timer
    }

    #[test]
    fn one_shot_counts_down_once() {
        let mut timer = timer(TimerMode::OneShot);
        timer.set_initial_count(1000, 50);
        assert_eq!(timer.next(), Some(1050));
        assert_eq!(timer.current_count(50), 1000);
        assert_eq!(timer.current_count(1049), 1);
        assert!(!timer.expire(1049));
        assert!(timer.expire(1050));
        assert!(!timer.expire(5000));
        assert_eq!(
            (timer.current_count(5000), timer.initial_count()),
            (0, 1000)
        );
        assert_eq!(timer.next(), None);
    }

    #[test]
    fn periodic_keeps_its_phase_over_any_gap() {
        let mut timer = timer(TimerMode::Periodic);
        timer.set_initial_count(10, 3);
        assert!(timer.expire(13));
        assert_eq!(timer.next(), Some(23));
        assert!(timer.expire(u64::MAX / 2));
        let next = timer.next().expect("still running");
        assert!(next > u64::MAX / 2 && next <= u64::MAX / 2 + 10);
        assert_eq!(next % 10, 3);
        assert!(!timer.expire(u64::MAX / 2));
        timer.set_initial_count(0, u64::MAX / 2);
        assert!(!timer.expire(u64::MAX));
    }

    #[test]
    fn every_divider() {
        let configs = [0xb, 0, 1, 2, 3, 8, 9, 0xa];
        for (power, config) in configs.into_iter().enumerate() {
            let mut timer = Timer::new(1);
            timer.set_divide_config(config | 0xf4, 0);
            assert_eq!(timer.divide_config(), config);
            timer.set_initial_count(u32::MAX, 0);
            assert_eq!(timer.next(), Some(u64::from(u32::MAX) << power));
            assert_eq!(timer.current_count(0), u32::MAX);
        }
    }

    #[test]
    fn a_new_divider_takes_the_rest_of_the_count_along() {
        let mut timer = timer(TimerMode::OneShot);
        timer.set_initial_count(1000, 0);
        timer.set_divide_config(0, 400);
        assert_eq!(timer.current_count(400), 600);
        assert_eq!(timer.next(), Some(400 + 1200));
    }

    #[test]
    fn a_deadline_fires_when_the_counter_reaches_it() {
        let mut timer = timer(TimerMode::TscDeadline);
        timer.set_tsc_deadline(7001);
        assert_eq!((timer.tsc_deadline(), timer.next()), (7001, None));
        timer.tell_tsc(5200, 100);
        assert_eq!((timer.tsc_deadline(), timer.next()), (7001, Some(1001)));
        timer.tell_tsc(0, 101);
        assert_eq!(timer.next(), Some(1001));
        assert!(!timer.expire(1000));
        assert!(timer.expire(1001));
        assert_eq!((timer.tsc_deadline(), timer.next()), (0, None));
        timer.set_tsc_deadline(u64::MAX);
        timer.tell_tsc(0, 0);
        assert_eq!(timer.next(), Some(u64::MAX.div_ceil(2)));
        timer.set_tsc_deadline(0);
        timer.tell_tsc(0, 0);
        assert_eq!(timer.next(), None);
        timer.set_initial_count(5, 0);
        assert_eq!((timer.initial_count(), timer.current_count(0)), (0, 0));
    }

    #[test]
    fn changing_the_kind_of_timer_stops_it() {
        let mut timer = timer(TimerMode::OneShot);
        timer.set_initial_count(1000, 0);
        timer.set_mode(TimerMode::Periodic);
        assert_eq!(timer.next(), Some(1000));
        timer.set_tsc_deadline(7);
        assert_eq!((timer.tsc_deadline(), timer.next()), (0, Some(1000)));
        timer.set_mode(TimerMode::TscDeadline);
        assert_eq!((timer.next(), timer.initial_count()), (None, 0));
        timer.set_tsc_deadline(7);
        timer.set_mode(TimerMode::Reserved);
        assert_eq!((timer.next(), timer.tsc_deadline()), (None, 0));
    }

    #[test]
    fn a_counter_without_a_frequency_is_no_division_by_zero() {
        let mut timer = Timer::new(0);
        timer.set_mode(TimerMode::TscDeadline);
        timer.set_tsc_deadline(u64::MAX);
        timer.tell_tsc(0, 1);
        assert_eq!(timer.next(), Some(u64::MAX));
    }
}
