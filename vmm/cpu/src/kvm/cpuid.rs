//! The guest's CPUID under KVM: the leaves that KVM supports, less features in which the
//! accelerators would differ, plus the timing leaf. CPUID.OSXSAVE is KVM's, which has it follow
//! the guest's CR4.

use kvm_bindings::{CpuId, KVM_MAX_CPUID_ENTRIES, kvm_cpuid_entry2};

use super::{KvmHost, failed, topology};
use crate::state::Place;
use crate::{CpuError, HostKind, kvm_clock};

/// Frequency of KVM's local APIC timer before its divider, in kHz.
pub const APIC_BUS_KHZ: u32 = 1_000_000;

const FEATURES: u32 = 1;
const HYPERVISOR: u32 = 0x4000_0000;
const HYPERVISOR_TIMING: u32 = 0x4000_0010;

/// The leaf of features that do not fit into leaf 1, and what says there that `rep movsb` and
/// `rep stosb` are fast: in general, for few bytes, for none (subleaf 1). A KVM that emulates
/// ring 0 takes as long for a byte as for a quadword.
const STRUCTURED: u32 = 7;
const FAST_BYTES: u32 = 1 << 9;
const FAST_FEW_BYTES: u32 = 1 << 4;
const FAST_NO_BYTES: u32 = 1 << 10 | 1 << 11 | 1 << 12;

// Leaf 1 ECX.
const X2APIC: u32 = 1 << 21;
const TSC_DEADLINE: u32 = 1 << 24;
const HYPERVISOR_PRESENT: u32 = 1 << 31;

const EXTENDED_FEATURES: u32 = 0x8000_0001;
/// Its ECX: `lzcnt`. Software-backed KVM leaves it out, since its ring 0 executes that as `bsr`.
/// Ring 3 has it, and programs for x86-64-v3 do not run without; kernels are not built so.
const LZCNT: u32 = 1 << 5;

/// The guest's CPUID. With `local_apic` inside KVM it has x2APIC and the TSC-deadline
/// timer, which the VMM cannot offer from outside; leaf 0x4000_0010 has the frequencies of
/// TSC and local APIC in kHz.
pub fn guest_cpuid(
    host: &KvmHost,
    local_apic: bool,
    tsc_khz: u32,
    place: Place,
) -> Result<CpuId, CpuError> {
    let supported = host
        .kvm
        .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
        .map_err(failed("KVM_GET_SUPPORTED_CPUID"))?;
    let is_software = host.kind() == HostKind::Software;
    let mut entries: Vec<kvm_cpuid_entry2> = supported
        .as_slice()
        .iter()
        .copied()
        .filter(|entry| !(HYPERVISOR..=HYPERVISOR_TIMING).contains(&entry.function))
        .collect();
    for entry in &mut entries {
        match (entry.function, entry.index) {
            (STRUCTURED, 0) if is_software => {
                entry.ebx &= !FAST_BYTES;
                entry.edx &= !FAST_FEW_BYTES;
            }
            (STRUCTURED, 1) if is_software => entry.eax &= !FAST_NO_BYTES,
            (EXTENDED_FEATURES, _) if is_software && is_x86_feature_detected!("lzcnt") => {
                entry.ecx |= LZCNT;
            }
            _ => {}
        }
    }
    for entry in entries
        .iter_mut()
        .filter(|entry| entry.function == FEATURES)
    {
        entry.ecx |= HYPERVISOR_PRESENT;
        entry.ecx &= !(X2APIC | TSC_DEADLINE);
        if local_apic {
            entry.ecx |= X2APIC | TSC_DEADLINE;
        }
    }
    topology::write(&mut entries, place);
    entries.push(hypervisor_leaf());
    entries.push(kvm_cpuid_entry2 {
        function: HYPERVISOR_TIMING,
        eax: tsc_khz,
        ebx: APIC_BUS_KHZ,
        ..Default::default()
    });
    let [eax, ebx, ecx, edx] = kvm_clock::SIGNATURE;
    entries.push(kvm_cpuid_entry2 {
        function: kvm_clock::SIGNATURE_LEAF,
        eax,
        ebx,
        ecx,
        edx,
        ..Default::default()
    });
    entries.push(kvm_cpuid_entry2 {
        function: kvm_clock::FEATURES_LEAF,
        eax: kvm_clock::FEATURES,
        ..Default::default()
    });
    CpuId::from_entries(&entries)
        .map_err(|_| CpuError::Unsupported("KVM reports more CPUID leaves than it takes"))
}

/// Bits of a guest-physical address, as the guest's CPUID says.
pub fn address_bits(host: &KvmHost) -> Result<u32, CpuError> {
    const ADDRESS_SIZES: u32 = 0x8000_0008;
    /// Where there is no such leaf (Intel SDM vol. 3A 4.1.4).
    const WITHOUT: u32 = 36;
    let supported = host.kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES);
    let supported = supported.map_err(failed("KVM_GET_SUPPORTED_CPUID"))?;
    let mut leaves = supported.as_slice().iter();
    let leaf = leaves.find(|entry| entry.function == ADDRESS_SIZES);
    Ok(leaf.map_or(WITHOUT, |entry| entry.eax & 0xff))
}

/// Which word of an XSAVE area is PKRU, if there is one (Intel SDM vol. 1 13.2).
pub fn pkru_word(cpuid: &CpuId) -> Option<usize> {
    const XSAVE: u32 = 0xd;
    const PKRU: u32 = 9;
    let leaf = |index| {
        let mut entries = cpuid.as_slice().iter();
        entries.find(|entry| entry.function == XSAVE && entry.index == index)
    };
    let has_pkru = leaf(0)?.eax & 1 << PKRU != 0;
    let offset = leaf(PKRU).filter(|_| has_pkru)?.ebx;
    Some(offset as usize / size_of::<u32>())
}

/// The leaf that says who virtualizes and how far its leaves go.
fn hypervisor_leaf() -> kvm_cpuid_entry2 {
    let word = |bytes: &[u8; 4]| u32::from_le_bytes(*bytes);
    kvm_cpuid_entry2 {
        function: HYPERVISOR,
        eax: HYPERVISOR_TIMING,
        ebx: word(b"Ring"),
        ecx: word(b"fenc"),
        edx: word(b"eKVM"),
        ..Default::default()
    }
}
