//! The kernel's lock, and what its holder has others flush.

use std::cell::Cell;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{
    AtomicBool, AtomicU32,
    Ordering::{AcqRel, Relaxed},
};
use loom::sync::{Condvar, Mutex};
use loom::thread;

use super::{Case, check, join};
use crate::kernel_lock::{ALL, KernelLock, Requests, USER};
use crate::sync::Arc;

pub const CASES: &[Case] = &[
    ("kernel_lock_excludes", excludes),
    ("kernel_lock_is_fair", is_fair),
    (
        "frames_are_flushed_before_they_are_used_again",
        flushed_elsewhere,
    ),
    ("two_cpus_flush_each_other", each_other),
    ("kernel_pages_are_flushed_with_the_lock", flushed_later),
];

/// What CPUs share, one of which has the lock.
struct Kernel {
    lock: KernelLock,
    cpus: [Cpu; 2],
    /// For the holder of the lock.
    data: UnsafeCell<u32>,
    /// A frame that programs reach by their TLBs.
    frame: UnsafeCell<u32>,
}

// SAFETY: loom runs a thread at a time, and finds what would be a race.
unsafe impl Sync for Kernel {}

struct Cpu {
    requests: Requests,
    /// The interrupt that others send.
    interrupt: AtomicBool,
}

impl Kernel {
    /// The first CPU has the lock.
    fn new() -> Arc<Self> {
        let cpu = || Cpu {
            requests: Requests {
                wanted: AtomicU32::new(0),
                is_waiting: AtomicBool::new(false),
            },
            interrupt: AtomicBool::new(false),
        };
        let lock = KernelLock {
            next: AtomicU32::new(7),
            turn: AtomicU32::new(7),
        };
        lock.begin();
        Arc::new(Self {
            lock,
            cpus: [cpu(), cpu()],
            data: UnsafeCell::new(0),
            frame: UnsafeCell::new(0),
        })
    }

    fn acquire(&self, cpu: usize, flush: impl Fn(u32)) {
        self.lock
            .acquire(&self.cpus[cpu].requests, flush, wait_until);
    }

    /// The holder changes what is his.
    fn work(&self) -> u32 {
        // SAFETY: only the holder of the lock does this.
        self.data.with_mut(|data| unsafe {
            *data += 1;
            *data
        })
    }

    /// The holder, which is not `cpu`, has taken the frame from its program, and uses it.
    fn take_frame(&self, cpu: usize) {
        let Cpu {
            requests,
            interrupt,
        } = &self.cpus[cpu];
        if requests.add(USER) {
            interrupt.swap(true, Relaxed);
        }
        wait_until(&|| requests.are_served(USER));
        // SAFETY: no program reaches it any more.
        self.frame.with_mut(|frame| unsafe { *frame += 1 });
    }

    /// Flushes what a TLB has, which may be used until then.
    fn flush(&self, tlb: &Cell<bool>) {
        if tlb.replace(false) {
            self.read_frame();
        }
    }

    fn read_frame(&self) {
        // SAFETY: nobody uses a frame that a TLB leads to.
        self.frame.with(|frame| unsafe { *frame });
    }

    /// A program that reads the frame until it has lost it; as it is interrupted the CPU enters
    /// the kernel.
    fn run_program(&self, cpu: usize, tlb: &Cell<bool>) {
        loop {
            if self.cpus[cpu].interrupt.swap(false, AcqRel) {
                self.acquire(cpu, |_| self.flush(tlb));
                self.work();
                self.lock.release();
            }
            if !tlb.get() {
                return;
            }
            self.read_frame();
            thread::yield_now();
        }
    }
}

fn wait_until(is_over: &dyn Fn() -> bool) {
    while !is_over() {
        thread::yield_now();
    }
}

fn excludes() {
    check(3, || {
        let kernel = Kernel::new();
        let shared = Arc::clone(&kernel);
        let other = thread::spawn(move || {
            for _ in 0..2 {
                shared.acquire(1, |_| unreachable!("nobody asks"));
                shared.work();
                shared.lock.release();
            }
        });
        kernel.work();
        kernel.lock.release();
        kernel.acquire(0, |_| unreachable!("nobody asks"));
        kernel.work();
        kernel.lock.release();
        join([other]);
        kernel.acquire(0, |_| unreachable!("nobody asks"));
        assert_eq!(kernel.work(), 5);
    });
}

/// Who has come first has it first. Here a bell ends waits, as loom is slow where two spin.
fn is_fair() {
    check(3, || {
        let kernel = Kernel::new();
        let bell = Arc::new((Mutex::new(0), Condvar::new()));
        let come = |number| {
            let (kernel, bell) = (Arc::clone(&kernel), Arc::clone(&bell));
            let thread = thread::spawn({
                let bell = Arc::clone(&bell);
                move || {
                    let wait = |is_over: &dyn Fn() -> bool| {
                        let mut waiting = bell.0.lock().expect("not poisoned");
                        *waiting += 1;
                        bell.1.notify_all();
                        while !is_over() {
                            waiting = bell.1.wait(waiting).expect("not poisoned");
                        }
                    };
                    let own = &kernel.cpus[1].requests;
                    let flush = |_| unreachable!("nobody asks");
                    kernel.lock.acquire(own, flush, wait);
                    assert_eq!(kernel.work(), number);
                    let _told = bell.0.lock().expect("not poisoned");
                    kernel.lock.release();
                    bell.1.notify_all();
                }
            });
            let mut waiting = bell.0.lock().expect("not poisoned");
            while *waiting < number {
                waiting = bell.1.wait(waiting).expect("not poisoned");
            }
            thread
        };
        let others = [come(1), come(2)];
        {
            let _told = bell.0.lock().expect("not poisoned");
            kernel.lock.release();
            bell.1.notify_all();
        }
        join(others);
    });
}

/// The other CPU is in ring 3, or on its way to the lock for a reason of its own, or back.
fn flushed_elsewhere() {
    check(3, || {
        let kernel = Kernel::new();
        let shared = Arc::clone(&kernel);
        let other = thread::spawn(move || {
            let tlb = Cell::new(true);
            shared.acquire(1, |_| shared.flush(&tlb));
            shared.work();
            shared.lock.release();
            shared.run_program(1, &tlb);
        });
        // It may have waited for the lock before.
        kernel.lock.release();
        kernel.acquire(0, |_| unreachable!("nobody asks"));
        kernel.take_frame(1);
        kernel.work();
        kernel.lock.release();
        join([other]);
    });
}

/// Each wants the other to flush: neither waits for one that waits for him.
fn each_other() {
    check(2, || {
        let kernel = Kernel::new();
        let shared = Arc::clone(&kernel);
        let other = thread::spawn(move || {
            let tlb = Cell::new(true);
            shared.run_program(1, &tlb);
            shared.acquire(1, |_| unreachable!("it has flushed"));
            shared.take_frame(0);
            shared.lock.release();
        });
        kernel.take_frame(1);
        kernel.lock.release();
        kernel.run_program(0, &Cell::new(true));
        join([other]);
    });
}

/// No interrupt is sent, but who has the lock has flushed.
fn flushed_later() {
    check(3, || {
        let kernel = Kernel::new();
        let shared = Arc::clone(&kernel);
        let other = thread::spawn(move || {
            let flushed = Cell::new(false);
            for _ in 0..2 {
                shared.acquire(1, |wanted| flushed.set(wanted & ALL != 0));
                if shared.work() > 100 {
                    assert!(flushed.get(), "what the holder has changed is seen");
                }
                shared.lock.release();
            }
        });
        kernel.lock.release();
        kernel.acquire(0, |_| unreachable!("nobody asks"));
        // SAFETY: this CPU has the lock.
        kernel.data.with_mut(|data| unsafe { *data += 100 });
        kernel.cpus[1].requests.add(ALL);
        kernel.lock.release();
        join([other]);
    });
}
