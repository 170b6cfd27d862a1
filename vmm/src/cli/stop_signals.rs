//! Early ends of a command, by a signal or a deadline: orderly if it can, else by this
//! thread.
//!
//! ```text
//!   SIGINT, SIGTERM, SIGHUP ──► StopSource ──► the run ends, its report is written
//!   deadline ──────────────────────┘                     │ not within GRACE
//!                                  └────────────► this thread ends the process
//! ```
//!
//! The run itself watches both, but not always: the machine may still be in the making, or
//! the report be written to a pipe that nobody reads. This thread waits for nothing else.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGWINCH};
use vmm::events::{Deadline, StopReason, StopSource, stop_within};
use vmm::report::Outcome;
use vmm::sandbox::Sandbox;

use super::sandbox::{start_watcher, wait_for_watchers};
use super::{terminal, urgent};

/// The time that a run has for an orderly end.
const GRACE: Duration = Duration::from_millis(350);

/// Whether there is a run that can end in an orderly way.
static RUNNING: AtomicBool = AtomicBool::new(false);

/// Says that there is a run now that ends by itself when a stop is requested; no guest runs
/// before.
pub fn running() {
    wait_for_watchers();
    RUNNING.store(true, Ordering::Release);
}

/// How often a deadline has been moved.
static PHASE: AtomicU64 = AtomicU64::new(0);

/// Sets the deadline to `limit` from now.
pub fn move_to(deadline: &mut Deadline, limit: Duration) {
    PHASE.fetch_add(1, Ordering::AcqRel);
    if let Some(when) = Instant::now().checked_add(limit) {
        // Not refused, since it was not at first.
        let _ = deadline.move_to(when);
    }
}

/// Catches SIGINT, SIGTERM and SIGHUP, each of which makes a descriptor readable, as
/// `deadline` does, and sees to it that the process ends soon after one of them has come. A
/// SIGHUP that was ignored stays so, as `nohup` wants it. The thread that sees to it has `sandbox`.
///
/// # Errors
/// The host is out of descriptors or threads.
pub fn catch(deadline: Option<&Deadline>, sandbox: Sandbox) -> io::Result<Vec<StopSource>> {
    urgent::open()?;
    let caught = [SIGINT, SIGTERM, SIGHUP].into_iter();
    let sources = caught
        .filter(|&signal| signal != SIGHUP || !is_ignored(signal))
        .map(|signal| -> io::Result<StopSource> {
            let (read, write) = UnixStream::pair()?;
            signal_hook::low_level::pipe::register(signal, write)?;
            Ok((Arc::new(read.into()), StopReason::Signal(signal as u8)))
        })
        .chain(deadline.map(Deadline::source))
        .collect::<Result<Vec<_>, _>>()?;
    let watched = sources.clone();
    start_watcher("ending", sandbox, move || watch(&watched))?;
    Ok(sources)
}

/// What becomes readable with each SIGWINCH.
///
/// # Errors
/// The host is out of descriptors.
pub fn resizes() -> io::Result<Arc<OwnedFd>> {
    let (read, write) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(SIGWINCH, write)?;
    Ok(Arc::new(read.into()))
}

/// Has the process end as by SIGINT, once that is caught.
pub fn interrupt() {
    // Nothing that could fail: it is the number of a signal.
    let _ = signal_hook::low_level::raise(SIGINT);
}

/// Whether `signal` is ignored, as it was when this process started.
pub fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: all zeros is a valid value of it.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: asks only, and writes what there is room for.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), &mut action) };
    asked == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// Waits for a stop, and ends the process with its status, unless that ends by itself, or
/// what had a deadline has ended and something else has a later one.
fn watch(sources: &[StopSource]) {
    while stop_within(sources, None).is_ok() {
        let phase = PHASE.load(Ordering::Acquire);
        let Ok(Some(reason)) = stop_within(sources, Some(Duration::ZERO)) else {
            continue;
        };
        if RUNNING.load(Ordering::Acquire) {
            thread::sleep(GRACE);
        }
        if reason != StopReason::Timeout || phase == PHASE.load(Ordering::Acquire) {
            end(&reason.outcome());
        }
    }
}

/// Ends the process with the status of `outcome`.
fn end(outcome: &Outcome) {
    terminal::restore();
    urgent::say(outcome);
    // SAFETY: the process ends here and now, without destructors: others of its threads
    // may be anywhere.
    unsafe { libc::_exit(outcome.exit_status().into()) };
}
