//! Events that are pending between instructions: requests of the VMM, and traps of the
//! current instruction. For their order see [`crate::emu::cpu::boundary`].

use std::sync::Arc;

use super::kicked::Kicked;
use crate::{Interruptibility, Shadow};

/// The pending events.
pub struct Events {
    /// Interrupt to deliver before the next instruction.
    pub injected: Option<u8>,
    /// Whether an NMI waits, and whether it waits for the `iret` of the one before.
    pub nmi_pending: bool,
    pub nmi_blocked: bool,
    /// The VMM has requested an interrupt window.
    pub window_wanted: bool,
    /// The last interrupt shadow, and the retired count at which it holds: that is, for the
    /// next instruction.
    shadow: (Shadow, u64),
    /// Whether an instruction has ended since the last check.
    pub ended: bool,
    /// Whether the current instruction ends with a single-step trap.
    pub stepping: bool,
    /// Data and port breakpoints that the current instruction has hit, as DR6 has them.
    pub hits: u64,
    /// Instructions that may be retired in all.
    pub limit: Option<u64>,
    /// How many fewer will do.
    pub slack: u64,
    /// Whether `pause` counts as the limit.
    pub pause_exits: bool,
    kicked: Arc<Kicked>,
}

impl Events {
    /// No events of a vCPU that is kicked by `kicked`.
    pub fn new(kicked: Arc<Kicked>) -> Self {
        Self {
            injected: None,
            nmi_pending: false,
            nmi_blocked: false,
            window_wanted: false,
            shadow: (Shadow::None, 0),
            ended: false,
            stepping: false,
            hits: 0,
            limit: None,
            slack: 0,
            pause_exits: false,
            kicked,
        }
    }

    /// Begins an interrupt shadow: it holds while `retired` instructions have been retired.
    pub fn set_shadow(&mut self, shadow: Shadow, retired: u64) {
        self.shadow = (shadow, retired);
    }

    /// The interrupt shadow that holds with `retired` instructions retired.
    pub fn shadow(&self, retired: u64) -> Shadow {
        match self.shadow {
            (shadow, at) if at == retired => shadow,
            _ => Shadow::None,
        }
    }

    /// Whether an interrupt shadow holds with `retired` instructions retired.
    pub fn shadowed(&self, retired: u64) -> bool {
        self.shadow(retired) != Shadow::None
    }

    /// What holds interrupts back, with `retired` instructions retired.
    pub fn interruptibility(&self, retired: u64) -> Interruptibility {
        Interruptibility {
            shadow: self.shadow(retired),
            nmi_pending: self.nmi_pending,
            nmi_blocked: self.nmi_blocked,
        }
    }

    /// The converse.
    pub fn set_interruptibility(&mut self, state: Interruptibility, retired: u64) {
        self.set_shadow(state.shadow, retired);
        self.nmi_pending = state.nmi_pending;
        self.nmi_blocked = state.nmi_blocked;
    }

    /// Whether traps wait with `retired` instructions retired.
    pub fn traps_shadowed(&self, retired: u64) -> bool {
        self.shadow(retired) == Shadow::MovSs
    }

    /// The handle by which other threads kick the vCPU.
    pub fn kicker(&self) -> Arc<Kicked> {
        self.kicked.clone()
    }

    /// Takes a pending kick; whether there was one.
    #[inline(always)]
    pub fn take_kick(&self) -> bool {
        self.kicked.take()
    }
}
