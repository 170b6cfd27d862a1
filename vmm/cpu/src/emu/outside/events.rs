//! What is to happen between instructions: what the VMM wants injected or told, and what the
//! instruction at hand has brought about. In which order it happens: see
//! [`crate::emu::cpu::boundary`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Kick;

/// Whether someone wants the vCPU to return.
#[derive(Debug, Default)]
pub struct Kicked(AtomicBool);

impl Kick for Kicked {
    fn kick(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// What waits.
pub struct Events {
    /// Interrupt to deliver before the next instruction.
    pub injected: Option<u8>,
    /// The VMM wants to know when an interrupt would be taken.
    pub window_wanted: bool,
    /// Retired count at which an interrupt shadow holds (after `sti`, `mov ss`, `pop ss`):
    /// that is, for the next instruction.
    pub shadow: Option<u64>,
    /// Whether an instruction has ended since the last look.
    pub ended: bool,
    /// Whether the instruction at hand ends with a single-step trap.
    pub stepping: bool,
    /// Data and port breakpoints that the instruction at hand has met, as DR6 has them.
    pub hits: u64,
    /// Instructions that may be retired in all.
    pub limit: Option<u64>,
    kicked: Arc<Kicked>,
}

impl Events {
    /// Nothing.
    pub fn new() -> Self {
        Self {
            injected: None,
            window_wanted: false,
            shadow: None,
            ended: false,
            stepping: false,
            hits: 0,
            limit: None,
            kicked: Arc::default(),
        }
    }

    /// Notes an interrupt shadow: it holds while `retired` instructions have been retired.
    pub fn set_shadow(&mut self, retired: u64) {
        self.shadow = Some(retired);
    }

    /// Whether an interrupt shadow holds with `retired` instructions retired.
    pub fn shadowed(&self, retired: u64) -> bool {
        self.shadow == Some(retired)
    }

    /// What others kick the vCPU by.
    pub fn kicker(&self) -> Arc<Kicked> {
        self.kicked.clone()
    }

    /// Whether there was a kick, which is taken then.
    #[inline(always)]
    pub fn take_kick(&self) -> bool {
        // Asking first is cheaper: nearly always nobody kicks.
        let kicked = &self.kicked.0;
        kicked.load(Ordering::Relaxed) && kicked.swap(false, Ordering::Acquire)
    }
}
