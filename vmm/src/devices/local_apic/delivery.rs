//! From request to end of interrupt: destinations, priorities, errors.
//!
//! The registers are in the parent module; here is what they make happen (Intel SDM
//! vol. 3A 11.5.2, 11.5.3, 11.6 and 11.8).

use super::registers::Lvt;
use super::{ID, LVT_MASKED, LocalApic, Mode, X2APIC_LOGICAL_ID};
use crate::devices::msi::{DeliveryMode, Msi};

/// Vectors below this are reserved to exceptions; an APIC never delivers them (11.5.2).
const FIRST_LEGAL_VECTOR: u8 = 16;

/// Bits of the error status register (11.5.3).
const SEND_ILLEGAL_VECTOR: u32 = 1 << 5;
const RECEIVE_ILLEGAL_VECTOR: u32 = 1 << 6;

/// Destinations that mean every CPU: as eight bits, and in x2APIC mode.
const BROADCAST: u32 = 0xff;
const X2APIC_BROADCAST: u32 = u32::MAX;

impl LocalApic {
    /// Takes a message from the I/O APIC, if it is meant for this CPU.
    pub fn accept(&mut self, msi: Msi) {
        let destination = match (self.mode, u32::from(msi.destination())) {
            (Mode::X2Apic, BROADCAST) => X2APIC_BROADCAST,
            (_, destination) => destination,
        };
        if !self.is_destination(destination, msi.is_logical()) {
            return;
        }
        match msi.delivery_mode() {
            DeliveryMode::Fixed | DeliveryMode::LowestPriority if self.software_enabled() => {
                self.request(msi.vector(), msi.is_level());
            }
            DeliveryMode::Nmi => self.send_nmi(),
            _ => {}
        }
    }

    /// Whether something has changed since the last call that the CPU does not know: an NMI
    /// has come, or the task priority is another, which is CR8.
    #[inline]
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// Whether an NMI has come since the last call.
    pub fn take_nmi(&mut self) -> bool {
        std::mem::take(&mut self.nmi)
    }

    /// Whether there is something that the CPU should take now.
    pub fn wakes(&self) -> bool {
        self.nmi || self.pending().is_some()
    }

    /// The vector that the CPU should take now: the highest requested one, if its priority
    /// class is above the processor's (11.8.3.1).
    #[inline]
    pub fn pending(&self) -> Option<u8> {
        let vector = self.state.requested.highest()?;
        let deliverable = self.mode != Mode::Disabled
            && priority_class(vector) > priority_class(self.processor_priority());
        deliverable.then_some(vector)
    }

    /// The CPU takes the [`pending`](Self::pending) interrupt: it is in service now.
    pub fn acknowledge(&mut self) -> Option<u8> {
        let vector = self.pending()?;
        self.state.requested.remove(vector);
        self.state.in_service.insert(vector);
        Some(vector)
    }

    /// A level-triggered vector that the guest has ended, for the I/O APIC; at most one an
    /// access.
    #[inline]
    pub fn take_eoi(&mut self) -> Option<u8> {
        self.ended.take()
    }

    pub(super) fn end_of_interrupt(&mut self) {
        if let Some(vector) = self.state.in_service.highest() {
            self.state.in_service.remove(vector);
            if self.state.level.contains(vector) {
                self.ended = Some(vector);
            }
        }
    }

    /// Sends the interrupt of the interrupt command register, as far as it concerns this
    /// CPU (11.6.1). The trigger mode is ignored, as for every command but INIT.
    pub(super) fn send_command(&mut self) {
        let low = self.state.command as u32;
        let high = (self.state.command >> 32) as u32;
        let destination = match self.mode {
            Mode::X2Apic => high,
            _ => high >> 24,
        };
        let to_self = match low >> 18 & 3 {
            0 => self.is_destination(destination, low & 1 << 11 != 0),
            1 | 2 => true,
            _ => false,
        };
        match DeliveryMode::from_bits(low >> 8) {
            DeliveryMode::Fixed | DeliveryMode::LowestPriority if to_self => {
                self.send_to_self(low as u8);
            }
            DeliveryMode::Fixed | DeliveryMode::LowestPriority
                if (low as u8) < FIRST_LEGAL_VECTOR =>
            {
                self.report_error(SEND_ILLEGAL_VECTOR);
            }
            DeliveryMode::Nmi if to_self => self.send_nmi(),
            _ => {}
        }
    }

    fn send_nmi(&mut self) {
        (self.nmi, self.news) = (true, true);
    }

    pub(super) fn send_to_self(&mut self, vector: u8) {
        if vector < FIRST_LEGAL_VECTOR {
            self.report_error(SEND_ILLEGAL_VECTOR);
        } else if self.software_enabled() {
            self.request(vector, false);
        }
    }

    /// Whether a message to `destination` is for this CPU (11.6.2).
    fn is_destination(&self, destination: u32, logical: bool) -> bool {
        match (self.mode, logical) {
            (Mode::Disabled, _) => false,
            (Mode::XApic, _) if destination == BROADCAST => true,
            (Mode::X2Apic, _) if destination == X2APIC_BROADCAST => true,
            (_, false) => destination == ID,
            (Mode::XApic, true) => {
                let own = self.state.logical_destination >> 24;
                if self.state.destination_format >> 28 == 0xf {
                    own & destination != 0
                } else {
                    own >> 4 == destination >> 4 && own & destination & 0xf != 0
                }
            }
            (Mode::X2Apic, true) => {
                X2APIC_LOGICAL_ID >> 16 == destination >> 16
                    && X2APIC_LOGICAL_ID & destination & 0xffff != 0
            }
        }
    }

    /// Raises the interrupt of a local source. The modes that a local entry may also ask
    /// for belong to entries that never fire.
    pub(super) fn fire(&mut self, entry: Lvt) {
        let value = self.state.lvt[entry as usize];
        if value & LVT_MASKED == 0 {
            self.request(value as u8, false);
        }
    }

    fn request(&mut self, vector: u8, level: bool) {
        if vector < FIRST_LEGAL_VECTOR {
            self.report_error(RECEIVE_ILLEGAL_VECTOR);
            return;
        }
        self.state.requested.insert(vector);
        if level {
            self.state.level.insert(vector);
        } else {
            self.state.level.remove(vector);
        }
    }

    /// Records an error, and raises the error interrupt when it is a new one; an error
    /// entry with an illegal vector of its own finds that error recorded and stops there.
    pub(super) fn report_error(&mut self, error: u32) {
        if self.state.errors & error == 0 {
            self.state.errors |= error;
            self.fire(Lvt::Error);
        }
    }

    pub(super) fn processor_priority(&self) -> u8 {
        let task = self.state.task_priority;
        match self.state.in_service.highest() {
            Some(vector) if priority_class(vector) > priority_class(task) => vector & 0xf0,
            _ => task,
        }
    }
}

/// Interrupts of a higher class go before, and interrupt those of a lower one (11.8.3).
const fn priority_class(priority: u8) -> u8 {
    priority >> 4
}
