//! Threads that want to be woken at a certain time, or processes that want a signal,
//! soonest first: a pairing heap.
//!
//! ```text
//! first: 10 --below--> 30 --next--> 20
//!                       |            |
//!                     below        below
//!                       v            v
//!                      40           25      nobody is due before whoever is above
//! ```
//!
//! The links lie in the timers, so that there is no limit to their number and setting one
//! never fails. Setting one, or the only one's end, takes a few steps; others end in as many
//! as the logarithm of their number, taken together. Rejected: a binary heap, which is an
//! array as long as there may be timers; a sorted list, which takes as many steps as there are
//! sleepers; a wheel, whose ticks an idle machine does not have.

use core::cell::Cell;
use core::ptr;

/// A timer of a `T`, of which each has one for each queue that it may be in.
pub struct Timer<T: 'static> {
    /// Time-stamp counter at which it is due.
    deadline: Cell<u64>,
    is_set: Cell<bool>,
    /// The first of those right below it.
    below: Cell<Option<&'static T>>,
    /// The next of those that are below the same one.
    next: Cell<Option<&'static T>>,
    /// The one before it among those; of the first, the one above; of the top, none.
    before: Cell<Option<&'static T>>,
}

impl<T> Timer<T> {
    /// Not set.
    pub const fn new() -> Self {
        Self {
            deadline: Cell::new(0),
            is_set: Cell::new(false),
            below: Cell::new(None),
            next: Cell::new(None),
            before: Cell::new(None),
        }
    }

    /// When it is due, if it is set.
    pub fn deadline(&self) -> Option<u64> {
        self.is_set.get().then(|| self.deadline.get())
    }
}

/// What has a timer.
pub trait Timed: Sized + 'static {
    /// The timer.
    fn timer(&self) -> &Timer<Self>;
}

/// Timers that are set.
pub struct TimerQueue<T: Timed> {
    first: Cell<Option<&'static T>>,
}

impl<T: Timed> TimerQueue<T> {
    /// No timers.
    pub const fn new() -> Self {
        Self {
            first: Cell::new(None),
        }
    }

    /// When the first timer is due.
    pub fn deadline(&self) -> Option<u64> {
        self.first.get().map(|owner| owner.timer().deadline.get())
    }

    /// Sets its owner's timer, which is not set.
    pub fn insert(&self, owner: &'static T, deadline: u64) {
        debug_assert!(!owner.timer().is_set.get());
        owner.timer().deadline.set(deadline);
        owner.timer().is_set.set(true);
        self.add(owner);
    }

    /// Cancels its owner's timer, if it is set.
    pub fn remove(&self, owner: &'static T) {
        let timer = owner.timer();
        if !timer.is_set.replace(false) {
            return;
        }
        let below = join_all(timer.below.take());
        let Some(before) = timer.before.take() else {
            self.first.set(below);
            return;
        };
        let next = timer.next.take();
        let is_first = (before.timer().below.get()).is_some_and(|first| ptr::eq(first, owner));
        match is_first {
            true => before.timer().below.set(next),
            false => before.timer().next.set(next),
        }
        if let Some(next) = next {
            next.timer().before.set(Some(before));
        }
        if let Some(below) = below {
            self.add(below);
        }
    }

    /// Takes out the owner whose timer is due first, if it is due at `now`.
    pub fn pop_due(&self, now: u64) -> Option<&'static T> {
        let first = self.first.get()?;
        if first.timer().deadline.get() > now {
            return None;
        }
        self.remove(first);
        Some(first)
    }

    /// Adds a heap to the queue's.
    fn add(&self, owner: &'static T) {
        let first = self.first.get();
        let first = first.map_or(owner, |first| join(first, owner));
        self.first.set(Some(first));
    }
}

/// Makes one heap of two, neither of which is below or beside others.
fn join<T: Timed>(one: &'static T, other: &'static T) -> &'static T {
    let (above, under) = match other.timer().deadline < one.timer().deadline {
        true => (other, one),
        false => (one, other),
    };
    let second = above.timer().below.replace(Some(under));
    under.timer().next.set(second);
    under.timer().before.set(Some(above));
    if let Some(second) = second {
        second.timer().before.set(Some(under));
    }
    above
}

/// Makes one heap of `first` and all beside it: first of each two of them, as otherwise the next
/// call would find as many as this one.
fn join_all<T: Timed>(first: Option<&'static T>) -> Option<&'static T> {
    let (mut rest, mut pairs) = (first, None);
    while let Some(one) = pop(&mut rest) {
        let pair = pop(&mut rest).map_or(one, |other| join(one, other));
        pair.timer().next.set(pairs);
        pairs = Some(pair);
    }
    let mut joined = pop(&mut pairs)?;
    while let Some(pair) = pop(&mut pairs) {
        joined = join(joined, pair);
    }
    Some(joined)
}

/// Takes the first of heaps that lie beside each other.
fn pop<T: Timed>(heaps: &mut Option<&'static T>) -> Option<&'static T> {
    let first = (*heaps)?;
    *heaps = first.timer().next.take();
    first.timer().before.set(None);
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::TimerQueue;
    use crate::proc::thread::Thread;
    use fastrand::Rng;

    fn thread() -> &'static Thread {
        Box::leak(Box::new(Thread::unused()))
    }

    #[test]
    fn timers_come_in_order_and_not_before_their_time() {
        let queue = TimerQueue::<Thread>::new();
        let [a, b, c] = [thread(), thread(), thread()];
        queue.insert(b, 20);
        queue.insert(c, 30);
        queue.insert(a, 10);
        assert_eq!(queue.deadline(), Some(10));
        assert!(queue.pop_due(9).is_none());
        assert!(std::ptr::eq(queue.pop_due(30).expect("due"), a));
        queue.remove(a);
        queue.remove(b);
        assert_eq!(queue.deadline(), Some(30));
        assert!(std::ptr::eq(queue.pop_due(30).expect("due"), c));
        assert_eq!(queue.deadline(), None);
        assert!(queue.pop_due(u64::MAX).is_none());
    }

    #[test]
    fn any_order_of_setting_and_giving_up_works() {
        const COUNT: usize = 64;
        let queue = TimerQueue::<Thread>::new();
        let threads: Vec<_> = (0..COUNT).map(|_| thread()).collect();
        let mut expected: Vec<Option<u64>> = vec![None; COUNT];
        let mut random = Rng::with_seed(1);
        for _ in 0..20_000 {
            let number = random.usize(..COUNT);
            if expected[number].take().is_some() {
                queue.remove(threads[number]);
            } else {
                let deadline = random.u64(..100);
                queue.insert(threads[number], deadline);
                expected[number] = Some(deadline);
            }
            assert_eq!(queue.deadline(), expected.iter().flatten().min().copied());
        }
        let mut left: Vec<_> = expected.into_iter().flatten().collect();
        left.sort_unstable();
        let drained: Vec<_> = std::iter::from_fn(|| queue.pop_due(u64::MAX))
            .map(|thread| thread.timer.deadline.get())
            .collect();
        assert_eq!(drained, left);
    }
}
