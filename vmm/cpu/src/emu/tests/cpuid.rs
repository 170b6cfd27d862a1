//! The features that `cpuid` reports exist.

use iced_x86::{Code, CpuidFeature, EncodingKind, OpCodeOperandKind as Kind};

use crate::emu::Emulator;
use crate::emu::cpu::cpuid;
use crate::emu::state::control::Control;
use crate::state::Place;

/// Whether an operand is an MMX register, for which a bit of their own tells.
fn is_mmx(code: Code) -> bool {
    let kinds = code.op_code().op_kinds();
    kinds
        .iter()
        .any(|kind| matches!(kind, Kind::mm_reg | Kind::mm_rm | Kind::mm_or_mem))
}

/// Forms of 64-bit code that `features` bring and the emulator lacks.
fn lacking(features: &[CpuidFeature]) -> Vec<Code> {
    let brought = |code: &Code| {
        let wanted = code.cpuid_features();
        wanted.iter().all(|feature| features.contains(feature))
    };
    let encodings = [EncodingKind::Legacy, EncodingKind::VEX];
    Code::values()
        .filter(|code| encodings.contains(&code.op_code().encoding()))
        .filter(|code| code.op_code().mode64() && brought(code))
        .filter(|&code| !is_mmx(code) && !is_no_op(code) && !Emulator::implements(code))
        .collect()
}

/// Whether the decoder gives it as a reserved no-op, without its name.
fn is_no_op(code: Code) -> bool {
    use iced_x86::Mnemonic as M;
    matches!(
        code.mnemonic(),
        M::Prefetchnta | M::Prefetcht0 | M::Prefetcht1 | M::Prefetcht2
    )
}

/// Leaf 0x8000_001d tells each cache again, of 64-byte lines.
#[test]
fn caches_are_told_twice_alike() {
    let control = Control::new(Place::ONLY);
    let leaf = |leaf, subleaf| cpuid::leaf(leaf, subleaf, &control);
    let kib = |subleaf| {
        let [_, ebx, ecx, _] = leaf(0x8000_001d, subleaf);
        ((ebx >> 22) + 1) * (ecx + 1) * 64 / 1024
    };
    let ([_, _, data, code], [_, _, level2, level3]) = (leaf(0x8000_0005, 0), leaf(0x8000_0006, 0));
    assert_eq!([kib(0), kib(1)], [data >> 24, code >> 24]);
    assert_eq!([kib(2), kib(3)], [level2 >> 16, (level3 >> 18) * 512]);
    assert_eq!(leaf(0x8000_001d, 4), [0; 4]);
}

#[test]
fn features_that_are_told_are_there() {
    let control = Control::new(Place::ONLY);
    let leaf = |leaf, subleaf| cpuid::leaf(leaf, subleaf, &control);
    let bits = [
        (CpuidFeature::SSE, leaf(1, 0)[3], 25),
        (CpuidFeature::SSE2, leaf(1, 0)[3], 26),
        (CpuidFeature::SSE3, leaf(1, 0)[2], 0),
        (CpuidFeature::SSSE3, leaf(1, 0)[2], 9),
        (CpuidFeature::CMPXCHG16B, leaf(1, 0)[2], 13),
        (CpuidFeature::SSE4_1, leaf(1, 0)[2], 19),
        (CpuidFeature::SSE4_2, leaf(1, 0)[2], 20),
        (CpuidFeature::MOVBE, leaf(1, 0)[2], 22),
        (CpuidFeature::POPCNT, leaf(1, 0)[2], 23),
        (CpuidFeature::PCLMULQDQ, leaf(1, 0)[2], 1),
        (CpuidFeature::FMA, leaf(1, 0)[2], 12),
        (CpuidFeature::AES, leaf(1, 0)[2], 25),
        (CpuidFeature::XSAVE, leaf(1, 0)[2], 26),
        (CpuidFeature::AVX, leaf(1, 0)[2], 28),
        (CpuidFeature::F16C, leaf(1, 0)[2], 29),
        (CpuidFeature::XSAVEOPT, leaf(0xd, 1)[0], 0),
        (CpuidFeature::XSAVEC, leaf(0xd, 1)[0], 1),
        (CpuidFeature::XSAVES, leaf(0xd, 1)[0], 3),
        (CpuidFeature::FSGSBASE, leaf(7, 0)[1], 0),
        (CpuidFeature::RDRAND, leaf(1, 0)[2], 30),
        (CpuidFeature::BMI1, leaf(7, 0)[1], 3),
        (CpuidFeature::AVX2, leaf(7, 0)[1], 5),
        (CpuidFeature::BMI2, leaf(7, 0)[1], 8),
        (CpuidFeature::INVPCID, leaf(7, 0)[1], 10),
        (CpuidFeature::RDSEED, leaf(7, 0)[1], 18),
        (CpuidFeature::CLFLUSHOPT, leaf(7, 0)[1], 23),
        (CpuidFeature::CLWB, leaf(7, 0)[1], 24),
        (CpuidFeature::ADX, leaf(7, 0)[1], 19),
        (CpuidFeature::SHA, leaf(7, 0)[1], 29),
        (CpuidFeature::GFNI, leaf(7, 0)[2], 8),
        (CpuidFeature::VAES, leaf(7, 0)[2], 9),
        (CpuidFeature::VPCLMULQDQ, leaf(7, 0)[2], 10),
        (CpuidFeature::RDPID, leaf(7, 0)[2], 22),
        (CpuidFeature::LZCNT, leaf(0x8000_0001, 0)[2], 5),
        (CpuidFeature::RDTSCP, leaf(0x8000_0001, 0)[3], 27),
    ];
    let told = bits
        .into_iter()
        .filter(|(_, register, bit)| register >> bit & 1 != 0);
    let told: Vec<_> = told.map(|(feature, ..)| feature).collect();
    assert_eq!(lacking(&told), []);
}
