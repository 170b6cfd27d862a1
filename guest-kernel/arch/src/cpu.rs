//! Control registers, access to model-specific registers, and features of the CPU.

use core::arch::{asm, x86_64::__cpuid};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use x86::{Cr0Flags, Cr4Flags, EferFlags};

/// See [`hardware_capabilities`].
static CAPABILITIES: AtomicU32 = AtomicU32::new(0);

/// The features that the kernel can use, as CPUID reports them.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    pub x2apic: bool,
    pub tsc_deadline: bool,
    pub hypervisor: bool,
    pub smep: bool,
    pub smap: bool,
    pub umip: bool,
    pub xsave: bool,
}

impl Features {
    /// Reads them (CPUID leaves 1 and 7), and notes the [`hardware_capabilities`].
    pub fn detect() -> Self {
        let basic = __cpuid(1);
        CAPABILITIES.store(basic.edx, Relaxed);
        let has_leaf_7 = __cpuid(0).eax >= 7;
        let extended = if has_leaf_7 { __cpuid(7) } else { __cpuid(0) };
        let in_leaf_7 = |register: u32, bit: u32| has_leaf_7 && register & 1 << bit != 0;
        Self {
            x2apic: basic.ecx & 1 << 21 != 0,
            tsc_deadline: basic.ecx & 1 << 24 != 0,
            hypervisor: basic.ecx & 1 << 31 != 0,
            xsave: basic.ecx & 1 << 26 != 0,
            smep: in_leaf_7(extended.ebx, 7),
            smap: in_leaf_7(extended.ebx, 20),
            umip: in_leaf_7(extended.ecx, 2),
        }
    }

    /// Whether one page table entry can map 1 GiB (CPUID leaf 8000_0001H).
    pub fn has_gib_pages() -> bool {
        __cpuid(0x8000_0001).edx & 1 << 26 != 0
    }
}

/// The features in edx of CPUID leaf 1, as programs are told them too. Kept, since each CPUID
/// may be a VM exit.
pub fn hardware_capabilities() -> u32 {
    CAPABILITIES.load(Relaxed)
}

/// Reads a model-specific register.
///
/// # Safety
/// The register exists.
pub unsafe fn read_msr(index: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reading has no effect on memory; the caller knows that the register exists.
    unsafe {
        asm!(
            "rdmsr",
            in("ecx") index,
            out("eax") low,
            out("edx") high,
            options(nomem, nostack, preserves_flags)
        );
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Writes a model-specific register.
///
/// # Safety
/// The register exists, takes `value`, and the kernel's memory safety survives it.
pub unsafe fn write_msr(index: u32, value: u64) {
    // SAFETY: the caller answers for register and value.
    unsafe {
        asm!(
            "wrmsr",
            in("ecx") index,
            in("eax") value as u32,
            in("edx") (value >> 32) as u32,
            options(nostack, preserves_flags)
        );
    }
}

/// What needs no more than a bit in CR4, for what `features` has: protections, and XCR0.
pub fn enable_in_cr4(features: Features) {
    let mut cr4 = initial_cr4() | Cr4Flags::PAGE_GLOBAL;
    cr4.set(
        Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION,
        features.smep,
    );
    cr4.set(Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION, features.smap);
    cr4.set(Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION, features.umip);
    cr4.set(Cr4Flags::OSXSAVE, features.xsave);
    // SAFETY: keeps what the kernel runs on (PAE, FXSAVE); the rest only forbids things
    // that it never does, but for OSXSAVE, which only allows more. SMAP: every access to user
    // memory goes through user_copy.
    unsafe { asm!("mov cr4, {}", in(reg) cr4.bits(), options(nostack, preserves_flags)) };
}

/// Forgets all translations, those of the kernel too.
pub fn flush_tlb() {
    let cr4: u64;
    // SAFETY: changes PGE alone, and back, which flushes (Intel SDM vol. 3A 5.10.4.1).
    unsafe {
        asm!("mov {}, cr4", out(reg) cr4, options(nomem, nostack, preserves_flags));
        let without = cr4 & !Cr4Flags::PAGE_GLOBAL.bits();
        asm!("mov cr4, {}", in(reg) without, options(nostack, preserves_flags));
        asm!("mov cr4, {}", in(reg) cr4, options(nostack, preserves_flags));
    }
}

/// CR4 as the boot code sets it.
pub const fn initial_cr4() -> Cr4Flags {
    Cr4Flags::PHYSICAL_ADDRESS_EXTENSION
        .union(Cr4Flags::OSFXSR)
        .union(Cr4Flags::OSXMMEXCPT_ENABLE)
}

/// CR0 as the boot code sets it, for good.
pub const fn initial_cr0() -> Cr0Flags {
    Cr0Flags::PROTECTED_MODE_ENABLE
        .union(Cr0Flags::MONITOR_COPROCESSOR)
        .union(Cr0Flags::EXTENSION_TYPE)
        .union(Cr0Flags::NUMERIC_ERROR)
        .union(Cr0Flags::WRITE_PROTECT)
        .union(Cr0Flags::ALIGNMENT_MASK)
        .union(Cr0Flags::PAGING)
}

/// EFER as the boot code sets it, for good.
pub const fn initial_efer() -> EferFlags {
    EferFlags::SYSTEM_CALL_EXTENSIONS
        .union(EferFlags::LONG_MODE_ENABLE)
        .union(EferFlags::NO_EXECUTE_ENABLE)
}

/// CR2: the address of the last page fault.
pub fn fault_address() -> u64 {
    let address;
    // SAFETY: reading CR2 has no effect.
    unsafe {
        asm!("mov {}, cr2", out(reg) address, options(nomem, nostack, preserves_flags));
    }
    address
}
