//! What programs are told of the system. The interface is Linux's, so this is: programs check the
//! release for being recent enough.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Name of the system.
pub const KERNEL_NAME: &str = "Linux";
/// Its release.
pub const RELEASE: &str = "6.1.0-ringfence";
/// Its version.
pub const VERSION: &str = concat!("#1 Ringfence ", env!("CARGO_PKG_VERSION"));

/// CLOCK_REALTIME at boot.
static BOOT_TIME: AtomicU64 = AtomicU64::new(0);

/// The time of day at boot, in nanoseconds after 1970.
pub fn boot_time_ns() -> u64 {
    BOOT_TIME.load(Relaxed)
}

/// Sets it.
pub fn set_boot_time(ns: u64) {
    BOOT_TIME.store(ns, Relaxed);
}
