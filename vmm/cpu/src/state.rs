//! Plain register structs that both accelerators read and write.

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

/// Where a vCPU stands in the guest's code.
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
    /// Descriptor bits 40 to 55 without the limit: type (0 to 3), S (4), DPL (5 and 6),
    /// P (7), AVL (12), L (13), D/B (14), G (15). An unusable segment has P clear.
    pub attributes: u16,
}

/// GDTR or IDTR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dtable {
    /// Linear address of the table.
    pub base: u64,
    /// Offset of its last byte.
    pub limit: u16,
}

/// The 512-byte image of `fxsave64`: x87, MMX, SSE and MXCSR (Intel SDM vol. 1 10.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(16))]
pub struct FxState(pub [u8; 512]);

impl FxState {
    /// State after reset and `fninit`: FCW 0x37f, MXCSR 0x1f80, all else zero.
    pub const fn initial() -> Self {
        let mut image = [0; 512];
        image[0] = 0x7f;
        image[1] = 0x03;
        image[24] = 0x80;
        image[25] = 0x1f;
        Self(image)
    }
}

/// The architectural state of one vCPU, apart from its local APIC.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// IA32_APIC_BASE.
    pub apic_base: u64,
    pub star: u64,
    pub lstar: u64,
    pub cstar: u64,
    pub sfmask: u64,
    pub kernel_gs_base: u64,
    /// Time-stamp counter.
    pub tsc: u64,
    pub fx: FxState,
}
