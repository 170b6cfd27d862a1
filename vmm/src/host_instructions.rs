//! Counting the host's instructions while a vCPU runs, with the processor's performance
//! counters.
//!
//! The counter belongs to one thread, the vCPU's, and counts what the processor executes
//! for it in user mode, in the kernel and, under hardware-assisted KVM, in the guest; so
//! does the second pair, which counts guest instructions alone, by ring. Many virtual
//! hosts have no such counters and many hosts forbid them; then the reason is kept.

use std::fs;
use std::io;

use perf_event::events::Hardware;
use perf_event::{Builder, Counter};
use serde::Serialize;

use crate::cpu::HostKind;

/// Where Linux says who may count what.
pub(crate) const PARANOID: &str = "/proc/sys/kernel/perf_event_paranoid";

/// Instructions that the host executed on a vCPU's thread; `None` where they could not be
/// counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HostInstructions {
    /// All: VMM, kernel and guest.
    pub total: Option<u64>,
    /// Those in guest mode at CPL 0; hardware-assisted KVM only.
    pub guest_ring0: Option<u64>,
    /// Those in guest mode at CPL 3; hardware-assisted KVM only.
    pub guest_ring3: Option<u64>,
    /// Why `total` is not known.
    pub error: Option<String>,
}

impl HostInstructions {
    /// Those of two threads together.
    pub fn and(self, other: Self) -> Self {
        let sum = |one: Option<u64>, other: Option<u64>| Some(one?.saturating_add(other?));
        Self {
            total: sum(self.total, other.total),
            guest_ring0: sum(self.guest_ring0, other.guest_ring0),
            guest_ring3: sum(self.guest_ring3, other.guest_ring3),
            error: self.error.or(other.error),
        }
    }
}

/// Counts instructions of the thread that made it.
#[derive(Debug)]
pub struct InstructionCounter {
    total: Result<Counter, String>,
    guest: Option<(Counter, Counter)>,
}

impl InstructionCounter {
    /// Starts counting on this thread; guest instructions apart where `host` runs the guest
    /// in a mode of its own.
    pub fn start(host: HostKind) -> Self {
        let mut all = Builder::new(Hardware::INSTRUCTIONS);
        all.exclude_kernel(false).exclude_hv(false).enabled(true);
        let guest = (host == HostKind::Hardware).then(|| {
            let mut ring0 = all.clone();
            ring0.exclude_host(true).exclude_user(true);
            let mut ring3 = all.clone();
            ring3.exclude_host(true).exclude_kernel(true);
            Some((ring0.build().ok()?, ring3.build().ok()?))
        });
        Self {
            total: all.build().map_err(|error| explain(&error)),
            guest: guest.flatten(),
        }
    }

    /// Stops counting.
    pub fn finish(self) -> HostInstructions {
        let (guest_ring0, guest_ring3) = match self.guest {
            Some((ring0, ring3)) => (read(ring0).ok(), read(ring3).ok()),
            None => (None, None),
        };
        let (total, error) = match self.total.and_then(read) {
            Ok(count) => (Some(count), None),
            Err(why) => (None, Some(why)),
        };
        HostInstructions {
            total,
            guest_ring0,
            guest_ring3,
            error,
        }
    }
}

/// What `counter` has counted. Where the processor had to share its counters, the kernel
/// counted a part of the time, and the rest is estimated from it.
fn read(mut counter: Counter) -> Result<u64, String> {
    let data = counter.read_full().map_err(|error| explain(&error))?;
    let (Some(enabled), Some(running)) = (data.time_enabled(), data.time_running()) else {
        return Ok(data.count());
    };
    if running.is_zero() {
        return Err("the processor's counters were all in use".into());
    }
    let share = enabled.as_secs_f64() / running.as_secs_f64();
    Ok((data.count() as f64 * share).round() as u64)
}

/// Why there is no counter, for a person.
fn explain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => {
            let level = fs::read_to_string(PARANOID).unwrap_or_default();
            format!(
                "perf_event_paranoid is {}: set it to 1 or less, or run with CAP_PERFMON",
                level.trim()
            )
        }
        Some(libc::ENOENT | libc::EOPNOTSUPP | libc::ENODEV) => {
            "this host has no counter of instructions".into()
        }
        Some(libc::ENOSYS) => "this host's kernel has no performance events".into(),
        _ => format!("perf_event_open: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{HostKind, InstructionCounter, explain};
    use std::hint::black_box;
    use std::io;

    const LOOPS: u64 = 100_000;

    #[test]
    fn a_loop_is_counted_or_the_reason_is_said() {
        let counter = InstructionCounter::start(HostKind::Emulator);
        for i in 0..LOOPS {
            black_box(i);
        }
        let counts = counter.finish();
        assert_eq!((counts.guest_ring0, counts.guest_ring3), (None, None));
        match counts.total {
            Some(total) => {
                assert!(total >= LOOPS, "{total}");
                assert_eq!(counts.error, None);
            }
            None => assert!(counts.error.is_some_and(|why| !why.is_empty())),
        }
    }

    #[test]
    fn a_refusal_names_the_setting() {
        let denied = explain(&io::Error::from_raw_os_error(libc::EACCES));
        assert!(denied.starts_with("perf_event_paranoid is "), "{denied}");
        let missing = explain(&io::Error::from_raw_os_error(libc::ENOENT));
        assert_eq!(missing, "this host has no counter of instructions");
    }
}
