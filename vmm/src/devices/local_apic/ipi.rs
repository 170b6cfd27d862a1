//! Messages between CPUs, and whom a message is for (Intel SDM vol. 3A 11.6, 8.4.3).
//!
//! A local APIC says what it has sent; the board, which knows all of them, asks each whether
//! that is for it.

use super::delivery::{FIRST_LEGAL_VECTOR, SEND_ILLEGAL_VECTOR};
use super::{LocalApic, Mode};
use crate::devices::msi::{DeliveryMode, Msi};

/// Destinations that mean every CPU: as eight bits, and in x2APIC mode.
const BROADCAST: u32 = 0xff;
const X2APIC_BROADCAST: u32 = u32::MAX;

/// Fields of the interrupt command register's lower half (11.6.1).
const LOGICAL: u32 = 1 << 11;
const ASSERT: u32 = 1 << 14;
const LEVEL: u32 = 1 << 15;
const SHORTHAND_SHIFT: u32 = 18;

/// What happens to a CPU that another one starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Startup {
    /// It stops, and waits for a start-up message.
    Wait,
    /// It begins in real mode at the start of this page of 4 KiB.
    At(u8),
}

/// Whom a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// As the sender's mode encodes it.
    Selected { destination: u32, logical: bool },
    /// Every CPU, or every one but the sender.
    All { sender_too: bool },
}

/// An interprocessor interrupt, or a message of the I/O APIC, on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipi {
    /// How it is delivered.
    pub mode: DeliveryMode,
    vector: u8,
    level: bool,
    target: Target,
    /// APIC ID of the CPU that has sent it, if one has.
    sender: Option<u8>,
}

impl From<Msi> for Ipi {
    fn from(msi: Msi) -> Self {
        let destination = match u32::from(msi.destination()) {
            BROADCAST => X2APIC_BROADCAST,
            destination => destination,
        };
        Self {
            mode: msi.delivery_mode(),
            vector: msi.vector(),
            level: msi.is_level(),
            target: Target::Selected {
                destination,
                logical: msi.is_logical(),
            },
            sender: None,
        }
    }
}

impl LocalApic {
    /// Sends the message of the interrupt command register (11.6.1): see
    /// [`take_sent`](Self::take_sent). The trigger mode counts for INIT alone, whose
    /// de-assertion nothing follows any more.
    pub(super) fn send_command(&mut self) {
        let low = self.state.command as u32;
        let high = (self.state.command >> 32) as u32;
        let (mode, vector) = (DeliveryMode::from_bits(low >> 8), low as u8);
        let destination = match (self.mode, high >> 24) {
            (Mode::X2Apic, _) => high,
            (_, BROADCAST) => X2APIC_BROADCAST,
            (_, destination) => destination,
        };
        let target = match low >> SHORTHAND_SHIFT & 3 {
            0 => Target::Selected {
                destination,
                logical: low & LOGICAL != 0,
            },
            // Nothing but vectors and NMIs can be sent so to oneself (table 11-3).
            1 => Target::Selected {
                destination: self.id.into(),
                logical: false,
            },
            shorthand => Target::All {
                sender_too: shorthand == 2,
            },
        };
        let has_vector = matches!(mode, DeliveryMode::Fixed | DeliveryMode::LowestPriority);
        if has_vector && vector < FIRST_LEGAL_VECTOR {
            self.report_error(SEND_ILLEGAL_VECTOR);
        } else if mode != DeliveryMode::Init || low & (ASSERT | LEVEL) != LEVEL {
            self.sent = Some(Ipi {
                mode,
                vector,
                level: false,
                target,
                sender: Some(self.id),
            });
        }
    }

    /// What the CPU has sent since the last call; at most one message an access.
    #[inline]
    pub fn take_sent(&mut self) -> Option<Ipi> {
        self.sent.take()
    }

    /// Takes a message, if it is meant for this CPU.
    pub fn accept(&mut self, message: impl Into<Ipi>) {
        let ipi = message.into();
        if self.is_meant(&ipi) {
            self.receive(ipi.mode, ipi.vector, ipi.level);
        }
    }

    /// Whether a message is meant for this CPU (11.6.2).
    pub fn is_meant(&self, ipi: &Ipi) -> bool {
        match ipi.target {
            Target::All { sender_too } => sender_too || ipi.sender != Some(self.id),
            Target::Selected {
                destination,
                logical,
            } => self.is_destination(destination, logical),
        }
    }

    fn is_destination(&self, destination: u32, logical: bool) -> bool {
        match (self.mode, logical) {
            (Mode::Disabled, _) => false,
            (_, _) if destination == X2APIC_BROADCAST => true,
            (_, false) => destination == u32::from(self.id),
            (Mode::XApic, true) => {
                let own = self.state.logical_destination >> 24;
                if self.state.destination_format >> 28 == 0xf {
                    own & destination != 0
                } else {
                    own >> 4 == destination >> 4 && own & destination & 0xf != 0
                }
            }
            (Mode::X2Apic, true) => {
                let own = self.x2apic_logical_id();
                own >> 16 == destination >> 16 && own & destination & 0xffff != 0
            }
        }
    }

    /// Cluster in the upper, one bit in the lower half (11.12.10.2).
    pub(super) fn x2apic_logical_id(&self) -> u32 {
        let id = u32::from(self.id);
        (id >> 4) << 16 | 1 << (id & 0xf)
    }
}
