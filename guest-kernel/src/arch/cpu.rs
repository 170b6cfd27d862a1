//! Control registers, model-specific registers, and what the CPU can do.

use core::arch::{asm, x86_64::__cpuid};

use bitflags::bitflags;

bitflags! {
    /// CR0 (Intel SDM vol. 3A 2.5).
    #[derive(Clone, Copy)]
    pub struct Cr0: u64 {
        /// Protected mode.
        const PROTECTED = 1 << 0;
        /// `wait` heeds task switches; set wherever there is an FPU.
        const MONITOR_COPROCESSOR = 1 << 1;
        /// Hard-wired to one.
        const EXTENSION_TYPE = 1 << 4;
        /// x87 errors are #MF, not an external interrupt.
        const NUMERIC_ERROR = 1 << 5;
        /// Read-only pages are so for ring 0 too.
        const WRITE_PROTECT = 1 << 16;
        /// Paging.
        const PAGING = 1 << 31;
    }

    /// CR4 (Intel SDM vol. 3A 2.5).
    #[derive(Clone, Copy)]
    pub struct Cr4: u64 {
        /// Page table entries of 8 bytes; long mode needs it.
        const PHYSICAL_ADDRESS_EXTENSION = 1 << 5;
        /// Translations marked global outlive a load of CR3.
        const GLOBAL_PAGES = 1 << 7;
        /// `fxsave` saves SSE state, and SSE instructions work.
        const FXSAVE = 1 << 9;
        /// SSE errors are #XM.
        const SIMD_EXCEPTIONS = 1 << 10;
        /// `sidt`, `sgdt`, `sldt`, `str` and `smsw` trap outside ring 0.
        const USER_MODE_INSTRUCTION_PREVENTION = 1 << 11;
        /// Ring 0 cannot execute user pages.
        const SUPERVISOR_EXECUTION_PREVENTION = 1 << 20;
        /// Ring 0 cannot touch user pages but between `stac` and `clac`.
        const SUPERVISOR_ACCESS_PREVENTION = 1 << 21;
    }

    /// IA32_EFER (Intel SDM vol. 4, MSR C0000080H).
    #[derive(Clone, Copy)]
    pub struct Efer: u32 {
        /// `syscall` and `sysret` work.
        const SYSCALL = 1 << 0;
        /// Long mode as soon as paging is on.
        const LONG_MODE = 1 << 8;
        /// The no-execute bit of page table entries counts.
        const NO_EXECUTE = 1 << 11;
    }
}

/// Model-specific registers by number (Intel SDM vol. 4).
pub mod msr {
    pub const APIC_BASE: u32 = 0x1b;
    pub const TSC_DEADLINE: u32 = 0x6e0;
    pub const EFER: u32 = 0xc000_0080;
    /// Segment selectors of `syscall` and `sysret`.
    pub const STAR: u32 = 0xc000_0081;
    /// Target of `syscall`.
    pub const LSTAR: u32 = 0xc000_0082;
    /// Flags that `syscall` clears.
    pub const SFMASK: u32 = 0xc000_0084;
    /// Bases of the segments fs and gs.
    pub const FS_BASE: u32 = 0xc000_0100;
    pub const GS_BASE: u32 = 0xc000_0101;
}

/// What CPUID says of the features that the kernel can use.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    pub x2apic: bool,
    pub tsc_deadline: bool,
    pub hypervisor: bool,
    pub smep: bool,
    pub smap: bool,
    pub umip: bool,
}

impl Features {
    /// Asks the CPU (CPUID leaves 1 and 7).
    pub fn detect() -> Self {
        let basic = __cpuid(1);
        let has_leaf_7 = __cpuid(0).eax >= 7;
        let extended = if has_leaf_7 { __cpuid(7) } else { __cpuid(0) };
        let in_leaf_7 = |register: u32, bit: u32| has_leaf_7 && register & 1 << bit != 0;
        Self {
            x2apic: basic.ecx & 1 << 21 != 0,
            tsc_deadline: basic.ecx & 1 << 24 != 0,
            hypervisor: basic.ecx & 1 << 31 != 0,
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

/// The protections that need no more than a bit in CR4, for what `features` has.
pub fn enable_protections(features: Features) {
    let mut cr4 = initial_cr4() | Cr4::GLOBAL_PAGES;
    cr4.set(Cr4::SUPERVISOR_EXECUTION_PREVENTION, features.smep);
    cr4.set(Cr4::SUPERVISOR_ACCESS_PREVENTION, features.smap);
    cr4.set(Cr4::USER_MODE_INSTRUCTION_PREVENTION, features.umip);
    // SAFETY: keeps what the kernel runs on (PAE, FXSAVE); the rest only forbids things
    // that it never does. SMAP: every access to user memory goes through user_copy.
    unsafe { asm!("mov cr4, {}", in(reg) cr4.bits(), options(nostack, preserves_flags)) };
}

/// CR4 as the boot code sets it.
pub const fn initial_cr4() -> Cr4 {
    Cr4::PHYSICAL_ADDRESS_EXTENSION
        .union(Cr4::FXSAVE)
        .union(Cr4::SIMD_EXCEPTIONS)
}

/// CR0 as the boot code sets it, for good.
pub const fn initial_cr0() -> Cr0 {
    Cr0::PROTECTED
        .union(Cr0::MONITOR_COPROCESSOR)
        .union(Cr0::EXTENSION_TYPE)
        .union(Cr0::NUMERIC_ERROR)
        .union(Cr0::WRITE_PROTECT)
        .union(Cr0::PAGING)
}

/// EFER as the boot code sets it, for good.
pub const fn initial_efer() -> Efer {
    Efer::SYSCALL.union(Efer::LONG_MODE).union(Efer::NO_EXECUTE)
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
