//! A thread that kicks a virtual CPU which has run for long: guests may make exceptions for ever,
//! as on any processor, and nothing else ends that.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use vmm::cpu::Kick;

const PERIOD: Duration = Duration::from_millis(5);

type Watched = Option<Arc<dyn Kick>>;

static WATCHED: Mutex<Watched> = Mutex::new(None);
static STARTED: OnceLock<()> = OnceLock::new();

/// Ends the watch.
pub struct Guard(());

impl Drop for Guard {
    fn drop(&mut self) {
        set(None);
    }
}

/// Kicks it when two periods have passed, again and again.
pub fn watch(kick: Arc<dyn Kick>) -> Guard {
    set(Some(kick));
    STARTED.get_or_init(|| drop(thread::spawn(run)));
    Guard(())
}

fn set(watched: Watched) {
    *WATCHED.lock().unwrap_or_else(PoisonError::into_inner) = watched;
}

fn run() {
    let mut before: Watched = None;
    loop {
        thread::sleep(PERIOD);
        let now = WATCHED
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let (Some(now), Some(before)) = (&now, &before)
            && Arc::ptr_eq(now, before)
        {
            now.kick();
        }
        before = now;
    }
}
