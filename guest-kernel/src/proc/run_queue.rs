//! The threads that could run and do not, and whose turn it is.
//!
//! Round robin by credit (deficit round robin: Shreedhar and Varghese, SIGCOMM 1995). A
//! thread gets a tick's worth of credit as its turn comes, more or less by its weight, and has
//! the CPU until it has used that up. Only ticks end turns, and they may come late, not at all, or early in a
//! turn that began late; so what a turn took too much or left is part of the next one.
//! Over time all use the same, whatever the ticks did.
//!
//! A thread that an interrupt wakes goes before all others, if it has credit left from its
//! last turn: such a thread waits for events. It gains no CPU time by that, as credit comes
//! from turns only.

use crate::proc::list::List;
use crate::proc::scheduler::CpuMask;
use crate::proc::scheduling::NORMAL_WEIGHT;
use crate::proc::thread::{Runs, Thread};

/// Ticks that a thread can owe; more are forgiven, so that finding the next thread takes a
/// bounded number of steps.
const MAX_DEBT: i64 = 8;

/// The queue.
pub struct RunQueue {
    /// Woken by an interrupt.
    urgent: List<Thread, Runs>,
    /// Whose turns an urgent one broke off.
    preempted: List<Thread, Runs>,
    others: List<Thread, Runs>,
}

impl RunQueue {
    /// An empty queue.
    pub const fn new() -> Self {
        Self {
            urgent: List::new(),
            preempted: List::new(),
            others: List::new(),
        }
    }

    /// Whether an urgent thread is queued that may run on any of `cpus`.
    pub fn is_urgent(&self, cpus: CpuMask) -> bool {
        first(&self.urgent, cpus).is_some()
    }

    /// Puts a thread behind all others.
    pub fn push(&self, thread: &'static Thread) {
        self.others.push_back(thread);
    }

    /// Puts a thread that an interrupt woke before all others, if it has credit.
    pub fn push_woken(&self, thread: &'static Thread) {
        if thread.credit.get() > 0 {
            self.urgent.push_back(thread);
        } else {
            self.push(thread);
        }
    }

    /// Puts a thread whose turn was broken off before all others but the urgent ones.
    pub fn push_preempted(&self, thread: &'static Thread) {
        self.preempted.push_front(thread);
    }

    /// Takes out the thread whose turn it is of those that may run on any of `cpus`; a new turn is
    /// worth `tick` counts.
    pub fn pop(&self, tick: u64, cpus: CpuMask) -> Option<&'static Thread> {
        if let Some(thread) = take(&self.urgent, cpus) {
            return Some(thread);
        }
        while let Some(thread) = take(&self.preempted, cpus) {
            if thread.credit.get() > 0 {
                return Some(thread);
            }
            self.push(thread);
        }
        loop {
            let thread = take(&self.others, cpus)?;
            let turn = tick * u64::from(thread.weight.get()) / u64::from(NORMAL_WEIGHT);
            let credit = thread.credit.get() + signed(turn);
            thread
                .credit
                .set(credit.min(signed(turn + end_of_turn(tick))));
            if first(&self.others, cpus).is_none() {
                // Nobody was kept waiting, so nothing is owed.
                thread.credit.set(thread.credit.get().max(signed(turn)));
                return Some(thread);
            }
            if credit > 0 {
                return Some(thread);
            }
            self.push(thread);
        }
    }
}

/// The first thread that may run on any of `cpus`. Those that may not are few: a program has to
/// ask for it.
#[inline]
fn first(list: &List<Thread, Runs>, cpus: CpuMask) -> Option<&'static Thread> {
    let front = list.front()?;
    match front.cpus.get() & cpus {
        0 => list.iter().find(|thread| thread.cpus.get() & cpus != 0),
        _ => Some(front),
    }
}

#[inline]
fn take(list: &List<Thread, Runs>, cpus: CpuMask) -> Option<&'static Thread> {
    let front = list.front()?;
    if front.cpus.get() & cpus != 0 {
        return list.pop_front();
    }
    let thread = first(list, cpus)?;
    list.remove(thread);
    Some(thread)
}

/// The credit with which a turn is over at a tick: the next would come later by more than
/// this one comes early.
fn end_of_turn(tick: u64) -> u64 {
    tick / 2
}

/// Charges a thread for `used` counts of CPU time since it was last charged.
pub fn charge(thread: &Thread, used: u64, tick: u64) {
    // A turn of 2^62 counts would last for decades.
    let credit = thread.credit.get().wrapping_sub(used.cast_signed());
    thread.credit.set(credit.max(-MAX_DEBT * signed(tick)));
}

/// Whether the turn of a thread that has had the CPU for `used` counts since it was last
/// charged is over. Ticks are all that can end a turn, so the nearest one does.
pub fn has_had_turn(thread: &Thread, used: u64, tick: u64) -> bool {
    thread.credit.get().saturating_sub(signed(used)) <= signed(end_of_turn(tick))
}

/// A count that would not fit is no different from the largest that does.
fn signed(counts: u64) -> i64 {
    i64::try_from(counts).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::scheduling::Scheduling;
    use fastrand::Rng;

    const TICK: u64 = 1000;
    const ALL: CpuMask = CpuMask::MAX;

    fn threads<const N: usize>() -> [&'static Thread; N] {
        std::array::from_fn(|_| {
            let thread = &*Box::leak(Box::new(Thread::unused()));
            thread.set_scheduling(Scheduling::DEFAULT);
            thread
        })
    }

    /// Lets spinners run for `ticks` ticks and says what each has used. A tick comes
    /// `late(now)` counts late.
    fn spin<const N: usize>(ticks: u64, mut late: impl FnMut() -> u64) -> [u64; N] {
        let queue = RunQueue::new();
        let all = threads::<N>();
        let mut used = [0; N];
        all.iter().for_each(|thread| queue.push(thread));
        let mut now = 0;
        let mut thread = queue.pop(TICK, ALL).expect("there are threads");
        let mut turn = now;
        while now < ticks * TICK {
            now = (now / TICK + 1) * TICK + late();
            if has_had_turn(thread, now - turn, TICK) {
                let number = all.iter().position(|other| std::ptr::eq(*other, thread));
                used[number.expect("it is one of them")] += now - turn;
                charge(thread, now - turn, TICK);
                queue.push(thread);
                thread = queue.pop(TICK, ALL).expect("there are threads");
                turn = now;
            }
        }
        used
    }

    fn spread<const N: usize>(used: [u64; N]) -> u64 {
        used.into_iter().max().unwrap_or(0) - used.into_iter().min().unwrap_or(0)
    }

    #[test]
    fn all_get_the_same() {
        assert!(spread(spin::<3>(100, || 0)) <= TICK);
        assert!(spread(spin::<8>(100, || 7)) <= TICK + 13 * 7);
    }

    #[test]
    fn who_is_nicer_gets_less() {
        let queue = RunQueue::new();
        let [nice, normal] = threads();
        nice.set_scheduling(Scheduling {
            nice: 3,
            ..Scheduling::DEFAULT
        });
        let mut turns = [0, 0];
        [nice, normal]
            .into_iter()
            .for_each(|thread| queue.push(thread));
        for _ in 0..300 {
            let thread = queue.pop(TICK, ALL).expect("there are threads");
            turns[usize::from(std::ptr::eq(thread, normal))] += 1;
            charge(thread, TICK, TICK);
            queue.push(thread);
        }
        assert!(
            (1.8..2.1).contains(&(f64::from(turns[1]) / f64::from(turns[0]))),
            "{turns:?}"
        );
    }

    #[test]
    fn late_ticks_and_the_short_turns_after_them_even_out() {
        let mut random = Rng::with_seed(2);
        let late = || match random.u64(..10) {
            0 => random.u64(..5 * TICK),
            _ => random.u64(..TICK / 10),
        };
        let used = spin::<4>(100_000, late);
        assert!(spread(used) <= 7 * TICK, "{used:?}");
    }

    #[test]
    fn threads_take_turns_in_order() {
        let queue = RunQueue::new();
        let [a, b, c] = threads();
        [a, b, c].into_iter().for_each(|thread| queue.push(thread));
        for expected in [a, b, c, a, b, c] {
            let thread = queue.pop(TICK, ALL).expect("there are threads");
            assert!(std::ptr::eq(thread, expected));
            charge(thread, TICK, TICK);
            queue.push(thread);
        }
    }

    #[test]
    fn who_is_woken_comes_first_while_credit_lasts() {
        let queue = RunQueue::new();
        let [sleeper, spinner] = threads();
        queue.push(sleeper);
        queue.push(spinner);
        let first = queue.pop(TICK, ALL).expect("there are threads");
        assert!(std::ptr::eq(first, sleeper));
        charge(sleeper, TICK / 2, TICK);
        let second = queue.pop(TICK, ALL).expect("there are threads");
        queue.push_preempted(second);
        queue.push_woken(sleeper);
        assert!(queue.is_urgent(ALL));
        assert!(std::ptr::eq(
            queue.pop(TICK, ALL).expect("two are there"),
            sleeper
        ));
        charge(sleeper, TICK, TICK);
        queue.push_woken(sleeper);
        assert!(!queue.is_urgent(ALL));
        assert!(std::ptr::eq(
            queue.pop(TICK, ALL).expect("two are there"),
            spinner
        ));
    }

    #[test]
    fn a_turn_that_was_broken_off_goes_on_without_new_credit() {
        let queue = RunQueue::new();
        let [thread, other] = threads();
        queue.push(thread);
        queue.push(other);
        for used in [TICK / 2, TICK / 4, TICK / 2] {
            assert!(std::ptr::eq(
                queue.pop(TICK, ALL).expect("two are there"),
                thread
            ));
            charge(thread, used, TICK);
            queue.push_preempted(thread);
        }
        assert!(std::ptr::eq(
            queue.pop(TICK, ALL).expect("two are there"),
            other
        ));
    }

    #[test]
    fn a_cpu_gets_the_threads_that_may_run_there() {
        let queue = RunQueue::new();
        let [first, second, third] = threads();
        [first, second, third]
            .into_iter()
            .for_each(|thread| queue.push(thread));
        first.cpus.set(0b10);
        third.cpus.set(0b100);
        let pop = |cpus| queue.pop(TICK, cpus);
        let is =
            |popped: Option<&Thread>, thread| popped.is_some_and(|it| std::ptr::eq(it, thread));
        assert!(is(pop(0b1000), second));
        assert!(pop(0b1).is_none());
        assert!(is(pop(0b110), first));
        assert!(pop(0b10).is_none());
        assert!(is(pop(0b100), third));
    }

    #[test]
    fn debts_are_bounded() {
        let queue = RunQueue::new();
        let [thread] = threads();
        charge(thread, u64::MAX >> 2, TICK);
        queue.push(thread);
        assert!(queue.pop(TICK, ALL).is_some());
        assert!(queue.pop(TICK, ALL).is_none());
    }
}
