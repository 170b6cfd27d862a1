//! When this process started.

use std::time::{Duration, Instant};

/// What the way to `main` takes at most. Processor time beyond that was used by a program
/// that became this one by `execve`.
const MOST: Duration = Duration::from_millis(50);

/// About when the kernel started this process: now, less the processor time that it has
/// used. Call it first in `main`. Before `main` a process runs without waiting (the
/// dynamic loader, the runtime), so the two differ by page-cache misses only; the exact
/// figure in `/proc/self/stat` counts in steps of 10 ms.
pub fn process_start() -> Instant {
    let mut used = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `used` has room for what clock_gettime writes.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut used) };
    let now = Instant::now();
    if result != 0 {
        return now;
    }
    let seconds = Duration::from_secs(used.tv_sec.unsigned_abs());
    let used = seconds + Duration::from_nanos(used.tv_nsec.unsigned_abs());
    now.checked_sub(used.min(MOST)).unwrap_or(now)
}
