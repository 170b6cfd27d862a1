//! The lock of the kernel, and what its holder has other CPUs flush.
//!
//! A CPU that waits for the lock does what the holder wants of it meanwhile: so nobody waits for a
//! CPU that waits for him. See `processors`.

use crate::sync::atomic::{
    AtomicBool, AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

/// A fair lock: who comes first has it first.
pub struct KernelLock {
    /// The next ticket.
    pub next: AtomicU32,
    /// The one whose turn it is.
    pub turn: AtomicU32,
}

/// What others want a CPU to flush.
pub struct Requests {
    /// [`USER`], [`ALL`].
    pub wanted: AtomicU32,
    /// Whether the CPU waits for the lock.
    pub is_waiting: AtomicBool,
}

/// Flush the entries of the user half.
pub const USER: u32 = 1 << 0;
/// Flush those of the kernel too.
pub const ALL: u32 = 1 << 1;

impl KernelLock {
    /// This CPU, which runs alone, has the lock, before others come for it.
    pub fn begin(&self) {
        self.next.store(1, Relaxed);
        self.turn.store(0, Relaxed);
    }

    /// Waits until this CPU has the lock, and flushes what others ask of it by `own`. If there is
    /// a wait it is by `wait`, which returns as soon as it is told that it is over.
    #[inline(always)]
    pub fn acquire(
        &self,
        own: &Requests,
        flush: impl Fn(u32),
        wait: impl FnOnce(&dyn Fn() -> bool),
    ) {
        let ticket = self.next.fetch_add(1, Relaxed);
        if self.turn.load(Acquire) != ticket {
            own.is_waiting.store(true, Relaxed);
            wait(&|| {
                own.serve(&flush);
                self.turn.load(Acquire) == ticket
            });
            own.is_waiting.store(false, Relaxed);
        }
        own.serve(flush);
    }

    /// Lets the next one have it.
    #[inline(always)]
    pub fn release(&self) {
        // Only the holder writes it.
        let turn = self.turn.load(Relaxed).wrapping_add(1);
        self.turn.store(turn, Release);
    }
}

impl Requests {
    /// Flushes what is wanted of this CPU, whose they are.
    #[inline(always)]
    fn serve(&self, flush: impl Fn(u32)) {
        loop {
            let wanted = self.wanted.load(Acquire);
            if wanted == 0 {
                return;
            }
            flush(wanted);
            // Another request may have come since.
            let _ = self.wanted.compare_exchange(wanted, 0, Release, Relaxed);
        }
    }

    /// Wants their CPU to flush `what`, at the latest when it comes for the lock. Whether it takes
    /// an interrupt for that to be soon. One that waits for the lock looks, and sees this before it
    /// has the lock; one that has begun or ceased to wait, unseen, gets an interrupt too many.
    #[inline(always)]
    pub fn add(&self, what: u32) -> bool {
        self.wanted.fetch_or(what, Release);
        !self.is_waiting.load(Relaxed)
    }

    /// Whether `what` has been flushed.
    #[inline(always)]
    pub fn are_served(&self, what: u32) -> bool {
        self.wanted.load(Acquire) & what == 0
    }
}
