//! Which instructions are translated, and how.

use iced_x86::{
    Code, ConditionCode, CpuidFeature, EncodingKind, FlowControl, Instruction, Mnemonic, OpKind,
    Register,
};

use crate::emu::decode;
use crate::emu::state::mxcsr::FpMode;
use crate::emu::translate::frame::Vectors;
use crate::emu::translate::shares::Share;

/// How an instruction is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By itself, with other registers and its operand in memory at hand.
    Itself,
    /// The same, with vector registers.
    Vector(Vectors),
    /// Not at all: it does nothing.
    Nothing,
    Lea,
    Push,
    Pop,
    Leave,
    Divide,
    /// It ends its block.
    End,
    /// By the interpreter.
    Other,
}

impl Kind {
    pub fn vectors(self) -> Vectors {
        match self {
            Self::Vector(vectors) => vectors,
            _ => Vectors::Nothing,
        }
    }

    /// Whether translated code may be left before the instruction, whose operand in memory is
    /// found by `share`.
    pub fn may_leave(self, insn: &Instruction, share: Option<Share>) -> bool {
        match self {
            Self::Itself | Self::Vector(_) => {
                let is_known = share.is_some_and(|share| share.is_known);
                has_memory(insn) && (!is_known || wants_alignment(insn))
            }
            Self::Nothing | Self::Lea => false,
            Self::Push | Self::Pop | Self::Leave | Self::Divide | Self::Other => true,
            Self::End => !insn.is_jcc_short_or_near() && !insn.is_jmp_short_or_near(),
        }
    }
}

/// Whether an operand is in memory.
pub fn has_memory(insn: &Instruction) -> bool {
    (0..insn.op_count()).any(|i| insn.op_kind(i) == OpKind::Memory)
}

/// How `insn` is translated while floating point is in mode `fp`.
pub fn kind(insn: &Instruction, fp: FpMode) -> Kind {
    match shape(insn, fp) {
        kind if decode::executes(insn, fp) => kind,
        _ => Kind::Other,
    }
}

/// The same if it may execute at all.
pub fn shape(insn: &Instruction, fp: FpMode) -> Kind {
    use Mnemonic as M;
    match insn.mnemonic() {
        _ if is_no_op(insn) => Kind::Nothing,
        M::Lea if insn.op0_register().size() != 2 => Kind::Lea,
        M::Push if pushes_quadword(insn.code()) => Kind::Push,
        M::Pop if insn.code() == Code::Pop_r64 => Kind::Pop,
        M::Leave if insn.code() == Code::Leaveq => Kind::Leave,
        M::Div | M::Idiv if is_plain_division(insn) => Kind::Divide,
        M::Div | M::Idiv => Kind::Other,
        M::Rcl | M::Rcr if !rotates_by_one_or_cl(insn) => Kind::Other,
        _ if is_integer(insn) => Kind::Itself,
        _ => match vectors(insn).filter(|_| fp.quiet()) {
            Some(vectors) => Kind::Vector(vectors),
            _ => Kind::Other,
        },
    }
}

/// Whether it does nothing: the fences too, as one processor at a time executes. Reserved no-ops
/// are for the decoder hints, `endbr64`, and all long no-ops.
fn is_no_op(insn: &Instruction) -> bool {
    use Mnemonic as M;
    match insn.mnemonic() {
        M::Nop | M::Lfence | M::Mfence | M::Sfence => true,
        // Prefetches of a register are undefined.
        M::Reservednop => has_memory(insn) || !is_prefetch(insn.code()),
        _ => false,
    }
}

fn is_prefetch(code: Code) -> bool {
    matches!(
        code,
        Code::Reservednop_rm16_r16_0F0D
            | Code::Reservednop_rm32_r32_0F0D
            | Code::Reservednop_rm64_r64_0F0D
    )
}

fn pushes_quadword(code: Code) -> bool {
    matches!(
        code,
        Code::Push_r64 | Code::Pushq_imm32 | Code::Pushq_imm8 | Code::Push_rm64
    )
}

/// Whether it divides by 32 or 64 bits.
fn is_plain_division(insn: &Instruction) -> bool {
    divisor_size(insn) >= 4
}

/// Bytes of a division's operand.
pub fn divisor_size(insn: &Instruction) -> usize {
    match insn.op0_kind() {
        OpKind::Memory => insn.memory_size().size(),
        _ => insn.op0_register().size(),
    }
}

/// Whether a rotation through CF is by one, or by CL as the interpreter has it: by another
/// immediate, the processor leaves another OF, which the manuals do not define.
fn rotates_by_one_or_cl(insn: &Instruction) -> bool {
    insn.op1_kind() == OpKind::Register || insn.try_immediate(1).is_ok_and(|by| by == 1)
}

/// Instructions on general registers whose course depends on operands and flags alone.
fn is_integer(insn: &Instruction) -> bool {
    use Mnemonic as M;
    let is_known = matches!(
        insn.mnemonic(),
        M::Mov
            | M::Movzx
            | M::Movsx
            | M::Movsxd
            | M::Movbe
            | M::Movnti
            | M::Xchg
            | M::Bswap
            | M::Add
            | M::Adc
            | M::Sub
            | M::Sbb
            | M::And
            | M::Or
            | M::Xor
            | M::Cmp
            | M::Test
            | M::Inc
            | M::Dec
            | M::Neg
            | M::Not
            | M::Mul
            | M::Imul
            | M::Shl
            | M::Sal
            | M::Shr
            | M::Sar
            | M::Rol
            | M::Ror
            | M::Rcl
            | M::Rcr
            | M::Shld
            | M::Shrd
            | M::Bsf
            | M::Bsr
            | M::Tzcnt
            | M::Lzcnt
            | M::Popcnt
            | M::Cbw
            | M::Cwde
            | M::Cdqe
            | M::Cwd
            | M::Cdq
            | M::Cqo
            | M::Xadd
            | M::Cmpxchg
            | M::Clc
            | M::Stc
            | M::Cmc
            | M::Lahf
            | M::Sahf
            | M::Crc32
            | M::Andn
            | M::Bextr
            | M::Blsi
            | M::Blsmsk
            | M::Blsr
            | M::Bzhi
            | M::Pdep
            | M::Pext
            | M::Rorx
            | M::Sarx
            | M::Shlx
            | M::Shrx
            | M::Mulx
            | M::Adcx
            | M::Adox
    );
    // With a register and memory the operand is a string of bits.
    let tests_bit = || {
        matches!(insn.mnemonic(), M::Bt | M::Btc | M::Btr | M::Bts)
            && !(insn.op0_kind() == OpKind::Memory && insn.op1_kind() == OpKind::Register)
    };
    let by_condition =
        || insn.condition_code() != ConditionCode::None && insn.flow_control() == FlowControl::Next;
    let general = |i| match insn.op_kind(i) {
        OpKind::Register => insn.op_register(i).is_gpr(),
        _ => true,
    };
    (is_known || tests_bit() || by_condition()) && (0..insn.op_count()).all(general)
}

/// The vector registers that an instruction uses; `None` if it uses others besides, or has
/// more to it than operands.
fn vectors(insn: &Instruction) -> Option<Vectors> {
    use Mnemonic as M;
    let encoded = matches!(insn.encoding(), EncodingKind::VEX | EncodingKind::Legacy);
    let more = matches!(
        insn.mnemonic(),
        // The host's MMX and x87 registers are not the guest's.
        M::Cvtpi2ps
            | M::Cvtpi2pd
            | M::Maskmovdqu
            | M::Vmaskmovdqu
            | M::Ldmxcsr
            | M::Stmxcsr
            | M::Vldmxcsr
            | M::Vstmxcsr
            | M::Pcmpestri
            | M::Pcmpestri64
            | M::Pcmpestrm
            | M::Pcmpestrm64
            | M::Pcmpistri
            | M::Pcmpistrm
            | M::Vpcmpestri
            | M::Vpcmpestri64
            | M::Vpcmpestrm
            | M::Vpcmpestrm64
            | M::Vpcmpistri
            | M::Vpcmpistrm
    );
    if matches!(insn.mnemonic(), M::Vzeroall | M::Vzeroupper) {
        return Some(Vectors::Ymm);
    }
    let fits = encoded && !more && !insn.is_vsib() && insn.op_count() > 0;
    let registers = (0..insn.op_count())
        .filter(|&i| insn.op_kind(i) == OpKind::Register)
        .map(|i| insn.op_register(i));
    let (mut all, mut any) = (true, false);
    for register in registers {
        let is_vector = register.is_xmm() || register.is_ymm();
        any |= is_vector;
        all &= is_vector || register.is_gpr();
    }
    let x87 = insn
        .cpuid_features()
        .iter()
        .any(|feature| matches!(feature, CpuidFeature::FPU | CpuidFeature::MMX));
    (fits && any && all && !x87).then(|| match insn.encoding() {
        EncodingKind::VEX => Vectors::Ymm,
        _ => Vectors::Xmm,
    })
}

/// Whether an operand of 16 bytes or more in memory has to be aligned.
pub fn wants_alignment(insn: &Instruction) -> bool {
    use Mnemonic as M;
    let size = insn.memory_size().size();
    let is_move = matches!(
        insn.mnemonic(),
        M::Vmovaps
            | M::Vmovapd
            | M::Vmovdqa
            | M::Vmovntps
            | M::Vmovntpd
            | M::Vmovntdq
            | M::Vmovntdqa
    );
    let exempt = matches!(
        insn.mnemonic(),
        M::Movups | M::Movupd | M::Movdqu | M::Lddqu
    );
    size >= 16 && (is_move || insn.encoding() == EncodingKind::Legacy && !exempt)
}

/// Whether the register is the second byte of a general one.
pub fn is_high_byte(register: Register) -> bool {
    matches!(
        register,
        Register::AH | Register::CH | Register::DH | Register::BH
    )
}
