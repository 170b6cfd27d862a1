//! What CPUID says of the machine's CPUs: one thread in each core, all cores in one package,
//! as in the emulator. KVM's own leaves tell of the host's.

use kvm_bindings::{KVM_CPUID_FLAG_SIGNIFCANT_INDEX, kvm_cpuid_entry2};

use crate::state::Place;

const FEATURES: u32 = 1;
/// EDX: there are several logical processors.
const HTT: u32 = 1 << 28;
/// Intel's caches and, in EAX, cores (SDM vol. 2A, CPUID).
const INTEL_CACHES: u32 = 4;
/// The leaves of levels, threads first, then cores (SDM vol. 3A 8.9.1).
const LEVELS: [u32; 2] = [0xb, 0x1f];
const THREADS: u32 = 1 << 8;
const CORES: u32 = 2 << 8;

/// AMD's leaves (APM vol. 3 appendix E.4).
const EXTENDED_FEATURES: u32 = 0x8000_0001;
/// ECX: the logical processors are cores.
const CMP_LEGACY: u32 = 1 << 1;
const SIZES: u32 = 0x8000_0008;
const AMD_CACHES: u32 = 0x8000_001d;
const AMD_TOPOLOGY: u32 = 0x8000_001e;

/// Makes `entries`, KVM's, those of the CPU at `place`.
pub fn write(entries: &mut Vec<kvm_cpuid_entry2>, place: Place) {
    let (id, count) = (u32::from(place.id), u32::from(place.count));
    // Bits of an APIC ID that tell cores apart.
    let bits = count.next_power_of_two().trailing_zeros();
    let is_amd = entries.iter().any(|entry| entry.function == AMD_TOPOLOGY);
    let has_levels = LEVELS.map(|leaf| entries.iter().any(|entry| entry.function == leaf));
    entries.retain(|entry| !LEVELS.contains(&entry.function));
    for entry in entries.iter_mut() {
        match entry.function {
            FEATURES => {
                entry.ebx = entry.ebx & 0xffff | count << 16 | id << 24;
                set(&mut entry.edx, HTT, count > 1);
            }
            INTEL_CACHES if entry.eax & 0x1f != 0 => {
                // Threads that share it: one; cores in the package.
                entry.eax = entry.eax & 0x3fff | (count - 1).min(0x3f) << 26;
            }
            EXTENDED_FEATURES if is_amd => set(&mut entry.ecx, CMP_LEGACY, count > 1),
            SIZES if is_amd => entry.ecx = bits << 12 | (count - 1),
            AMD_CACHES => entry.eax &= 0x3fff,
            AMD_TOPOLOGY => (entry.eax, entry.ebx, entry.ecx) = (id, id, 0),
            _ => {}
        }
    }
    let levels = [(0, 1, THREADS), (bits, count, CORES | 1), (0, 0, 2)];
    for (leaf, _) in LEVELS.into_iter().zip(has_levels).filter(|(_, has)| *has) {
        entries.extend(
            (0..)
                .zip(levels)
                .map(|(index, (eax, ebx, ecx))| kvm_cpuid_entry2 {
                    function: leaf,
                    index,
                    flags: KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
                    eax,
                    ebx,
                    ecx,
                    edx: id,
                    ..Default::default()
                }),
        );
    }
}

fn set(register: &mut u32, bit: u32, on: bool) {
    *register = *register & !bit | if on { bit } else { 0 };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(function: u32, registers: [u32; 4]) -> kvm_cpuid_entry2 {
        let [eax, ebx, ecx, edx] = registers;
        kvm_cpuid_entry2 {
            function,
            eax,
            ebx,
            ecx,
            edx,
            ..Default::default()
        }
    }

    /// The host's: 128 threads, this is number 77.
    fn written(id: u8, count: u8) -> Vec<kvm_cpuid_entry2> {
        let mut entries = vec![
            entry(FEATURES, [1, 77 << 24 | 128 << 16 | 0x0800, 0, HTT]),
            entry(0xb, [1, 2, 1 << 8, 77]),
            entry(SIZES, [0x3030, 0, 7 << 12 | 127, 0]),
            entry(AMD_TOPOLOGY, [77, 38 | 1 << 8, 3, 0]),
        ];
        write(&mut entries, Place { id, count });
        entries
    }

    #[test]
    fn each_cpu_is_a_core_of_its_own() {
        let entries = written(2, 3);
        let of = |function| {
            entries
                .iter()
                .filter(move |entry| entry.function == function)
        };
        let first = |function| of(function).next().expect("it stays");
        assert_eq!(first(FEATURES).ebx, 2 << 24 | 3 << 16 | 0x0800);
        assert_eq!(first(SIZES).ecx, 2 << 12 | 2);
        assert_eq!(first(AMD_TOPOLOGY).eax, 2);
        assert_eq!(first(AMD_TOPOLOGY).ecx, 0);
        let levels: Vec<_> = of(0xb).map(|entry| (entry.ebx, entry.edx)).collect();
        assert_eq!(levels, [(1, 2), (3, 2), (0, 2)]);
        assert_eq!(of(0x1f).count(), 0, "the host has none");
    }

    #[test]
    fn the_only_cpu_has_no_threads() {
        let entries = written(0, 1);
        let features = &entries[0];
        assert_eq!((features.ebx >> 16, features.edx & HTT), (1, 0));
    }
}
