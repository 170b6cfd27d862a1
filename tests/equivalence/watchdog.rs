//! Ends sequences that loop for ever: one thread that kicks a vCPU which has been in the
//! guest too long.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use vmm::cpu::Kick;

/// The interval between checks. A run that is the same at two checks has taken too long.
const PERIOD: Duration = Duration::from_millis(250);

/// One vCPU under watch.
pub struct Watch {
    kick: Arc<dyn Kick>,
    /// Odd while the vCPU runs; each run has its own number.
    run: AtomicU64,
    expired: AtomicBool,
}

impl Watch {
    /// The vCPU is about to run.
    pub fn begin(&self) {
        self.run.fetch_add(1, Ordering::Relaxed);
    }

    /// The vCPU has left the guest.
    pub fn end(&self) {
        self.run.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether this run has taken too long; asked once.
    pub fn expired(&self) -> bool {
        self.expired.swap(false, Ordering::Relaxed)
    }
}

/// Watches any number of vCPUs.
#[derive(Clone, Default)]
pub struct Watchdog {
    watches: Arc<Mutex<Vec<Weak<Watch>>>>,
}

impl Watchdog {
    /// Starts the thread; it lives as long as the process.
    pub fn start() -> Self {
        let watchdog = Self::default();
        let watches = Arc::clone(&watchdog.watches);
        thread::spawn(move || {
            let mut seen: Vec<(Weak<Watch>, u64)> = Vec::new();
            loop {
                thread::sleep(PERIOD);
                let now: Vec<(Weak<Watch>, u64)> = watches
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .iter()
                    .filter_map(|weak| {
                        Some((weak.clone(), weak.upgrade()?.run.load(Ordering::Relaxed)))
                    })
                    .collect();
                for (weak, run) in &now {
                    let before = seen.iter().find(|(other, _)| other.ptr_eq(weak));
                    if run % 2 == 1 && before.is_some_and(|(_, before)| before == run) {
                        bite(weak);
                    }
                }
                seen = now;
            }
        });
        watchdog
    }

    /// Has it watch a vCPU from now on.
    pub fn watch(&self, kick: Arc<dyn Kick>) -> Arc<Watch> {
        let watch = Arc::new(Watch {
            kick,
            run: AtomicU64::new(0),
            expired: AtomicBool::new(false),
        });
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches.retain(|weak| weak.strong_count() > 0);
        watches.push(Arc::downgrade(&watch));
        watch
    }
}

fn bite(weak: &Weak<Watch>) {
    if let Some(watch) = weak.upgrade() {
        watch.expired.store(true, Ordering::Relaxed);
        watch.kick.kick();
    }
}
