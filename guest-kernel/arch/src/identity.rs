//! Which processor this is, for `/proc/cpuinfo`. Each CPUID may be a VM exit, so it is asked only
//! when somebody reads that.

use core::arch::x86_64::{__cpuid, __cpuid_count};

use crate::clock;

const VENDOR: u32 = 0;
const SIGNATURE: u32 = 1;
const EXTENDED_FEATURES: u32 = 7;
const EXTENDED: u32 = 0x8000_0000;
const AMD_FEATURES: u32 = 0x8000_0001;
const BRAND: u32 = 0x8000_0002;
const BRAND_LEAVES: u32 = 3;

/// What CPUID says of the processor.
pub struct Identity {
    /// Twelve letters.
    pub vendor: [u8; 12],
    /// Family, model and stepping.
    pub signature: [u32; 3],
    /// The processor's name, and zeros.
    pub brand: [u8; 48],
    /// Frequency of the time-stamp counter in kHz.
    pub khz: u64,
    /// Words of features: see [`FEATURES`].
    words: [u32; 5],
}

/// A feature: number of its word, its bit, and Linux's name.
type Feature = (usize, u32, &'static str);

/// Words of features: leaf 1 edx and ecx, leaf 7 ebx, leaf 80000001 edx and ecx.
#[rustfmt::skip]
const FEATURES: [Feature; 66] = [
    (0, 0, "fpu"), (0, 1, "vme"), (0, 2, "de"), (0, 3, "pse"), (0, 4, "tsc"), (0, 5, "msr"),
    (0, 6, "pae"), (0, 7, "mce"), (0, 8, "cx8"), (0, 9, "apic"), (0, 11, "sep"),
    (0, 12, "mtrr"), (0, 13, "pge"), (0, 14, "mca"), (0, 15, "cmov"), (0, 16, "pat"),
    (0, 17, "pse36"), (0, 19, "clflush"), (0, 23, "mmx"), (0, 24, "fxsr"), (0, 25, "sse"),
    (0, 26, "sse2"), (0, 28, "ht"), (3, 11, "syscall"), (3, 20, "nx"), (3, 26, "pdpe1gb"),
    (3, 27, "rdtscp"), (3, 29, "lm"), (1, 0, "pni"), (1, 1, "pclmulqdq"), (1, 9, "ssse3"),
    (1, 12, "fma"), (1, 13, "cx16"), (1, 19, "sse4_1"), (1, 20, "sse4_2"), (1, 21, "x2apic"),
    (1, 22, "movbe"), (1, 23, "popcnt"), (1, 24, "tsc_deadline_timer"), (1, 25, "aes"),
    (1, 26, "xsave"), (1, 28, "avx"), (1, 29, "f16c"), (1, 30, "rdrand"),
    (1, 31, "hypervisor"), (4, 0, "lahf_lm"), (4, 5, "abm"), (4, 8, "3dnowprefetch"),
    (2, 0, "fsgsbase"), (2, 3, "bmi1"), (2, 5, "avx2"), (2, 7, "smep"), (2, 8, "bmi2"),
    (2, 9, "erms"), (2, 16, "avx512f"), (2, 17, "avx512dq"), (2, 18, "rdseed"), (2, 19, "adx"),
    (2, 20, "smap"), (2, 21, "avx512ifma"), (2, 23, "clflushopt"), (2, 24, "clwb"),
    (2, 28, "avx512cd"), (2, 29, "sha_ni"), (2, 30, "avx512bw"), (2, 31, "avx512vl"),
];

impl Identity {
    /// Asks the processor.
    pub fn read() -> Self {
        let vendor = __cpuid(VENDOR);
        let basic = __cpuid(SIGNATURE);
        let extended = match vendor.eax >= EXTENDED_FEATURES {
            true => __cpuid_count(EXTENDED_FEATURES, 0).ebx,
            false => 0,
        };
        let last = __cpuid(EXTENDED).eax;
        let amd = match last >= AMD_FEATURES {
            true => __cpuid(AMD_FEATURES),
            false => __cpuid(EXTENDED),
        };
        let mut brand = [0; 48];
        if last >= BRAND + BRAND_LEAVES - 1 {
            for (leaf, part) in (BRAND..).zip(brand.chunks_exact_mut(16)) {
                let leaf = __cpuid(leaf);
                let words = [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx].map(u32::to_le_bytes);
                part.copy_from_slice(words.as_flattened());
            }
        }
        let letters = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes);
        let mut name = [0; 12];
        name.copy_from_slice(letters.as_flattened());
        Self {
            vendor: name,
            signature: signature(basic.eax),
            brand,
            khz: clock::counts(1_000_000),
            words: [basic.edx, basic.ecx, extended, amd.edx, amd.ecx],
        }
    }

    /// Linux's names of the features that it has.
    pub fn features(&self) -> impl Iterator<Item = &'static str> {
        let has = |&(word, bit, _): &Feature| self.words[word] & 1 << bit != 0;
        FEATURES.into_iter().filter(has).map(|(_, _, name)| name)
    }
}

/// Family, model and stepping in eax of leaf 1 (Intel SDM vol. 2A, CPUID).
fn signature(eax: u32) -> [u32; 3] {
    let (family, model) = (eax >> 8 & 0xf, eax >> 4 & 0xf);
    let extended = eax >> 16 & 0xf;
    [
        family + if family == 0xf { eax >> 20 & 0xff } else { 0 },
        model
            + if matches!(family, 6 | 0xf) {
                extended << 4
            } else {
                0
            },
        eax & 0xf,
    ]
}

#[cfg(test)]
mod tests {
    use super::signature;

    #[test]
    fn signatures_are_put_together() {
        assert_eq!(signature(0x0005_0654), [6, 0x55, 4]);
        assert_eq!(signature(0x00a2_0f12), [0x19, 0x21, 2]);
        assert_eq!(signature(0x0000_0543), [5, 4, 3]);
    }
}
