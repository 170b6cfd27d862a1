//! What tells a stock kernel that it has the clock of KVM's guests (Linux:
//! Documentation/virt/kvm/x86/cpuid.rst). KVM has that clock, the emulator has the like.
//!
//! The leaves come after those of this VMM, where such kernels look for them too. Nothing else
//! that KVM can do for its guests is announced: on all machines they are to do the same.

/// Leaf with the highest leaf of the range, and the signature.
pub const SIGNATURE_LEAF: u32 = 0x4000_0100;
/// Leaf with the features.
pub const FEATURES_LEAF: u32 = 0x4000_0101;

/// eax, ebx, ecx and edx of the first: "KVMKVMKVM".
pub const SIGNATURE: [u32; 4] = [
    FEATURES_LEAF,
    word(b"KVMK"),
    word(b"VMKV"),
    word(b"M\0\0\0"),
];

/// eax of the other: no delays between accesses to ports, the clock, and that it is the same
/// on all processors.
pub const FEATURES: u32 = NO_IO_DELAY | CLOCK | STABLE_CLOCK;
const NO_IO_DELAY: u32 = 1 << 1;
const CLOCK: u32 = 1 << 3;
const STABLE_CLOCK: u32 = 1 << 24;

const fn word(text: &[u8; 4]) -> u32 {
    u32::from_le_bytes(*text)
}
