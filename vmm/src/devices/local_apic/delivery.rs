//! From request to end of interrupt: priorities, errors.
//!
//! The registers are in the parent module; here is what they make happen (Intel SDM
//! vol. 3A 11.5.2, 11.5.3, 11.6 and 11.8).

use super::ipi::Startup;
use super::registers::Lvt;
use super::{BOOT_CPU, LVT_MASKED, LocalApic, Mode, State};
use crate::devices::msi::DeliveryMode;

/// Vectors below this are reserved to exceptions; an APIC never delivers them (11.5.2).
pub(super) const FIRST_LEGAL_VECTOR: u8 = 16;

/// Bits of the error status register (11.5.3).
pub(super) const SEND_ILLEGAL_VECTOR: u32 = 1 << 5;
const RECEIVE_ILLEGAL_VECTOR: u32 = 1 << 6;

impl LocalApic {
    /// Takes a message that is meant for this CPU.
    pub(super) fn receive(&mut self, mode: DeliveryMode, vector: u8, level: bool) {
        match mode {
            DeliveryMode::Fixed | DeliveryMode::LowestPriority if self.software_enabled() => {
                self.request(vector, level);
            }
            DeliveryMode::Nmi if !self.waits => (self.nmi, self.news) = (true, true),
            DeliveryMode::Init if self.id != BOOT_CPU => self.initialize(),
            DeliveryMode::StartUp if self.waits => {
                self.waits = false;
                self.startup = Some(Startup::At(vector));
            }
            _ => {}
        }
    }

    /// The CPU and its APIC are as after power-up, but for its mode and base (11.4.7.3), and
    /// wait to be started.
    fn initialize(&mut self) {
        self.state = State::reset();
        self.timer.reset();
        (self.nmi, self.news, self.waits) = (false, true, true);
        self.startup = Some(Startup::Wait);
    }

    /// What has happened to the CPU's start since the last call.
    pub fn take_startup(&mut self) -> Option<Startup> {
        self.startup.take()
    }

    /// Whether the CPU waits to be started.
    pub fn waits(&self) -> bool {
        self.waits
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

    /// Whether it does not go on as before: it waits to be started, or has been.
    pub fn is_restarted(&self) -> bool {
        self.startup.is_some()
    }

    /// Whether there is something that ends a halt, with interrupts on or off.
    pub fn wakes(&self, interruptible: bool) -> bool {
        self.nmi
            || matches!(self.startup, Some(Startup::At(_)))
            || interruptible && self.pending().is_some()
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

    pub(super) fn send_to_self(&mut self, vector: u8) {
        if vector < FIRST_LEGAL_VECTOR {
            self.report_error(SEND_ILLEGAL_VECTOR);
        } else if self.software_enabled() {
            self.request(vector, false);
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

    /// The priority below which nothing interrupts the CPU (11.8.3.1).
    pub fn processor_priority(&self) -> u8 {
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
