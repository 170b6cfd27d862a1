//! A kick that the emulator looks for between instructions.

use crate::Kick;
use crate::sync::atomic::{AtomicBool, Ordering};

/// Whether a kick is pending.
#[derive(Debug, Default)]
pub struct Kicked(AtomicBool);

impl Kick for Kicked {
    fn kick(&self) {
        // An exchange, so that who takes one of several kicks sees what was written before any.
        self.0.swap(true, Ordering::Release);
    }
}

impl Kicked {
    /// Takes a pending kick; whether there was one.
    #[inline(always)]
    pub fn take(&self) -> bool {
        // Kicks are rare, and a load is cheaper than an exchange.
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Acquire)
    }
}
