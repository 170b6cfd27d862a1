//! The page that the VMM reads: counters, and when ring 3 was first entered.
//!
//! The boot code announces it by an ELF note.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use abi::shared::{MAGIC, SharedPage, UNSUPPORTED_LEN};

/// The page itself.
pub static PAGE: SharedPage = SharedPage::new();

/// Marks the page's contents as valid.
pub fn publish() {
    PAGE.magic.store(MAGIC, Relaxed);
}

/// Adds one to a counter. With one CPU that needs no locked instruction.
#[inline]
pub fn count(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed) + 1, Relaxed);
}

/// Adds to a counter that this CPU alone writes. It stops at its end.
pub fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Relaxed).saturating_add(count), Relaxed);
}

/// Counts a system call that the kernel does not have, up to what fits.
pub fn count_unsupported(number: u64) {
    let place = number.min(UNSUPPORTED_LEN as u64 - 1) as usize;
    let counter = &PAGE.unsupported[place];
    counter.store(counter.load(Relaxed).saturating_add(1), Relaxed);
}

/// Records that ring 3 is about to be entered for the first time, at this value of the
/// time-stamp counter.
pub fn enter_ring_3(counter: u64) {
    PAGE.first_user_tsc.store(counter, Relaxed);
}
