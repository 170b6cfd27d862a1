//! Names of what runs a guest.

use serde::Serialize;
use strum::Display;

/// What runs the guest.
#[derive(Clone, Copy, Debug, Display, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Accel {
    /// Hardware-assisted virtualization, by KVM.
    Kvm,
    /// The built-in emulator.
    Emu,
}

/// What executes the guest's ring 0.
#[derive(Clone, Copy, Debug, Display, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum HostKind {
    /// The processor (Intel VMX or AMD SVM).
    Hardware,
    /// KVM itself, in software; only ring 3 runs on the processor.
    Software,
    /// The VMM's emulator; KVM takes no part.
    Emulator,
}

impl HostKind {
    /// The kind in words, for reports.
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::Hardware => "the processor runs ring 0 and ring 3",
            Self::Software => "the processor runs ring 3, KVM emulates ring 0",
            Self::Emulator => "ring 0 and ring 3 are emulated",
        }
    }
}
