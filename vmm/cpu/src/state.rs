//! Plain register structs that both accelerators read and write.

use x86::{Cr0Flags, XCr0Flags, msr, segment};

/// General registers, by their number in instruction encodings: rax, rcx, rdx, rbx, rsp,
/// rbp, rsi, rdi, r8 to r15.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Regs {
    /// The sixteen general registers.
    pub gpr: [u64; 16],
    /// Instruction pointer.
    pub rip: u64,
    /// Flags; bit 1 always reads as one.
    pub rflags: u64,
}

/// Numbers of the general registers in [`Regs::gpr`].
#[allow(missing_docs)]
impl Regs {
    pub const RAX: usize = 0;
    pub const RCX: usize = 1;
    pub const RDX: usize = 2;
    pub const RBX: usize = 3;
    pub const RSP: usize = 4;
    pub const RBP: usize = 5;
    pub const RSI: usize = 6;
    pub const RDI: usize = 7;
}

/// Which of a machine's processors this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its number from 0, which is its APIC ID.
    pub id: u8,
    /// How many there are.
    pub count: u8,
}

impl Place {
    /// That of the only one.
    pub const ONLY: Self = Self { id: 0, count: 1 };
}

/// The current position of a vCPU in the guest's code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// Instruction pointer.
    pub rip: u64,
    /// Privilege level, 0 to 3.
    pub ring: u8,
}

/// A segment register with its hidden part (AMD APM vol. 2 4.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// The visible selector.
    pub selector: u16,
    /// Base address.
    pub base: u64,
    /// Limit in bytes, granularity applied.
    pub limit: u32,
    /// As [`x86::segment`] has them. An unusable segment is not present.
    pub attributes: u16,
}

impl Segment {
    /// All of the address space.
    pub const fn flat(selector: u16, attributes: u16) -> Self {
        Self {
            selector,
            base: 0,
            limit: u32::MAX,
            attributes,
        }
    }
}

/// GDTR or IDTR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dtable {
    /// Linear address of the table.
    pub base: u64,
    /// Offset of its last byte.
    pub limit: u16,
}

/// DR0 to DR7, by number; 4 and 5 do not exist and are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DebugRegs(pub [u64; 8]);

impl Default for DebugRegs {
    /// After reset: no breakpoint is enabled.
    fn default() -> Self {
        Self([0, 0, 0, 0, 0, 0, x86::DR6_RESET, x86::DR7_RESET])
    }
}

/// Model-specific registers, but for those that [`CpuState`] has elsewhere: EFER, the
/// bases of fs and gs, the time-stamp counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Msrs {
    pub apic_base: u64,
    pub star: u64,
    pub lstar: u64,
    pub cstar: u64,
    pub sfmask: u64,
    pub kernel_gs_base: u64,
    pub sysenter_cs: u64,
    pub sysenter_esp: u64,
    pub sysenter_eip: u64,
    pub pat: u64,
    pub tsc_aux: u64,
    pub mtrrs: Mtrrs,
    pub amd: AmdMsrs,
}

/// The memory-type range registers (AMD APM vol. 2 7.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mtrrs {
    /// The type outside of all ranges, and whether they are in use.
    pub default_type: u64,
    /// As [`x86::msr::MTRR_FIXED`] has them.
    pub fixed: [u64; 11],
    /// Base and mask of each range, in turn.
    pub variable: [u64; 16],
}

impl Mtrrs {
    /// As firmware leaves them, all memory written back: without them Linux takes all of it
    /// for uncached.
    pub fn by_firmware() -> Self {
        Self {
            default_type: msr::MTRR_ENABLE | msr::WRITE_BACK,
            ..Self::default()
        }
    }
}

/// Registers of AMD's processors (AMD APM vol. 2 appendix A). KVM has some of them and
/// gives others a value of its own, so under KVM they are not in the state: they read as
/// after reset, and are not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct AmdMsrs {
    pub system_config: u64,
    pub hardware_config: u64,
    pub northbridge_config: u64,
    pub top_mem: u64,
    pub top_mem2: u64,
    pub event_select: [u64; 4],
    pub event_count: [u64; 4],
}

impl Default for AmdMsrs {
    /// After reset.
    fn default() -> Self {
        Self {
            system_config: 0,
            hardware_config: x86::msr::HWCR_TSC_FIXED,
            northbridge_config: 0,
            top_mem: 0,
            top_mem2: 0,
            event_select: [0; 4],
            event_count: [0; 4],
        }
    }
}

impl Default for Msrs {
    /// After reset, but without a local APIC.
    fn default() -> Self {
        Self {
            apic_base: 0,
            star: 0,
            lstar: 0,
            cstar: 0,
            sfmask: 0,
            kernel_gs_base: 0,
            sysenter_cs: 0,
            sysenter_esp: 0,
            sysenter_eip: 0,
            pat: x86::msr::PAT_RESET,
            tsc_aux: 0,
            mtrrs: Mtrrs::default(),
            amd: AmdMsrs::default(),
        }
    }
}

/// The 512-byte image of `fxsave64`: x87, MMX, SSE and MXCSR (Intel SDM vol. 1 10.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(16))]
pub struct FxState(pub [u8; x86::fx::LEN]);

impl FxState {
    /// State after reset and `fninit`: FCW 0x37f, MXCSR 0x1f80, all else zero.
    pub const fn initial() -> Self {
        Self(x86::fx::INITIAL)
    }
}

impl Default for FxState {
    fn default() -> Self {
        Self::initial()
    }
}

/// The state that `xsave` saves beside [`FxState`], and what enables it (Intel SDM vol. 1
/// 13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedState {
    /// Extended control register 0: the components that the guest may use.
    pub xcr0: u64,
    /// Bits 255 to 128 of each YMM register, whose other half is an XMM register.
    pub ymm_high: [u128; 16],
}

impl Default for ExtendedState {
    /// After reset: x87 alone is enabled.
    fn default() -> Self {
        Self {
            xcr0: XCr0Flags::X87.bits(),
            ymm_high: [0; 16],
        }
    }
}

/// Which instruction has just ended that holds interrupts back for the next one (AMD APM
/// vol. 2 15.21.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shadow {
    /// Another one.
    #[default]
    None,
    /// `sti` that has set RFLAGS.IF.
    Sti,
    /// `mov ss` or `pop ss`, which holds back debug traps too.
    MovSs,
}

/// What decides whether the CPU takes an interrupt now, beside RFLAGS.IF and CR8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interruptibility {
    /// The interrupt shadow over the next instruction.
    pub shadow: Shadow,
    /// An NMI has come and the CPU has not taken it yet.
    pub nmi_pending: bool,
    /// The CPU has taken an NMI and not returned from it by `iret` yet: a second one waits.
    pub nmi_blocked: bool,
}

/// The architectural state of one vCPU, apart from its local APIC. The default is what
/// reset leaves in the registers whose name says all about them (debug registers, MSRs,
/// FPU), and zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct CpuState {
    pub regs: Regs,
    pub es: Segment,
    pub cs: Segment,
    pub ss: Segment,
    pub ds: Segment,
    pub fs: Segment,
    pub gs: Segment,
    pub ldt: Segment,
    pub tr: Segment,
    pub gdt: Dtable,
    pub idt: Dtable,
    pub cr0: u64,
    pub cr2: u64,
    pub cr3: u64,
    pub cr4: u64,
    pub cr8: u64,
    pub efer: u64,
    pub debug: DebugRegs,
    pub msrs: Msrs,
    /// Time-stamp counter.
    pub tsc: u64,
    pub fx: FxState,
    pub extended: ExtendedState,
    pub interruptibility: Interruptibility,
}

impl CpuState {
    /// The state of a CPU that a start-up message has begin in real mode at the start of this
    /// page of 4 KiB (Intel SDM vol. 3A 8.4.3, table 9-1): all else is as after INIT.
    pub fn started_at(page: u8) -> Self {
        let segment = |selector: u16, kind| Segment {
            selector,
            base: u64::from(selector) << 4,
            limit: 0xffff,
            attributes: segment::PRESENT | kind,
        };
        let memory = segment::ORDINARY | segment::ACCESSED | segment::WRITABLE;
        let data = segment(0, memory);
        Self {
            regs: Regs {
                rflags: x86::RFLAGS_FIXED,
                ..Regs::default()
            },
            cs: segment(u16::from(page) << 8, memory | segment::CODE),
            ss: data,
            ds: data,
            es: data,
            fs: data,
            gs: data,
            ldt: segment(0, segment::TYPE_LDT),
            tr: segment(0, segment::TYPE_TSS_BUSY),
            gdt: Dtable {
                base: 0,
                limit: 0xffff,
            },
            idt: Dtable {
                base: 0,
                limit: 0xffff,
            },
            cr0: (Cr0Flags::EXTENSION_TYPE | Cr0Flags::NOT_WRITE_THROUGH | Cr0Flags::CACHE_DISABLE)
                .bits(),
            msrs: Msrs {
                mtrrs: Mtrrs::by_firmware(),
                ..Msrs::default()
            },
            ..Self::default()
        }
    }

    /// Privilege level, 0 to 3.
    pub fn ring(&self) -> u8 {
        ring(self.cr0, self.cs.selector)
    }
}

/// The privilege level: that of the code segment's selector, but for real mode, where any
/// number may be there.
pub(crate) fn ring(cr0: u64, cs: u16) -> u8 {
    match Cr0Flags::from_bits_retain(cr0).contains(Cr0Flags::PROTECTED_MODE_ENABLE) {
        true => (cs & 3) as u8,
        false => 0,
    }
}
