//! VM exits: why a vCPU stopped running guest code.
//!
//! An accelerator turns its raw exit into a [`VmExit`] once, with the payload borrowed
//! from the vCPU; the run loop matches it exhaustively. Replies (`PioIn::data`,
//! `MmioRead::data`, `MsrRead`) are filled in place and take effect when the vCPU runs
//! next. Accounting keys on the fieldless [`ExitReason`] and a number, the detail.

use serde::Serialize;
use strum::{EnumDiscriminants, IntoStaticStr, VariantArray};

/// One VM exit, with the guest's request.
#[derive(Debug, PartialEq, Eq, EnumDiscriminants)]
#[strum_discriminants(
    name(ExitReason),
    doc = "Fieldless key of a [`VmExit`], in the order of reports.",
    allow(missing_docs),
    derive(PartialOrd, Ord, Hash, Serialize, IntoStaticStr, VariantArray),
    serde(rename_all = "snake_case"),
    strum(serialize_all = "snake_case")
)]
pub enum VmExit<'a> {
    /// `in` from `port`; fill `data`: one or more items of `size` (1, 2 or 4) bytes.
    PioIn {
        /// First port of the access.
        port: u16,
        /// Bytes in an item.
        size: u8,
        /// The reply, `size` times the number of items.
        data: &'a mut [u8],
    },
    /// `out` to `port` of one or more items of `size` (1, 2 or 4) bytes.
    PioOut {
        /// First port of the access.
        port: u16,
        /// Bytes in an item.
        size: u8,
        /// What was written, `size` times the number of items.
        data: &'a [u8],
    },
    /// Read of guest-physical memory that no RAM backs; fill `data` (1 to 8 bytes).
    MmioRead {
        /// Guest-physical address.
        gpa: u64,
        /// The reply.
        data: &'a mut [u8],
    },
    /// Write to guest-physical memory that no RAM backs (1 to 8 bytes).
    MmioWrite {
        /// Guest-physical address.
        gpa: u64,
        /// What was written.
        data: &'a [u8],
    },
    /// `rdmsr` of a register that the vCPU leaves to the VMM (the local APIC's).
    MsrRead {
        /// The MSR's number.
        index: u32,
        /// The reply.
        value: &'a mut u64,
        /// Set to 1 to make the instruction raise #GP(0).
        error: &'a mut u8,
    },
    /// `wrmsr` of a register that the vCPU leaves to the VMM (the local APIC's).
    MsrWrite {
        /// The MSR's number.
        index: u32,
        /// What was written.
        value: u64,
        /// Set to 1 to make the instruction raise #GP(0).
        error: &'a mut u8,
    },
    /// `mov cr8` wrote the task priority of a local APIC that the VMM keeps (bits 0 to 3).
    Cr8Write {
        /// The new CR8.
        value: u8,
    },
    /// The guest has ended a level-triggered interrupt, in a local APIC inside the
    /// accelerator: see [`Vcpu::report_eoi`](crate::Vcpu::report_eoi).
    Eoi {
        /// The interrupt's vector.
        vector: u8,
    },
    /// `hlt` in ring 0 with the local APIC outside KVM.
    Hlt,
    /// The interrupt window that was asked for is open.
    InterruptWindow,
    /// A kick from another thread; no guest event.
    Interrupted,
    /// The instruction limit was reached, exactly.
    InstructionLimit,
    /// KVM could not execute the current instruction and the VMM's emulator did.
    Emulated,
    /// Triple fault: an exception while delivering a double fault.
    TripleFault,
    /// An unsupported state or a failure; ends the run with this text.
    Failed {
        /// A description of the failure.
        message: String,
    },
}

impl ExitReason {
    /// Every reason, in order; `ALL[r as usize] == r`.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The reason as reports spell it.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl VmExit<'_> {
    /// The accounting key: the reason, and the port, address or MSR where it has one.
    pub fn key(&self) -> (ExitReason, Option<u64>) {
        let detail = match self {
            Self::PioIn { port, .. } | Self::PioOut { port, .. } => Some(u64::from(*port)),
            Self::MmioRead { gpa, .. } | Self::MmioWrite { gpa, .. } => Some(*gpa),
            Self::MsrRead { index, .. } | Self::MsrWrite { index, .. } => Some(u64::from(*index)),
            _ => None,
        };
        (self.into(), detail)
    }
}

#[cfg(test)]
mod tests {
    use super::ExitReason;

    #[test]
    fn reasons_index_their_own_table() {
        for (index, reason) in ExitReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
            let json = serde_json::to_string(reason).expect("a unit variant serializes");
            assert_eq!(json, format!("\"{}\"", reason.name()));
        }
    }
}
