//! Interrupt messages, from an I/O APIC to a local APIC.
//!
//! A message is kept in its bus form, the address and data of a message-signalled interrupt
//! (Intel SDM vol. 3A 11.11), because that is what KVM's local APIC wants and what ours can
//! decode in a few shifts. Rejected: a second, decoded form, which would have to be kept
//! consistent.

/// Bits 20 to 31 of every message's address (Intel SDM vol. 3A 11.11.1).
const ADDRESS_BASE: u64 = 0xfee0_0000;

/// Address bit 2: the destination is logical, not an APIC ID.
const LOGICAL: u64 = 1 << 2;

/// Data bit 14: assert. Data bit 15: level-triggered.
const ASSERT: u32 = 1 << 14;
const LEVEL: u32 = 1 << 15;

/// A message-signalled interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Msi {
    /// Where it is written: `0xfee0_0000`, the destination in bits 12 to 19, the
    /// destination mode in bit 2.
    pub address: u64,
    /// What is written: the vector in bits 0 to 7, the delivery mode in bits 8 to 10, the
    /// trigger mode in bit 15.
    pub data: u32,
}

/// How a local APIC delivers an interrupt (Intel SDM vol. 3A 11.6.1, 11.11.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryMode {
    /// To the vector, at every destination.
    Fixed,
    /// To the vector, at the destination of lowest priority.
    LowestPriority,
    /// System management interrupt.
    Smi,
    /// Non-maskable interrupt.
    Nmi,
    /// INIT.
    Init,
    /// Start-up; only between processors.
    StartUp,
    /// To the vector that an 8259 supplies.
    ExtInt,
    /// The encoding without a meaning, 3.
    Reserved,
}

impl DeliveryMode {
    /// Decodes the low three bits, ignoring the others.
    pub const fn from_bits(bits: u32) -> Self {
        match bits & 7 {
            0 => Self::Fixed,
            1 => Self::LowestPriority,
            2 => Self::Smi,
            4 => Self::Nmi,
            5 => Self::Init,
            6 => Self::StartUp,
            7 => Self::ExtInt,
            _ => Self::Reserved,
        }
    }
}

impl Msi {
    /// The message for an interrupt of `vector` with a delivery mode in its three-bit
    /// encoding.
    pub const fn new(
        destination: u8,
        logical: bool,
        mode_bits: u32,
        vector: u8,
        level: bool,
    ) -> Self {
        Self {
            address: ADDRESS_BASE | (destination as u64) << 12 | if logical { LOGICAL } else { 0 },
            data: vector as u32 | (mode_bits & 7) << 8 | if level { ASSERT | LEVEL } else { 0 },
        }
    }

    /// APIC ID, or set of logical destinations.
    pub const fn destination(self) -> u8 {
        (self.address >> 12) as u8
    }

    /// Whether [`destination`](Self::destination) is a logical one.
    pub const fn is_logical(self) -> bool {
        self.address & LOGICAL != 0
    }

    /// How it is to be delivered.
    pub const fn delivery_mode(self) -> DeliveryMode {
        DeliveryMode::from_bits(self.data >> 8)
    }

    /// The vector; messages may name any, local APICs refuse those below 16.
    pub const fn vector(self) -> u8 {
        self.data as u8
    }

    /// Whether the end of the interrupt must be told to the I/O APIC.
    pub const fn is_level(self) -> bool {
        self.data & LEVEL != 0
    }
}

#[cfg(test)]
mod tests {
    use super::{DeliveryMode, Msi};

    #[test]
    fn fields_survive_the_bus_form() {
        let msi = Msi::new(0xa5, true, 1, 0x31, true);
        assert_eq!(msi.address, 0xfeea_5004);
        assert_eq!(msi.data, 0xc131);
        assert_eq!(msi.destination(), 0xa5);
        assert!(msi.is_logical());
        assert_eq!(msi.delivery_mode(), DeliveryMode::LowestPriority);
        assert_eq!(msi.vector(), 0x31);
        assert!(msi.is_level());
    }

    #[test]
    fn an_edge_to_an_apic_id_is_bare() {
        let msi = Msi::new(0, false, 0, 0x24, false);
        assert_eq!((msi.address, msi.data), (0xfee0_0000, 0x24));
    }
}
