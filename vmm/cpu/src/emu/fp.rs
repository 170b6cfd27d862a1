//! Floating point and vectors: what may execute, and MXCSR.
//!
//! Guest arithmetic is done by the host's own instructions, exact by construction, in
//! inline assembly: the compiler must neither fold it nor know its environment.
//!
//! # MXCSR
//! Rust code may rely on the default control bits of MXCSR, but not on the exception
//! flags. So while the guest's control bits are the default (nearly always), its
//! instructions simply execute, and what exceptions they raise gathers in the host's own
//! MXCSR, from where [`Cpu::collect_flags`] takes it at the end of a slice, or when the
//! guest looks. With any other control bits ([`FpMode::careful`]) each instruction is one
//! piece of assembly that loads the guest's MXCSR, all exceptions masked, executes, takes
//! the flags and restores the default. Unmasked exceptions are found in the flags.
//! Rejected: keeping the guest's rounding mode loaded between instructions (undefined
//! behaviour in Rust, and host code would round wrongly); a check in each handler.
//!
//! # Modes
//! Whether an instruction may execute (CR0.EM, CR0.TS, CR4.OSFXSR), and whether with
//! care, was decided when it was decoded: the [`FpMode`] is part of what a decoded block
//! is known by, as the code size is, and selects the fetch context.

use std::arch::asm;

use iced_x86::{Code, CpuidFeature, Instruction, OpKind, Register};

use super::cpu::{Cpu, MXCSR_RESET, bits};
use super::decode::{Lower, Site};
use super::engine::slow;
use super::exception::{Exception, Stop, vector};
use super::op::Op;
use super::ops::invalid;

/// What decides how floating-point and vector instructions are executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FpMode(u8);

impl FpMode {
    /// The control bits of MXCSR are not the default.
    const CAREFUL: u8 = 1;
    /// CR4.OSFXSR is clear.
    const NO_SSE: u8 = 2;
    /// CR0.EM.
    const EMULATE: u8 = 4;
    /// CR0.TS.
    const SWITCHED: u8 = 8;
    /// CR0.TS and CR0.MP.
    const WAIT_SWITCHED: u8 = 16;
    /// Number of modes.
    pub(super) const COUNT: u64 = 32;

    /// Whether arithmetic must execute under an MXCSR of its own.
    pub(super) fn careful(self) -> bool {
        self.0 & Self::CAREFUL != 0
    }

    /// Whether SSE instructions on registers that are not arithmetic cannot fault, and
    /// arithmetic neither.
    pub(super) fn quiet(self) -> bool {
        self.0 == 0
    }

    pub(super) fn number(self) -> u8 {
        self.0
    }
}

/// Bits of MXCSR (Intel SDM vol. 1 10.2.3).
pub(super) mod mxcsr {
    pub const INVALID: u32 = 1;
    pub const DENORMAL: u32 = 1 << 1;
    pub const ZERO_DIVIDE: u32 = 1 << 2;
    pub const OVERFLOW: u32 = 1 << 3;
    pub const UNDERFLOW: u32 = 1 << 4;
    pub const INEXACT: u32 = 1 << 5;
    /// The exception flags.
    pub const FLAGS: u32 = 0x3f;
    pub const DENORMALS_ARE_ZEROS: u32 = 1 << 6;
    pub const MASKS: u32 = 0x1f80;
    pub const MASK_SHIFT: u32 = 7;
    pub const ROUNDING_SHIFT: u32 = 13;
    pub const FLUSH_TO_ZERO: u32 = 1 << 15;
    /// Accesses need no alignment (AMD APM vol. 1 4.2.2, not everywhere).
    pub const MISALIGNED: u32 = 1 << 17;
    /// All others.
    pub const ALL: u32 = 0xffff;
}

/// The exception flags of the host's MXCSR, which are clear then.
#[inline]
fn take_host_flags() -> u32 {
    let mut value = 0_u32;
    // SAFETY: stores MXCSR to a local variable.
    unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut value, options(nostack, preserves_flags)) };
    if value & mxcsr::FLAGS != 0 {
        let clear = value & !mxcsr::FLAGS;
        // SAFETY: changes exception flags only.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const clear, options(nostack, readonly)) };
    }
    value & mxcsr::FLAGS
}

/// With both, `wait` raises #NM.
const WAIT_BITS: u64 = bits::CR0_TS | bits::CR0_MP;

/// The bits of MXCSR that the host has, and so the guest.
pub(super) fn host_mxcsr_mask() -> u32 {
    #[repr(C, align(16))]
    struct Area([u32; 128]);
    /// What a mask of zero means: no treating of denormals as zeros.
    const NO_MASK: u32 = 0xffbf;
    /// Where the mask is in the image, in words of 4 bytes.
    const MASK: usize = 7;
    let mut area = Area([0; 128]);
    // SAFETY: stores 512 bytes to a local variable.
    unsafe { std::arch::x86_64::_fxsave((&raw mut area).cast()) };
    match area.0[MASK] {
        0 => NO_MASK,
        mask => mask & (mxcsr::ALL | mxcsr::MISALIGNED),
    }
}

impl Cpu {
    /// Prepares the host's MXCSR for guest code.
    pub(super) fn discard_host_flags(&mut self) {
        take_host_flags();
    }

    /// Makes `mxcsr` current with respect to what was executed since the slice began.
    pub(super) fn collect_flags(&mut self) {
        self.mxcsr |= take_host_flags();
    }

    /// Changes MXCSR; inside the engine only at the end of a block.
    ///
    /// # Errors
    /// #GP(0) if bits are set that do not exist.
    pub(super) fn set_mxcsr(&mut self, value: u32) -> Result<(), Stop> {
        if value & !self.mxcsr_mask != 0 {
            return Err(Exception::GP.into());
        }
        take_host_flags();
        self.mxcsr = value;
        self.update_fp_mode();
        Ok(())
    }

    /// Makes [`FpMode`] what the control registers and MXCSR say. To be called after
    /// changes of CR0.EM, CR0.TS, CR4.OSFXSR and MXCSR, at the end of a block.
    pub(super) fn update_fp_mode(&mut self) {
        let bit = |on: bool, bit: u8| if on { bit } else { 0 };
        let mode = FpMode(
            bit(self.mxcsr & !mxcsr::FLAGS != MXCSR_RESET, FpMode::CAREFUL)
                | bit(self.cr4 & bits::CR4_OSFXSR == 0, FpMode::NO_SSE)
                | bit(self.cr0 & bits::CR0_EM != 0, FpMode::EMULATE)
                | bit(self.cr0 & bits::CR0_TS != 0, FpMode::SWITCHED)
                | bit(self.cr0 & WAIT_BITS == WAIT_BITS, FpMode::WAIT_SWITCHED),
        );
        if mode != self.fp_mode {
            self.fp_mode = mode;
            self.select_ctx();
        }
    }

    /// Notes the exceptions that were `raised` at once.
    ///
    /// # Errors
    /// #XM (or #UD without CR4.OSXMMEXCPT) if one of them is not masked. Those found
    /// before computing hide those found after (Intel SDM vol. 1 11.5.2).
    pub(super) fn note_float_exceptions(&mut self, raised: u32) -> Result<(), Stop> {
        let unmasked = !self.mxcsr >> mxcsr::MASK_SHIFT & mxcsr::FLAGS;
        let early = raised & (mxcsr::INVALID | mxcsr::DENORMAL | mxcsr::ZERO_DIVIDE);
        let raised = if early & unmasked != 0 { early } else { raised };
        self.mxcsr |= raised;
        if raised & unmasked == 0 {
            Ok(())
        } else if self.cr4 & bits::CR4_OSXMMEXCPT != 0 {
            Err(Exception::plain(vector::XM).into())
        } else {
            Err(Exception::UD.into())
        }
    }

    /// The MXCSR with which the host executes guest arithmetic in careful mode.
    pub(super) fn careful_mxcsr(&self) -> u32 {
        let mut value = self.mxcsr & !mxcsr::FLAGS | mxcsr::MASKS;
        if self.mxcsr & mxcsr::UNDERFLOW << mxcsr::MASK_SHIFT == 0 {
            // Flushing is part of the masked response.
            value &= !mxcsr::FLUSH_TO_ZERO;
        }
        value
    }
}

/// Raises #NM.
struct NotAvailable;

impl super::engine::Instr for NotAvailable {
    fn exec<M: super::access::Access>(_: &mut Cpu, _: &Op) -> Result<(), Stop> {
        Err(Exception::NM.into())
    }
}

fn lower_not_available(_: &Site, _: &Instruction, op: &mut Op) {
    op.handler = slow::<NotAvailable>;
}

/// What stands in for an instruction that may not execute in this mode or on this host
/// (AMD APM vol. 2 table 11-1).
pub(super) fn refusal(mode: FpMode, insn: &Instruction) -> Option<Lower> {
    let mut features = insn.cpuid_features().iter();
    if !features.all(|&feature| host_has(feature)) {
        return Some(invalid::lower);
    }
    if mode.quiet() {
        return None;
    }
    let is = |bit: u8| mode.0 & bit != 0;
    let (ud, nm) = match unit(insn) {
        Unit::Sse => (
            is(FpMode::EMULATE) || is(FpMode::NO_SSE),
            is(FpMode::SWITCHED),
        ),
        Unit::Mmx => (is(FpMode::EMULATE), is(FpMode::SWITCHED)),
        Unit::X87 => (false, is(FpMode::EMULATE) || is(FpMode::SWITCHED)),
        Unit::Wait => (false, is(FpMode::WAIT_SWITCHED)),
        Unit::Other => (false, false),
    };
    if ud {
        Some(invalid::lower)
    } else if nm {
        Some(lower_not_available)
    } else {
        None
    }
}

/// Whose state an instruction uses.
enum Unit {
    Sse,
    Mmx,
    /// Or the image of all of it.
    X87,
    Wait,
    Other,
}

fn unit(insn: &Instruction) -> Unit {
    let code = insn.code();
    let has = |test: fn(Register) -> bool| {
        (0..insn.op_count())
            .any(|i| insn.op_kind(i) == OpKind::Register && test(insn.op_register(i)))
    };
    if has(Register::is_xmm) || matches!(code, Code::Ldmxcsr_m32 | Code::Stmxcsr_m32) {
        Unit::Sse
    } else if has(Register::is_mm) || code == Code::Emms {
        Unit::Mmx
    } else if code == Code::Wait {
        Unit::Wait
    } else if code.cpuid_features().iter().any(|feature| {
        use CpuidFeature as F;
        matches!(feature, F::FPU | F::FPU287 | F::FPU387 | F::FXSR)
    }) {
        Unit::X87
    } else {
        Unit::Other
    }
}

/// Whether the host executes instructions of this feature: those that not every x86-64
/// processor has. What the host lacks, the guest does not have.
pub(super) fn host_has(feature: CpuidFeature) -> bool {
    use CpuidFeature as F;
    match feature {
        F::SSE3 => std::is_x86_feature_detected!("sse3"),
        F::SSSE3 => std::is_x86_feature_detected!("ssse3"),
        F::SSE4_1 => std::is_x86_feature_detected!("sse4.1"),
        F::SSE4_2 => std::is_x86_feature_detected!("sse4.2"),
        _ => true,
    }
}
