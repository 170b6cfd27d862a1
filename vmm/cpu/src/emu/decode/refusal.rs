//! Instructions that raise #UD or #NM in this mode or on this host (AMD APM vol. 2 table
//! 11-1).

use iced_x86::{Code, CpuidFeature, EncodingKind, Instruction, Mnemonic, OpKind, Register};

use crate::emu::cpu::access::Access;
use crate::emu::cpu::cpuid::host_has;
use crate::emu::cpu::{Cpu, Op};
use crate::emu::engine::form::{Lower, Site};
use crate::emu::engine::{Instr, invalid, slow};
use crate::emu::state::exception::{Exception, Stop};
use crate::emu::state::mxcsr::FpMode;

/// Raises #NM.
struct NotAvailable;

impl Instr for NotAvailable {
    fn exec<M: Access>(_: &mut Cpu, _: &Op) -> Result<(), Stop> {
        Err(Exception::NM.into())
    }
}

fn lower_not_available(_: &Site, _: &Instruction, op: &mut Op) {
    op.handler = slow::<NotAvailable>;
}

/// The lowering to #UD or #NM, if the instruction may not execute.
pub fn refusal(mode: FpMode, insn: &Instruction) -> Option<Lower> {
    let mut features = insn.cpuid_features().iter();
    // Without BMI1 it is `bsf`.
    let is_tzcnt = insn.mnemonic() == Mnemonic::Tzcnt;
    if !is_tzcnt && !features.all(|&feature| host_has(feature)) {
        return Some(invalid::lower);
    }
    let is_vex = insn.encoding() == EncodingKind::VEX;
    if mode.quiet() && !is_vex {
        return None;
    }
    let is = |bit: u8| mode.has(bit);
    if is_vex && is(FpMode::NO_VEX) {
        return Some(invalid::lower);
    }
    let (ud, nm) = match unit(insn) {
        // One on general registers.
        Unit::Other if is_vex => (false, false),
        _ if is_vex => (is(FpMode::NO_AVX), is(FpMode::SWITCHED)),
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

/// The unit whose state an instruction uses.
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
    let is_vector =
        has(Register::is_vector_register) || code.cpuid_features().contains(&CpuidFeature::AVX);
    if is_vector || matches!(insn.mnemonic(), Mnemonic::Ldmxcsr | Mnemonic::Stmxcsr) {
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
