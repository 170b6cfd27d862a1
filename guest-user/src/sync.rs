//! A mutex, a condition variable and a bounded buffer on `futex` (R17, R21).

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering::*};

use crate::thread::{futex_wait, futex_wake};

const FREE: u32 = 0;
const LOCKED: u32 = 1;
/// Locked, and some thread may sleep: unlocking must wake it.
const CONTENDED: u32 = 2;

/// A value that one thread at a time may use. A thread that finds it taken sleeps.
///
/// After Drepper, "Futexes Are Tricky", mutex 2.
pub struct Mutex<T> {
    state: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached through a `Guard` only, and there is one at a time.
unsafe impl<T: Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    /// A free one.
    pub const fn new(value: T) -> Self {
        Self {
            state: AtomicU32::new(FREE),
            value: UnsafeCell::new(value),
        }
    }

    /// Waits until no other thread has it.
    pub fn lock(&self) -> Guard<'_, T> {
        if self
            .state
            .compare_exchange(FREE, LOCKED, Acquire, Relaxed)
            .is_err()
        {
            while self.state.swap(CONTENDED, Acquire) != FREE {
                futex_wait(&self.state, CONTENDED);
            }
        }
        Guard { mutex: self }
    }

    fn unlock(&self) {
        if self.state.swap(FREE, Release) == CONTENDED {
            futex_wake(&self.state, 1);
        }
    }
}

/// The right to use the value of a [`Mutex`].
pub struct Guard<'a, T> {
    mutex: &'a Mutex<T>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the mutex is locked by this guard alone.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the mutex is locked by this guard alone.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        self.mutex.unlock();
    }
}

/// A condition variable: threads wait for a condition on the value of a [`Mutex`].
pub struct Condvar {
    /// Changes with each notification, so that none between unlock and sleep is missed.
    notifications: AtomicU32,
}

impl Condvar {
    /// One without waiters.
    pub const fn new() -> Self {
        Self {
            notifications: AtomicU32::new(0),
        }
    }

    /// Unlocks, waits for a notification and locks again, while `condition` holds.
    pub fn wait_while<'a, T>(
        &self,
        mut guard: Guard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> Guard<'a, T> {
        while condition(&mut guard) {
            let seen = self.notifications.load(Relaxed);
            let mutex = guard.mutex;
            drop(guard);
            futex_wait(&self.notifications, seen);
            guard = mutex.lock();
        }
        guard
    }

    /// Wakes one that waits.
    pub fn notify_one(&self) {
        self.notifications.fetch_add(1, Relaxed);
        futex_wake(&self.notifications, 1);
    }

    /// Wakes all that wait.
    pub fn notify_all(&self) {
        self.notifications.fetch_add(1, Relaxed);
        futex_wake(&self.notifications, u32::MAX >> 1);
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}

/// A ring of at most `N` values.
struct Ring<T, const N: usize> {
    values: [Option<T>; N],
    first: usize,
    len: usize,
}

/// At most `N` values on their way from threads that send to threads that receive:
/// sending waits while it is full, receiving while it is empty.
pub struct BoundedBuffer<T, const N: usize> {
    ring: Mutex<Ring<T, N>>,
    not_full: Condvar,
    not_empty: Condvar,
}

impl<T, const N: usize> BoundedBuffer<T, N> {
    /// An empty one.
    pub const fn new() -> Self {
        const { assert!(N > 0, "nothing would ever fit") };
        Self {
            ring: Mutex::new(Ring {
                values: [const { None }; N],
                first: 0,
                len: 0,
            }),
            not_full: Condvar::new(),
            not_empty: Condvar::new(),
        }
    }

    /// Puts a value in, as soon as there is room.
    pub fn send(&self, value: T) {
        let mut ring = self
            .not_full
            .wait_while(self.ring.lock(), |ring| ring.len == N);
        let end = (ring.first + ring.len) % N;
        ring.values[end] = Some(value);
        ring.len += 1;
        drop(ring);
        self.not_empty.notify_one();
    }

    /// Takes the oldest value out, as soon as there is one.
    pub fn receive(&self) -> T {
        let mut ring = self
            .not_empty
            .wait_while(self.ring.lock(), |ring| ring.len == 0);
        let first = ring.first;
        let value = ring.values[first].take();
        ring.first = (first + 1) % N;
        ring.len -= 1;
        drop(ring);
        self.not_full.notify_one();
        value.expect("the first of some")
    }
}

impl<T, const N: usize> Default for BoundedBuffer<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::BoundedBuffer;

    /// On the host the same calls reach Linux.
    #[test]
    fn a_bounded_buffer_keeps_order_and_loses_nothing() {
        let buffer = BoundedBuffer::<u32, 3>::new();
        std::thread::scope(|scope| {
            scope.spawn(|| (0..1000).for_each(|value| buffer.send(value)));
            assert!((0..1000).all(|value| buffer.receive() == value));
        });
    }
}
