//! Threads that want to be woken at a certain time, or processes that want a signal,
//! soonest first: a binary heap.
//!
//! Each has at most one timer in a heap, and its place in the heap is noted in it, so that
//! a timer can be cancelled in a few steps. Rejected: a sorted list, which takes as many
//! steps as there are sleepers; a wheel, whose ticks an idle machine does not have.

use core::cell::Cell;

/// A timer of something.
pub struct Timer {
    /// Time-stamp counter at which it is due.
    deadline: Cell<u64>,
    /// One more than its place in the heap; 0 if it is not there.
    place: Cell<u16>,
}

impl Timer {
    /// Not set.
    pub const fn new() -> Self {
        Self {
            deadline: Cell::new(0),
            place: Cell::new(0),
        }
    }

    /// When it is due, if it is set.
    pub fn deadline(&self) -> Option<u64> {
        (self.place.get() != 0).then(|| self.deadline.get())
    }
}

/// What has a timer.
pub trait Timed: 'static {
    /// The timer.
    fn timer(&self) -> &Timer;
}

/// The timers of at most `N` of them.
pub struct TimerQueue<T: Timed, const N: usize> {
    heap: [Cell<Option<&'static T>>; N],
    len: Cell<usize>,
}

impl<T: Timed, const N: usize> TimerQueue<T, N> {
    /// No timers.
    pub const fn new() -> Self {
        Self {
            heap: [const { Cell::new(None) }; N],
            len: Cell::new(0),
        }
    }

    /// When the first timer is due.
    pub fn deadline(&self) -> Option<u64> {
        self.at(0).map(|owner| owner.timer().deadline.get())
    }

    /// Sets its owner's timer, which is not set.
    pub fn insert(&self, owner: &'static T, deadline: u64) {
        debug_assert!(owner.timer().place.get() == 0);
        let place = self.len.get();
        self.len.set(place + 1);
        owner.timer().deadline.set(deadline);
        self.rise(place, owner);
    }

    /// Cancels its owner's timer, if it is set.
    pub fn remove(&self, owner: &'static T) {
        let Some(place) = usize::from(owner.timer().place.take()).checked_sub(1) else {
            return;
        };
        let last_place = self.len.get() - 1;
        self.len.set(last_place);
        let last = self.heap[last_place].take();
        let Some(last) = last.filter(|_| place != last_place) else {
            return;
        };
        // The last one takes the place, from where it may have to go either way.
        self.rise(place, last);
        self.sink(usize::from(last.timer().place.get()) - 1, last);
    }

    /// Takes out the owner whose timer is due first, if it is due at `now`.
    pub fn pop_due(&self, now: u64) -> Option<&'static T> {
        let first = self.at(0)?;
        if first.timer().deadline.get() > now {
            return None;
        }
        self.remove(first);
        Some(first)
    }

    fn at(&self, place: usize) -> Option<&'static T> {
        self.heap.get(place)?.get()
    }

    fn put(&self, place: usize, owner: &'static T) {
        self.heap[place].set(Some(owner));
        owner.timer().place.set(place as u16 + 1);
    }

    /// Puts `owner` at `place` or, past all that are due later, nearer to the root.
    fn rise(&self, mut place: usize, owner: &'static T) {
        while place > 0 {
            let above = (place - 1) / 2;
            match self.at(above) {
                Some(other) if other.timer().deadline > owner.timer().deadline => {
                    self.put(place, other);
                    place = above;
                }
                _ => break,
            }
        }
        self.put(place, owner);
    }

    /// The converse, away from the root.
    fn sink(&self, mut place: usize, owner: &'static T) {
        loop {
            let below = [2 * place + 1, 2 * place + 2]
                .into_iter()
                .filter_map(|below| Some((below, self.at(below)?)))
                .min_by_key(|(_, other)| other.timer().deadline.get());
            match below {
                Some((below, other)) if other.timer().deadline < owner.timer().deadline => {
                    self.put(place, other);
                    place = below;
                }
                _ => break,
            }
        }
        self.put(place, owner);
    }
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
        let queue = TimerQueue::<Thread, 3>::new();
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
        let queue = TimerQueue::<Thread, COUNT>::new();
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
