//! The leaves of `cpuid`: an AMD processor with exactly the features that the emulator has.

use iced_x86::CpuidFeature;
use x86::ApicBaseFlags;
use x86::xsave::{YMM_HIGH_AT, YMM_HIGH_LEN};

use crate::emu::code::executable::Executable;
use crate::emu::memory::walk::PHYSICAL_BITS;
use crate::emu::outside::meter::TSC_KHZ;
use crate::emu::state::control::{Control, bits};
use crate::emu::state::{mxcsr, xsave};
use crate::kvm_clock;

/// Highest leaves of the three ranges.
const MAX_BASIC: u32 = 0xd;
const MAX_HYPERVISOR: u32 = 0x4000_0010;
const MAX_EXTENDED: u32 = 0x8000_001e;

/// Family 0x19, model 0x11, stepping 1.
const SIGNATURE: u32 = 0x00a1_0f11;
/// Frequency of the APIC bus: that of the time-stamp counter.
const APIC_BUS_KHZ: u32 = TSC_KHZ;
const BRAND: &[u8; 48] = b"Ringfence emulated x86-64 processor\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// Leaf 1, edx, and most of leaf 0x8000_0001, edx.
mod leaf1_edx {
    pub const FPU: u32 = 1;
    pub const DE: u32 = 1 << 2;
    pub const PSE: u32 = 1 << 3;
    pub const TSC: u32 = 1 << 4;
    pub const MSR: u32 = 1 << 5;
    pub const PAE: u32 = 1 << 6;
    pub const MCE: u32 = 1 << 7;
    pub const CX8: u32 = 1 << 8;
    pub const APIC: u32 = 1 << 9;
    pub const SEP: u32 = 1 << 11;
    pub const MTRR: u32 = 1 << 12;
    pub const PGE: u32 = 1 << 13;
    pub const MCA: u32 = 1 << 14;
    pub const CMOV: u32 = 1 << 15;
    pub const PAT: u32 = 1 << 16;
    pub const PSE36: u32 = 1 << 17;
    pub const CLFSH: u32 = 1 << 19;
    pub const MMX: u32 = 1 << 23;
    pub const FXSR: u32 = 1 << 24;
    pub const SSE: u32 = 1 << 25;
    pub const SSE2: u32 = 1 << 26;
    /// There are several logical processors.
    pub const HTT: u32 = 1 << 28;
    /// The features in both leaves.
    pub const COMMON: u32 = FPU
        | DE
        | PSE
        | TSC
        | MSR
        | PAE
        | MCE
        | CX8
        | APIC
        | MTRR
        | PGE
        | MCA
        | CMOV
        | PAT
        | PSE36
        | MMX
        | FXSR;
    pub const ALL: u32 = COMMON | SEP | CLFSH | SSE | SSE2;
}

/// Leaf 1, ecx.
mod leaf1_ecx {
    pub const SSE3: u32 = 1;
    pub const PCLMULQDQ: u32 = 1 << 1;
    pub const SSSE3: u32 = 1 << 9;
    pub const FMA: u32 = 1 << 12;
    pub const CX16: u32 = 1 << 13;
    pub const PCID: u32 = 1 << 17;
    pub const SSE4_1: u32 = 1 << 19;
    pub const SSE4_2: u32 = 1 << 20;
    pub const X2APIC: u32 = 1 << 21;
    pub const MOVBE: u32 = 1 << 22;
    pub const POPCNT: u32 = 1 << 23;
    pub const TSC_DEADLINE: u32 = 1 << 24;
    pub const AES: u32 = 1 << 25;
    pub const XSAVE: u32 = 1 << 26;
    /// CR4.OSXSAVE.
    pub const OSXSAVE: u32 = 1 << 27;
    pub const AVX: u32 = 1 << 28;
    pub const F16C: u32 = 1 << 29;
    pub const RDRAND: u32 = 1 << 30;
    pub const HYPERVISOR: u32 = 1 << 31;
    /// The features that do not depend on the host.
    pub const ALWAYS: u32 = CX16 | PCID | X2APIC | MOVBE | TSC_DEADLINE | XSAVE | HYPERVISOR;
}

/// Leaf 7, ebx and ecx.
mod leaf7 {
    pub const FSGSBASE: u32 = 1;
    pub const BMI1: u32 = 1 << 3;
    pub const AVX2: u32 = 1 << 5;
    pub const SMEP: u32 = 1 << 7;
    pub const BMI2: u32 = 1 << 8;
    pub const ERMS: u32 = 1 << 9;
    pub const INVPCID: u32 = 1 << 10;
    pub const RDSEED: u32 = 1 << 18;
    pub const ADX: u32 = 1 << 19;
    pub const SMAP: u32 = 1 << 20;
    pub const CLFLUSHOPT: u32 = 1 << 23;
    pub const CLWB: u32 = 1 << 24;
    pub const SHA: u32 = 1 << 29;
    /// The features that do not depend on the host.
    pub const EBX: u32 = FSGSBASE | SMEP | ERMS | INVPCID | SMAP | CLFLUSHOPT | CLWB;
    pub const UMIP: u32 = 1 << 2;
    pub const GFNI: u32 = 1 << 8;
    pub const VAES: u32 = 1 << 9;
    pub const VPCLMULQDQ: u32 = 1 << 10;
    pub const RDPID: u32 = 1 << 22;
    /// The same.
    pub const ECX: u32 = UMIP | RDPID;
}

/// Leaf 0xd, subleaf 1, eax.
mod leaf_d_eax {
    pub const XSAVEOPT: u32 = 1;
    pub const XSAVEC: u32 = 1 << 1;
    /// `xgetbv` of register 1.
    pub const XGETBV1: u32 = 1 << 2;
    pub const XSAVES: u32 = 1 << 3;
    pub const ALL: u32 = XSAVEOPT | XSAVEC | XGETBV1 | XSAVES;
}

/// Leaf 0x8000_0001.
mod extended {
    pub const LAHF: u32 = 1;
    /// They are cores.
    pub const CMP_LEGACY: u32 = 1 << 1;
    pub const ABM: u32 = 1 << 5;
    pub const MISALIGNED_SSE: u32 = 1 << 7;
    pub const PREFETCHW: u32 = 1 << 8;
    /// Leaves 0x8000_001d and 0x8000_001e.
    pub const TOPOLOGY: u32 = 1 << 22;
    /// The features that do not depend on the host.
    pub const ALWAYS: u32 = LAHF | PREFETCHW | TOPOLOGY;
    pub const SYSCALL: u32 = 1 << 11;
    pub const NX: u32 = 1 << 20;
    pub const MMX_EXTENSIONS: u32 = 1 << 22;
    pub const FFXSR: u32 = 1 << 25;
    pub const PAGE_1GB: u32 = 1 << 26;
    pub const RDTSCP: u32 = 1 << 27;
    pub const LM: u32 = 1 << 29;
    pub const EDX: u32 = SYSCALL | NX | MMX_EXTENSIONS | FFXSR | PAGE_1GB | RDTSCP | LM;
}

/// `bit` if the host has what executes the feature.
fn with_host(bit: u32, host_has: bool) -> u32 {
    if host_has { bit } else { 0 }
}

/// `bit` if the host has the feature.
fn with_feature(bit: u32, feature: CpuidFeature) -> u32 {
    with_host(bit, host_has(feature))
}

/// Leaf 1, ecx: some features are executed by the host's own instructions.
fn features_ecx(control: &Control) -> u32 {
    use CpuidFeature as F;
    use leaf1_ecx::*;
    let enabled = control.cr4 & bits::CR4_OSXSAVE != 0;
    ALWAYS
        | if enabled { OSXSAVE } else { 0 }
        | with_feature(SSE3, F::SSE3)
        | with_feature(SSSE3, F::SSSE3)
        | with_feature(SSE4_1, F::SSE4_1)
        | with_feature(SSE4_2, F::SSE4_2)
        | with_feature(POPCNT, F::POPCNT)
        | with_feature(PCLMULQDQ, F::PCLMULQDQ)
        | with_feature(FMA, F::FMA)
        | with_feature(AES, F::AES)
        | with_feature(AVX, F::AVX)
        | with_feature(F16C, F::F16C)
        | with_feature(RDRAND, F::RDRAND)
}

/// Leaf 7, ebx and ecx.
fn structured() -> [u32; 2] {
    use CpuidFeature as F;
    use leaf7::*;
    let ebx = EBX
        | with_feature(BMI1, F::BMI1)
        | with_feature(AVX2, F::AVX2)
        | with_feature(BMI2, F::BMI2)
        | with_feature(RDSEED, F::RDSEED)
        | with_feature(ADX, F::ADX)
        | with_feature(SHA, F::SHA);
    let ecx = ECX
        | with_feature(GFNI, F::GFNI)
        | with_feature(VAES, F::VAES)
        | with_feature(VPCLMULQDQ, F::VPCLMULQDQ);
    [ebx, ecx]
}

/// Leaf 0x8000_0001, ecx.
fn extended_ecx() -> u32 {
    let misaligned_sse = mxcsr::host_mask() & mxcsr::MISALIGNED != 0;
    extended::ALWAYS
        | with_host(extended::ABM, is_x86_feature_detected!("lzcnt"))
        | with_host(extended::MISALIGNED_SSE, misaligned_sse)
}

/// Leaf 0xd: the components that `xsave` saves (AMD APM vol. 3 appendix E.4.13).
fn xsave_leaf(subleaf: u32, control: &Control) -> [u32; 4] {
    let [all, enabled] = [xsave::components(), control.xcr0];
    let size = |components| xsave::len(components) as u32;
    match subleaf {
        0 => [all as u32, size(enabled), size(all), 0],
        1 => [leaf_d_eax::ALL, size(enabled), 0, 0],
        2 if all & xsave::AVX != 0 => [YMM_HIGH_LEN as u32, YMM_HIGH_AT as u32, 0, 0],
        _ => [0; 4],
    }
}

/// The feature of edx in leaves 1 and 0x8000_0001 that the guest has turned off.
fn absent(control: &Control) -> u32 {
    match control.msrs.apic_base & ApicBaseFlags::LAPIC_ENABLE.bits() {
        0 => leaf1_edx::APIC,
        _ => 0,
    }
}

/// The caches and TLBs that a core of such a processor has (AMD APM vol. 3 appendix E.4.4,
/// E.4.5, E.4.14, E.4.18), which guests choose their ways by; the emulator has none of them.
mod caches {
    /// TLBs of large and of small pages, data cache, instruction cache: 32 KiB, 8 ways.
    pub const LEVEL_1: [u32; 4] = [0xff48_ff40, 0xff48_ff40, 0x2008_0140, 0x2008_0140];
    /// TLBs of large and of small pages; 1 MiB, 8 ways; 32 MiB, 16 ways.
    pub const LEVELS_2_AND_3: [u32; 4] = [0x5c00_2200, 0x6c00_4200, 0x0400_6140, 0x0100_9140];
    pub const TLB_1_GIB: [u32; 4] = [0xf048_f040, 0, 0, 0];
    /// Data, instructions, level 2, level 3.
    pub const EACH: [[u32; 4]; 4] = [
        cache(1, 1, 8, 64, 0),
        cache(2, 1, 8, 64, 0),
        cache(3, 2, 8, 2048, INCLUSIVE),
        cache(3, 3, 16, 32768, WRITES_BACK_BELOW),
    ];
    /// It has what the caches below it have.
    const INCLUSIVE: u32 = 1 << 1;
    /// `wbinvd` may leave what is in the caches below it.
    const WRITES_BACK_BELOW: u32 = 1;

    /// One of 64-byte lines for this core alone, of kind `kind` (1: data, 2: instructions,
    /// 3: both).
    const fn cache(kind: u32, level: u32, ways: u32, sets: u32, edx: u32) -> [u32; 4] {
        const SELF_INITIALIZING: u32 = 1 << 8;
        let eax = kind | level << 5 | SELF_INITIALIZING;
        [eax, (ways - 1) << 22 | 63, sets - 1, edx]
    }
}

/// Four bytes of text as a register's value.
fn text(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    for (to, from) in word.iter_mut().zip(bytes.iter().skip(at)) {
        *to = *from;
    }
    u32::from_le_bytes(word)
}

/// eax, ebx, ecx and edx for a leaf and subleaf in this control state. Leaves out of range
/// read as AMD's do: as zeros.
pub fn leaf(leaf: u32, subleaf: u32, control: &Control) -> [u32; 4] {
    let vendor = b"AuthenticAMD";
    let hypervisor = b"RingfenceEmu";
    let (id, cpus) = (u32::from(control.place.id), u32::from(control.place.count));
    // Bits of an APIC ID that tell cores apart.
    let id_bits = cpus.next_power_of_two().trailing_zeros();
    match leaf {
        0 => [MAX_BASIC, text(vendor, 0), text(vendor, 8), text(vendor, 4)],
        // APIC ID, logical processors, cache lines of 8 quadwords.
        1 => [
            SIGNATURE,
            id << 24 | cpus << 16 | 8 << 8,
            features_ecx(control),
            leaf1_edx::ALL & !absent(control) | with_host(leaf1_edx::HTT, cpus > 1),
        ],
        7 if subleaf == 0 => {
            let [ebx, ecx] = structured();
            [0, ebx, ecx, 0]
        }
        // One thread in each core, all cores in one package.
        0xb if subleaf == 0 => [0, 1, 1 << 8, id],
        0xb if subleaf == 1 => [id_bits, cpus, 2 << 8 | 1, id],
        0xb => [0, 0, subleaf & 0xff, id],
        0xd => xsave_leaf(subleaf, control),
        0x4000_0000 => [
            MAX_HYPERVISOR,
            text(hypervisor, 0),
            text(hypervisor, 4),
            text(hypervisor, 8),
        ],
        0x4000_0010 => [TSC_KHZ, APIC_BUS_KHZ, 0, 0],
        kvm_clock::SIGNATURE_LEAF => kvm_clock::SIGNATURE,
        kvm_clock::FEATURES_LEAF => [kvm_clock::FEATURES, 0, 0, 0],
        0x8000_0000 => [
            MAX_EXTENDED,
            text(vendor, 0),
            text(vendor, 8),
            text(vendor, 4),
        ],
        0x8000_0001 => [
            SIGNATURE,
            0,
            extended_ecx() | with_host(extended::CMP_LEGACY, cpus > 1),
            (extended::EDX | leaf1_edx::COMMON) & !absent(control),
        ],
        0x8000_0002..=0x8000_0004 => {
            let at = 16 * (leaf - 0x8000_0002) as usize;
            [0, 4, 8, 12].map(|part| text(BRAND, at + part))
        }
        0x8000_0005 => caches::LEVEL_1,
        0x8000_0006 => caches::LEVELS_2_AND_3,
        // Invariant time-stamp counter.
        0x8000_0007 => [0, 0, 0, 1 << 8],
        0x8000_0008 => [PHYSICAL_BITS | 48 << 8, 0, id_bits << 12 | (cpus - 1), 0],
        0x8000_0019 => caches::TLB_1_GIB,
        0x8000_001d => caches::EACH
            .get(subleaf as usize)
            .copied()
            .unwrap_or_default(),
        // Core and thread: one each.
        0x8000_001e => [id, id, 0, 0],
        _ => [0; 4],
    }
}

/// Whether the host executes instructions of this feature: those that not every x86-64
/// processor has. What the host lacks, the guest does not have.
pub fn host_has(feature: CpuidFeature) -> bool {
    use CpuidFeature as F;
    let native = |detected: bool| detected && Executable::is_allowed();
    match feature {
        F::SSE3 => std::is_x86_feature_detected!("sse3"),
        F::SSSE3 => std::is_x86_feature_detected!("ssse3"),
        F::SSE4_1 => std::is_x86_feature_detected!("sse4.1"),
        F::SSE4_2 => std::is_x86_feature_detected!("sse4.2"),
        F::POPCNT => std::is_x86_feature_detected!("popcnt"),
        F::AVX => native(std::is_x86_feature_detected!("avx")),
        F::AVX2 => native(std::is_x86_feature_detected!("avx2")),
        F::FMA => native(std::is_x86_feature_detected!("fma")),
        F::F16C => native(std::is_x86_feature_detected!("f16c")),
        F::AES => native(std::is_x86_feature_detected!("aes")),
        F::PCLMULQDQ => native(std::is_x86_feature_detected!("pclmulqdq")),
        F::SHA => native(std::is_x86_feature_detected!("sha")),
        F::VAES => native(std::is_x86_feature_detected!("vaes")),
        F::VPCLMULQDQ => native(std::is_x86_feature_detected!("vpclmulqdq")),
        F::GFNI => native(std::is_x86_feature_detected!("gfni")),
        F::BMI1 => native(std::is_x86_feature_detected!("bmi1")),
        F::BMI2 => native(std::is_x86_feature_detected!("bmi2")),
        F::RDRAND => std::is_x86_feature_detected!("rdrand"),
        F::RDSEED => std::is_x86_feature_detected!("rdseed"),
        F::ADX => native(std::is_x86_feature_detected!("adx")),
        _ => true,
    }
}
