//! A CPU starts another one, or gives it up: both think the same.

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicBool, AtomicPtr};
use loom::thread;

use super::{Case, check};
use crate::handshake::Handshake;
use crate::sync::Arc;

pub const CASES: &[Case] = &[("a_cpu_is_up_or_given_up", up_or_given_up)];

/// What the two CPUs share. Loom finds races of those that touch the cells.
struct Shared {
    handshake: Handshake<UnsafeCell<u32>>,
    /// The state of the CPU that starts, which the first makes.
    state: UnsafeCell<u32>,
    /// What the other changes for all before it is up.
    count: UnsafeCell<u32>,
}

// SAFETY: loom runs a thread at a time, and finds what would be a race.
unsafe impl Sync for Shared {}

fn up_or_given_up() {
    check(3, || {
        let shared = Arc::new(Shared {
            handshake: Handshake {
                offer: AtomicPtr::new(std::ptr::null_mut()),
                is_up: AtomicBool::new(false),
            },
            state: UnsafeCell::new(0),
            count: UnsafeCell::new(1),
        });
        // SAFETY: the other CPU has not been started.
        shared.state.with_mut(|state| unsafe { *state = 7 });
        shared.handshake.offer((&raw const shared.state).cast_mut());
        let started = Arc::clone(&shared);
        let other = thread::spawn(move || {
            // SAFETY: what is offered lives as long as `started`.
            let Some(state) = (unsafe { started.handshake.take().as_ref() }) else {
                return false;
            };
            // SAFETY: the first CPU has made it, and leaves it alone.
            state.with(|state| assert_eq!(unsafe { *state }, 7));
            // SAFETY: the first CPU waits.
            started.count.with_mut(|count| unsafe { *count += 1 });
            started.handshake.tell_up();
            true
        });
        let mut is_up = shared.handshake.is_up();
        if !is_up && shared.handshake.give_up() {
            while !shared.handshake.is_up() {
                thread::yield_now();
            }
            is_up = true;
        }
        // SAFETY: the other CPU is up, and waits for the kernel, or has been given up.
        let count = shared.count.with(|count| unsafe { *count });
        assert_eq!(count, 1 + u32::from(is_up));
        assert_eq!(other.join().expect("no panic"), is_up);
    });
}
