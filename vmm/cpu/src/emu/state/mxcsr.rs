//! MXCSR, and how floating point and vectors are executed.
//!
//! Guest arithmetic is done by the host's own instructions, exact by construction, in
//! inline assembly: the compiler must neither fold it nor know its environment.
//!
//! # MXCSR
//! Rust code may rely on the default control bits of MXCSR, but not on the exception flags.
//! So while the guest's control bits are the default (nearly always), its instructions
//! simply execute, and what exceptions they raise gathers in the host's own MXCSR, from
//! where [`Registers::collect_flags`] takes it at the end of a slice, or when the guest
//! reads them. With any other control bits ([`FpMode::careful`]) each instruction is one
//! piece of assembly that loads the guest's MXCSR, executes, takes the flags and restores the
//! default. Unmasked exceptions, found in the flags, end it on the host too (see
//! [`native`](crate::emu::arithmetic::native)); but where a result cannot be out of range, the
//! flags are the same with all of them masked.
//! Rejected: keeping the guest's rounding mode loaded between instructions (undefined
//! behaviour in Rust, and host code would round wrongly); a check in each handler.
//!
//! # Modes
//! Whether an instruction may execute (CR0.EM, CR0.TS, CR4.OSFXSR), and whether with care,
//! was decided when it was decoded: the [`FpMode`] is part of a block's key, as the code
//! size is, and selects the fetch context.

use std::arch::asm;

use x86::{MxCsr, fx};

use crate::emu::state::control::bits;
use crate::emu::state::registers::Registers;
use crate::emu::state::xsave;

/// The mode in which floating-point and vector instructions are executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FpMode(u8);

impl FpMode {
    /// The control bits of MXCSR are not the default.
    const CAREFUL: u8 = 1;
    /// CR4.OSFXSR is clear.
    pub const NO_SSE: u8 = 2;
    /// CR0.EM.
    pub const EMULATE: u8 = 4;
    /// CR0.TS.
    pub const SWITCHED: u8 = 8;
    /// CR0.TS and CR0.MP: with both, `wait` raises #NM.
    pub const WAIT_SWITCHED: u8 = 16;
    /// CR4.OSXSAVE and XCR0 do not enable AVX.
    pub const NO_AVX: u8 = 32;
    /// Real mode, which has no VEX prefix.
    pub const NO_VEX: u8 = 64;
    /// Number of modes.
    pub const COUNT: u64 = 128;

    /// The mode that the control registers, XCR0 and MXCSR select.
    pub fn of(cr0: u64, cr4: u64, xcr0: u64, mxcsr: u32) -> Self {
        const AVX: u64 = xsave::SSE | xsave::AVX;
        const WAIT_BITS: u64 = bits::CR0_TS | bits::CR0_MP;
        let enabled = cr4 & bits::CR4_OSXSAVE != 0 && xcr0 & AVX == AVX;
        let bit = |on: bool, bit: u8| if on { bit } else { 0 };
        Self(
            bit(mxcsr & !FLAGS != fx::MXCSR_INITIAL, Self::CAREFUL)
                | bit(cr4 & bits::CR4_OSFXSR == 0, Self::NO_SSE)
                | bit(cr0 & bits::CR0_EM != 0, Self::EMULATE)
                | bit(cr0 & bits::CR0_TS != 0, Self::SWITCHED)
                | bit(cr0 & WAIT_BITS == WAIT_BITS, Self::WAIT_SWITCHED)
                | bit(!enabled, Self::NO_AVX)
                | bit(cr0 & bits::CR0_PE == 0, Self::NO_VEX),
        )
    }

    /// Whether `bit`, one of the above, is set.
    pub fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }

    /// Whether arithmetic must execute under an MXCSR of its own.
    pub fn careful(self) -> bool {
        self.0 & Self::CAREFUL != 0
    }

    /// Whether no SSE instruction on registers can fault: all may execute, and the
    /// exceptions of arithmetic are masked.
    pub fn quiet(self) -> bool {
        self.0 & !(Self::NO_AVX | Self::NO_VEX) == 0
    }

    pub fn number(self) -> u8 {
        self.0
    }
}

/// The exception flags (Intel SDM vol. 1 10.2.3).
pub const FLAGS: u32 = INVALID | DENORMAL | ZERO_DIVIDE | OVERFLOW | UNDERFLOW | INEXACT;
pub const INVALID: u32 = MxCsr::INVALID_OPERATION.bits();
pub const DENORMAL: u32 = MxCsr::DENORMAL.bits();
pub const ZERO_DIVIDE: u32 = MxCsr::DIVIDE_BY_ZERO.bits();
pub const OVERFLOW: u32 = MxCsr::OVERFLOW.bits();
pub const UNDERFLOW: u32 = MxCsr::UNDERFLOW.bits();
pub const INEXACT: u32 = MxCsr::PRECISION.bits();
/// The mask of each exception is so far above its flag.
pub const MASK_SHIFT: u32 = 7;
pub const MASKS: u32 = FLAGS << MASK_SHIFT;
pub const FLUSH_TO_ZERO: u32 = MxCsr::FLUSH_TO_ZERO.bits();
/// Accesses need no alignment (AMD APM vol. 1 4.2.2, not everywhere).
pub const MISALIGNED: u32 = 1 << 17;
/// All others.
const ALL: u32 = 0xffff;

/// The bits of MXCSR that the host has, and so the guest.
pub fn host_mask() -> u32 {
    #[repr(C, align(16))]
    struct Area([u32; fx::LEN / 4]);
    let mut area = Area([0; fx::LEN / 4]);
    // SAFETY: stores 512 bytes to a local variable.
    unsafe { std::arch::x86_64::_fxsave((&raw mut area).cast()) };
    match area.0[fx::MXCSR_MASK_AT / 4] {
        0 => fx::MXCSR_MASK_DEFAULT,
        mask => mask & (ALL | MISALIGNED),
    }
}

/// The exception flags of the host's MXCSR, which are clear then.
#[inline]
fn take_host_flags() -> u32 {
    let mut value = 0_u32;
    // SAFETY: stores MXCSR to a local variable.
    unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut value, options(nostack, preserves_flags)) };
    if value & FLAGS != 0 {
        let clear = value & !FLAGS;
        // SAFETY: changes exception flags only.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const clear, options(nostack, readonly)) };
    }
    value & FLAGS
}

impl Registers {
    /// Prepares the host's MXCSR for guest code.
    pub fn discard_host_flags(&mut self) {
        take_host_flags();
    }

    /// Makes `mxcsr` current with respect to what was executed since the slice began.
    pub fn collect_flags(&mut self) {
        self.mxcsr |= take_host_flags();
    }

    /// The exceptions that are not masked, as their flags.
    pub fn unmasked_exceptions(&self) -> u32 {
        !self.mxcsr >> MASK_SHIFT & FLAGS
    }

    /// The guest's MXCSR with all exceptions masked.
    pub fn careful_mxcsr(&self) -> u32 {
        let mut value = self.mxcsr & !FLAGS | MASKS;
        if self.mxcsr & UNDERFLOW << MASK_SHIFT == 0 {
            // Flushing is part of the masked response.
            value &= !FLUSH_TO_ZERO;
        }
        value
    }
}
