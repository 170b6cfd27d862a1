//! The I/O APIC: 24 interrupt lines in, messages to the local APIC out.
//!
//! Modelled on Intel's 82093AA datasheet (290566): an index register at offset 0x00
//! selects what the data register at offset 0x10 shows. Messages wait here, one bit a
//! pin, until the board takes them, so no queue can grow. An ExtINT entry asks for the
//! vector of an 8259, which this machine does not have, and sends nothing.

use std::mem;

use super::bus;
use super::msi::{DeliveryMode, Msi};

/// Interrupt lines, and redirection entries.
pub const PINS: usize = 24;

/// Offsets in the window.
const INDEX: u64 = 0x00;
const DATA: u64 = 0x10;

/// Indirect registers.
const REG_ID: u8 = 0x00;
const REG_VERSION: u8 = 0x01;
const REG_ARBITRATION: u8 = 0x02;
const REG_ENTRIES: u8 = 0x10;

/// Version 0x11 (82093AA), and in bits 16 to 23 the number of the last entry.
const VERSION: u32 = 0x11 | (PINS as u32 - 1) << 16;
/// The writable bits of the ID register.
const ID_MASK: u32 = 0x0f00_0000;

/// Fields of a redirection entry.
const MODE_SHIFT: u32 = 8;
const LOGICAL: u64 = 1 << 11;
const REMOTE_IRR: u64 = 1 << 14;
const LEVEL: u64 = 1 << 15;
const MASKED: u64 = 1 << 16;
const DESTINATION_SHIFT: u32 = 56;
/// What a guest may write: all but delivery status (12, never busy here), remote IRR and
/// the reserved bits.
const ENTRY_WRITABLE: u64 = 0xff00_0000_0001_afff;

/// The device. Starts with every pin masked.
#[derive(Debug)]
pub struct IoApic {
    id: u32,
    index: u8,
    entries: [u64; PINS],
    /// Lines that are asserted, a bit each.
    lines: u32,
    /// Pins whose message waits to be taken, a bit each.
    waiting: u32,
    /// Whether the [`levels`](Self::levels) are others than they were at the last
    /// [`take_new_levels`](Self::take_new_levels).
    new_levels: bool,
}

impl Default for IoApic {
    fn default() -> Self {
        Self {
            id: 0,
            index: 0,
            entries: [MASKED; PINS],
            lines: 0,
            waiting: 0,
            new_levels: false,
        }
    }
}

impl IoApic {
    /// Reads at `offset` of the window into `data`, of any length: the register's bytes,
    /// then zeros.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        let value = match offset & !0xf {
            INDEX => u32::from(self.index),
            DATA => self.register(),
            _ => 0,
        };
        bus::read_register(value, (offset & 0xf) as usize, data);
    }

    /// Writes `data`, of any length, at `offset` of the window: the first four bytes,
    /// zero-extended. Registers have no other addresses than their first.
    pub fn write(&mut self, offset: u64, data: &[u8]) {
        let value = bus::written(data);
        match offset {
            INDEX => self.index = value as u8,
            DATA => self.set_register(value),
            _ => {}
        }
    }

    /// Asserts or releases line `gsi`; numbers without a pin do nothing.
    pub fn set_line(&mut self, gsi: u32, asserted: bool) {
        let Some(pin) = usize::try_from(gsi).ok().filter(|&pin| pin < PINS) else {
            return;
        };
        let bit = 1 << pin;
        let rising = asserted && self.lines & bit == 0;
        if asserted {
            self.lines |= bit;
        } else {
            self.lines &= !bit;
        }
        let entry = self.entries[pin];
        if is_level(entry) {
            self.serve_level(pin);
        } else if rising && entry & MASKED == 0 {
            // An edge on a masked pin is lost (82093AA, 3.2.4, interrupt mask).
            self.waiting |= bit;
        }
    }

    /// The next message for a local APIC; once taken, it counts as accepted.
    pub fn take_message(&mut self) -> Option<Msi> {
        while self.waiting != 0 {
            let pin = self.waiting.trailing_zeros() as usize;
            self.waiting &= self.waiting - 1;
            let entry = self.entries[pin];
            let message = message(entry);
            if message.delivery_mode() != DeliveryMode::ExtInt {
                return Some(message);
            }
        }
        None
    }

    /// The messages of all level-triggered pins, masked ones too, whose interrupt may not
    /// have ended: a local APIC tells their end.
    pub fn levels(&self) -> impl Iterator<Item = Msi> {
        let levels = self.entries.iter().filter(|&&entry| is_level(entry));
        levels.map(|&entry| message(entry))
    }

    /// Whether there are others than at the last call.
    pub fn take_new_levels(&mut self) -> bool {
        mem::take(&mut self.new_levels)
    }

    /// Whether the interrupt of line `gsi` lasts as long as the line is asserted.
    pub fn is_level(&self, gsi: u32) -> bool {
        let entry = self.entries.get(gsi as usize);
        entry.is_some_and(|&entry| is_level(entry))
    }

    /// Whether line `gsi` is not masked.
    pub fn is_connected(&self, gsi: u32) -> bool {
        let entry = self.entries.get(gsi as usize);
        entry.is_some_and(|entry| entry & MASKED == 0)
    }

    /// Whether line `gsi` may be delivered as an interrupt that RFLAGS.IF does not mask.
    pub fn may_send_nmi(&self, gsi: u32) -> bool {
        self.entries.get(gsi as usize).is_some_and(|entry| {
            let mode = DeliveryMode::from_bits((entry >> MODE_SHIFT) as u32);
            entry & MASKED == 0 && mode == DeliveryMode::Nmi
        })
    }

    /// A local APIC has ended a level-triggered interrupt of `vector`: pins that sent it
    /// may send again, and do if their line is still asserted.
    pub fn end_of_interrupt(&mut self, vector: u8) {
        for pin in 0..PINS {
            let entry = &mut self.entries[pin];
            if *entry & REMOTE_IRR != 0 && *entry as u8 == vector {
                *entry &= !REMOTE_IRR;
                self.serve_level(pin);
            }
        }
    }

    /// Sends for a level-triggered pin that is asserted, unmasked and not being served.
    fn serve_level(&mut self, pin: usize) {
        let bit = 1 << pin;
        let entry = &mut self.entries[pin];
        let ready = is_level(*entry) && *entry & (MASKED | REMOTE_IRR) == 0;
        if ready && self.lines & bit != 0 {
            *entry |= REMOTE_IRR;
            self.waiting |= bit;
        }
    }

    /// The entry that the index register selects, and whether it is the upper half.
    fn selected_entry(&self) -> Option<(usize, bool)> {
        let half = self.index.checked_sub(REG_ENTRIES)?;
        let pin = usize::from(half / 2);
        (pin < PINS).then_some((pin, half % 2 == 1))
    }

    fn register(&self) -> u32 {
        match (self.index, self.selected_entry()) {
            (REG_ID | REG_ARBITRATION, _) => self.id,
            (REG_VERSION, _) => VERSION,
            (_, Some((pin, true))) => (self.entries[pin] >> 32) as u32,
            (_, Some((pin, false))) => self.entries[pin] as u32,
            _ => 0,
        }
    }

    fn set_register(&mut self, value: u32) {
        if self.index == REG_ID {
            self.id = value & ID_MASK;
        } else if let Some((pin, upper)) = self.selected_entry() {
            let old = self.entries[pin];
            let new = if upper {
                u64::from(value) << 32 | old & 0xffff_ffff
            } else {
                old & !0xffff_ffff | u64::from(value)
            };
            let mut entry = new & ENTRY_WRITABLE | old & REMOTE_IRR;
            if !is_level(entry) {
                // An interrupt of a pin that is edge-triggered now gets no EOI.
                entry &= !REMOTE_IRR;
            }
            self.entries[pin] = entry;
            let ends = is_level(old) || is_level(entry);
            self.new_levels |= ends && message(old) != message(entry);
            self.serve_level(pin);
        }
    }
}

/// What a pin sends.
fn message(entry: u64) -> Msi {
    Msi::new(
        (entry >> DESTINATION_SHIFT) as u8,
        entry & LOGICAL != 0,
        (entry >> MODE_SHIFT) as u32,
        entry as u8,
        is_level(entry),
    )
}

/// Whether the interrupt of a pin lasts until its end is told. NMI, SMI and INIT are edges,
/// whatever the trigger mode says (82093AA, 3.2.4, delivery mode).
fn is_level(entry: u64) -> bool {
    let mode = DeliveryMode::from_bits((entry >> MODE_SHIFT) as u32);
    let ends = matches!(mode, DeliveryMode::Fixed | DeliveryMode::LowestPriority);
    entry & LEVEL != 0 && ends
}

#[cfg(test)]
mod tests;
