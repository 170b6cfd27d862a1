//! How a command ends before its time: by a signal or a deadline, in good order if it can,
//! and else without.
//!
//! ```text
//!   SIGINT, SIGTERM, SIGHUP ──► StopSource ──► the run ends, its report is written
//!   deadline ─────────────────────────────────┘          │ not within GRACE
//!          └───────────────────────────────────► this thread ends the process
//! ```
//!
//! The run itself watches both, but it is not always there to do so: a machine is being
//! made, a report is written to somebody who does not read it. Whatever the main thread
//! waits for, this thread does not.

use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use vmm::events::StopSource;
use vmm::output::Output;
use vmm::report::Outcome;

use super::terminal;

/// What a run has for ending in good order.
const GRACE: Duration = Duration::from_millis(350);

/// Whether there is a run that can end in good order.
static RUNNING: AtomicBool = AtomicBool::new(false);

/// From now on there is a run that ends by itself when it is told to stop.
pub fn running() {
    RUNNING.store(true, Ordering::Release);
}

/// Catches SIGINT, SIGTERM and SIGHUP, each of which makes a descriptor readable, and sees
/// to it that the process ends soon after one of them has come, and after `deadline`. A
/// SIGHUP that was ignored stays so, as `nohup` wants it.
///
/// # Errors
/// The host is out of descriptors or threads.
pub fn catch(deadline: Option<Instant>) -> io::Result<Vec<StopSource>> {
    let caught = [SIGINT, SIGTERM, SIGHUP].into_iter();
    let sources = caught
        .filter(|&signal| signal != SIGHUP || !is_ignored(signal))
        .map(|signal| -> io::Result<StopSource> {
            let (read, write) = UnixStream::pair()?;
            signal_hook::low_level::pipe::register(signal, write)?;
            Ok((Arc::new(read.into()), signal as u8))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let watched = sources.clone();
    let thread = thread::Builder::new().name("ending".into());
    thread.spawn(move || end(&wait(&watched, deadline)))?;
    Ok(sources)
}

/// Has the process end as by SIGINT, once that is caught.
pub fn interrupt() {
    // Nothing that could fail: it is the number of a signal.
    let _ = signal_hook::low_level::raise(SIGINT);
}

fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: all zeros is a valid value of it.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: asks only, and writes what there is room for.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), &mut action) };
    asked == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// Waits for a signal or the deadline, and returns what they make of a run.
fn wait(sources: &[StopSource], deadline: Option<Instant>) -> Outcome {
    let poll_for = |(fd, _): &StopSource| libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let mut polled: Vec<_> = sources.iter().map(poll_for).collect();
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Outcome::timeout();
        }
        // Rounded up, and for a while only where milliseconds do not fit.
        let left_ms = left.map_or(-1, |left| {
            i32::try_from(left.as_millis() + 1).unwrap_or(i32::MAX)
        });
        // SAFETY: the array has as many entries as said.
        unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, left_ms) };
        let mut both = polled.iter().zip(sources);
        if let Some((_, &(_, signal))) = both.find(|(polled, _)| polled.revents != 0) {
            return Outcome::stopped(signal);
        }
    }
}

/// Ends the process with the status of `outcome`, unless it ends by itself.
fn end(outcome: &Outcome) {
    if RUNNING.load(Ordering::Acquire) {
        thread::sleep(GRACE);
    }
    terminal::restore();
    if let Ok(mut stderr) = Output::stderr().and_then(Output::without_waiting) {
        // Nobody to be told if it does not go out.
        let _ = writeln!(stderr, "vmm: {outcome}");
    }
    // SAFETY: the process ends here and now, without destructors: others of its threads
    // may be anywhere.
    unsafe { libc::_exit(outcome.exit_status().into()) };
}
