//! Model-specific registers, by number (APM vol. 2 appendix A; SDM vol. 4).

use core::ops::RangeInclusive;

/// Time-stamp counter.
pub const TSC: u32 = 0x10;
/// Address and state of the local APIC.
pub const APIC_BASE: u32 = 0x1b;
/// Version of the microcode.
pub const BIOS_SIGN: u32 = 0x8b;
/// The memory-type ranges that exist.
pub const MTRR_CAP: u32 = 0xfe;
/// Code segment of `sysenter`.
pub const SYSENTER_CS: u32 = 0x174;
/// Stack pointer of `sysenter`.
pub const SYSENTER_ESP: u32 = 0x175;
/// Target of `sysenter`.
pub const SYSENTER_EIP: u32 = 0x176;
/// The machine-check banks that exist.
pub const MCG_CAP: u32 = 0x179;
/// State of the current machine check.
pub const MCG_STATUS: u32 = 0x17a;
/// Memory types that pages choose from.
pub const PAT: u32 = 0x277;
/// Memory types of ranges of any size: base and mask of each.
pub const MTRR_VARIABLE: RangeInclusive<u32> = 0x200..=0x20f;
/// Memory types of the first MiB: of 64, 16 and 4 KiB ranges, eight to a register.
pub const MTRR_FIXED: [u32; 11] = [
    0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f,
];
/// Memory type outside of all ranges, and [`MTRR_ENABLE`].
pub const MTRR_DEF_TYPE: u32 = 0x2ff;
/// When the local APIC's timer fires, in terms of the time-stamp counter.
pub const TSC_DEADLINE: u32 = 0x6e0;
/// The registers of a local APIC in x2APIC mode.
pub const X2APIC: RangeInclusive<u32> = 0x800..=0x8ff;
/// The supervisor components that `xsaves` saves.
pub const XSS: u32 = 0xda0;
/// Long mode, no-execute, `syscall`.
pub const EFER: u32 = 0xc000_0080;
/// Segment selectors of `syscall` and `sysret`.
pub const STAR: u32 = 0xc000_0081;
/// Target of `syscall` in 64-bit code.
pub const LSTAR: u32 = 0xc000_0082;
/// Target of `syscall` in 32-bit code.
pub const CSTAR: u32 = 0xc000_0083;
/// Flags that `syscall` clears.
pub const SFMASK: u32 = 0xc000_0084;
/// Base of the segment fs.
pub const FS_BASE: u32 = 0xc000_0100;
/// Base of the segment gs.
pub const GS_BASE: u32 = 0xc000_0101;
/// The base that `swapgs` exchanges with that of gs.
pub const KERNEL_GS_BASE: u32 = 0xc000_0102;
/// The value that `rdtscp` and `rdpid` return.
pub const TSC_AUX: u32 = 0xc000_0103;
/// Where KVM's guests want the time of day at guest time zero (Linux:
/// Documentation/virt/kvm/x86/msr.rst).
pub const KVM_WALL_CLOCK: u32 = 0x4b56_4d00;
/// Where they want to be told how time follows from the time-stamp counter.
pub const KVM_SYSTEM_TIME: u32 = 0x4b56_4d01;

/// Select what a performance counter counts.
pub const PERF_EVENT_SELECT: RangeInclusive<u32> = 0xc001_0000..=0xc001_0003;
/// Performance counters.
pub const PERF_COUNTER: RangeInclusive<u32> = 0xc001_0004..=0xc001_0007;
/// System configuration, of AMD's processors.
pub const SYSCFG: u32 = 0xc001_0010;
/// Hardware configuration.
pub const HWCR: u32 = 0xc001_0015;
/// Where RAM below 4 GiB ends.
pub const TOP_MEM: u32 = 0xc001_001a;
/// Where RAM above 4 GiB ends.
pub const TOP_MEM2: u32 = 0xc001_001d;
/// Configuration of the northbridge.
pub const NB_CFG: u32 = 0xc001_001f;
/// Says whether virtualization may be enabled.
pub const VM_CR: u32 = 0xc001_0114;

/// [`MTRR_DEF_TYPE`]: the ranges are in use; the lowest bits have the type.
pub const MTRR_ENABLE: u64 = 1 << 11;
/// The memory type write-back.
pub const WRITE_BACK: u64 = 6;
/// [`HWCR`]: the time-stamp counter runs at one frequency. Read-only.
pub const HWCR_TSC_FIXED: u64 = 1 << 24;
/// [`PAT`] after reset (APM vol. 2 7.8.1).
pub const PAT_RESET: u64 = 0x0007_0406_0007_0406;
