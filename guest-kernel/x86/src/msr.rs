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
/// Memory type outside of all ranges.
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

/// [`PAT`] after reset (APM vol. 2 7.8.1).
pub const PAT_RESET: u64 = 0x0007_0406_0007_0406;
