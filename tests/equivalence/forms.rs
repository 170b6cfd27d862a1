//! Which instruction forms sequences are made of, and which are not, and why.

use std::arch::x86_64::__cpuid_count;

use iced_x86::{
    Code, CpuidFeature, EncodingKind, FlowControl, Instruction, Mnemonic, OpCodeOperandKind,
};

use super::layout;

/// Why no sequence has a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Excluded {
    /// There is no such instruction in 64-bit mode, or it is not encoded so there.
    OtherMode,
    /// It belongs to a feature that this test does not know.
    NoFeature,
    /// It belongs to one that this processor lacks.
    Absent,
    /// Its result depends on the processor or the time, not on its operands.
    Unpredictable,
    /// Software-backed KVM lets ring 3 see the host's descriptors or entry points.
    HostTables,
    /// AMD's and Intel's processors disagree on what it does.
    VendorsDiffer,
    /// The manuals leave its result undefined.
    Undefined,
    /// Another name for one or two instructions.
    Alias,
}

impl Excluded {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::OtherMode,
        Self::NoFeature,
        Self::Absent,
        Self::Unpredictable,
        Self::HostTables,
        Self::VendorsDiffer,
        Self::Undefined,
        Self::Alias,
    ];

    /// The reason in words.
    pub fn text(self) -> &'static str {
        match self {
            Self::OtherMode => "not of 64-bit mode",
            Self::NoFeature => "of a feature that is not tested",
            Self::Absent => "of a feature that this processor lacks",
            Self::Unpredictable => "result depends on processor or time",
            Self::HostTables => "software-backed KVM shows ring 3 the host's tables",
            Self::VendorsDiffer => "AMD and Intel differ",
            Self::Undefined => "result is undefined",
            Self::Alias => "another name for other forms",
        }
    }
}

/// Kinds of forms; a sequence prefers one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Integer,
    Vector,
    X87,
    Privileged,
}

/// A form that sequences can have.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    pub code: Code,
    pub kind: Kind,
}

/// All forms that ring 3 can try: of baseline x86-64 up to SSE4.2, and of what else this
/// processor has.
pub fn all() -> Vec<Form> {
    Code::values()
        .filter(|&code| exclusion(code).is_none())
        .map(|code| Form {
            code,
            kind: kind(code),
        })
        .collect()
}

/// Why no sequence has `code`; `None` if some may.
pub fn exclusion(code: Code) -> Option<Excluded> {
    let info = code.op_code();
    let encoded = matches!(info.encoding(), EncodingKind::Legacy | EncodingKind::VEX);
    if !info.is_instruction() || !info.mode64() || !encoded {
        return Some(Excluded::OtherMode);
    }
    let features = code.cpuid_features().iter();
    let present: Option<Vec<bool>> = features.map(|&feature| presence(feature)).collect();
    match present {
        None => return Some(Excluded::NoFeature),
        Some(present) if present.contains(&false) => return Some(Excluded::Absent),
        Some(_) => {}
    }
    if code == Code::Ud0 {
        // The same without a ModRM byte, as AMD's manual has it.
        return Some(Excluded::Alias);
    }
    by_mnemonic(code).or_else(|| by_operands(code))
}

/// Whether this processor has the feature; `None` if the test does not know it.
fn presence(feature: CpuidFeature) -> Option<bool> {
    use CpuidFeature as F;
    Some(match feature {
        _ if is_baseline(feature) => true,
        F::AVX => layout::has_avx(),
        F::AVX2 => std::is_x86_feature_detected!("avx2"),
        F::FMA => std::is_x86_feature_detected!("fma"),
        F::F16C => std::is_x86_feature_detected!("f16c"),
        F::AES => std::is_x86_feature_detected!("aes"),
        F::PCLMULQDQ => std::is_x86_feature_detected!("pclmulqdq"),
        F::SHA => std::is_x86_feature_detected!("sha"),
        F::VAES => std::is_x86_feature_detected!("vaes"),
        F::VPCLMULQDQ => std::is_x86_feature_detected!("vpclmulqdq"),
        F::GFNI => std::is_x86_feature_detected!("gfni"),
        F::BMI1 => std::is_x86_feature_detected!("bmi1"),
        F::BMI2 => std::is_x86_feature_detected!("bmi2"),
        F::ADX => std::is_x86_feature_detected!("adx"),
        F::RDRAND => std::is_x86_feature_detected!("rdrand"),
        F::XSAVE => layout::has_avx(),
        F::XSAVEOPT => saves(0),
        F::XSAVEC => saves(1),
        F::XSAVES => saves(3),
        F::RDSEED => std::is_x86_feature_detected!("rdseed"),
        F::INVPCID => structured(10),
        F::CLFLUSHOPT => structured(23),
        F::CLWB => structured(24),
        _ => return None,
    })
}

/// A bit of ebx in leaf 7.
fn structured(bit: u32) -> bool {
    __cpuid_count(7, 0).ebx >> bit & 1 != 0
}

/// A bit of eax in leaf 0xd, subleaf 1.
fn saves(bit: u32) -> bool {
    layout::has_avx() && __cpuid_count(0xd, 1).eax >> bit & 1 != 0
}

fn is_baseline(feature: CpuidFeature) -> bool {
    matches!(
        feature,
        CpuidFeature::INTEL8086
            | CpuidFeature::INTEL186
            | CpuidFeature::INTEL286
            | CpuidFeature::INTEL386
            | CpuidFeature::INTEL486
            | CpuidFeature::X64
            | CpuidFeature::CMOV
            | CpuidFeature::CX8
            | CpuidFeature::CMPXCHG16B
            | CpuidFeature::CLFSH
            | CpuidFeature::FPU
            | CpuidFeature::FPU287
            | CpuidFeature::FPU387
            | CpuidFeature::FXSR
            | CpuidFeature::MMX
            | CpuidFeature::MULTIBYTENOP
            | CpuidFeature::PAUSE
            | CpuidFeature::POPCNT
            | CpuidFeature::PREFETCHW
            | CpuidFeature::MSR
            | CpuidFeature::TSC
            | CpuidFeature::CPUID
            | CpuidFeature::SYSCALL
            | CpuidFeature::SEP
            | CpuidFeature::SSE
            | CpuidFeature::SSE2
            | CpuidFeature::SSE3
            | CpuidFeature::SSSE3
            | CpuidFeature::SSE4_1
            | CpuidFeature::SSE4_2
            | CpuidFeature::FSGSBASE
            | CpuidFeature::LZCNT
            | CpuidFeature::MOVBE
            | CpuidFeature::RDTSCP
            | CpuidFeature::RDPID
            | CpuidFeature::RDPMC
            | CpuidFeature::SMAP
            | CpuidFeature::CET_IBT
            | CpuidFeature::PREFETCHWT1
            | CpuidFeature::PREFETCHITI
    )
}

fn by_mnemonic(code: Code) -> Option<Excluded> {
    use Mnemonic as M;
    Some(match code.mnemonic() {
        M::Rdtsc | M::Rdtscp | M::Rdpid | M::Cpuid => Excluded::Unpredictable,
        M::Rdrand | M::Rdseed | M::Xgetbv => Excluded::Unpredictable,
        M::Bswap if code == Code::Bswap_r16 => Excluded::Undefined,
        M::Int
        | M::Int1
        | M::Syscall
        | M::Sysenter
        | M::Sysexit
        | M::Lar
        | M::Lsl
        | M::Verr
        | M::Verw
        | M::Lfs
        | M::Lgs
        | M::Lss
        | M::Iret
        | M::Iretd
        | M::Iretq
        | M::Retf => Excluded::HostTables,
        // Their names stand for `wait` and another instruction.
        M::Fstenv
        | M::Fstcw
        | M::Fstsw
        | M::Fsave
        | M::Fclex
        | M::Finit
        | M::Feni
        | M::Fdisi
        | M::Fsetpm => Excluded::Alias,
        _ => return None,
    })
}

fn by_operands(code: Code) -> Option<Excluded> {
    use OpCodeOperandKind as K;
    let info = code.op_code();
    let first = info.op0_kind();
    // The operand size prefix on a near branch.
    if matches!(first, K::br16_1 | K::br16_2) {
        return Some(Excluded::VendorsDiffer);
    }
    let near = matches!(
        code.flow_control(),
        FlowControl::Return | FlowControl::IndirectBranch | FlowControl::IndirectCall
    );
    let far = matches!(code.mnemonic(), Mnemonic::Jmp | Mnemonic::Call) && first == K::mem;
    // AMD's processors read four bytes for two.
    if code == Code::Movsxd_r16_rm16 {
        return Some(Excluded::VendorsDiffer);
    }
    if far || code == Code::Popw_FS || code == Code::Popw_GS {
        return Some(Excluded::HostTables);
    }
    if near && info.operand_size() == 16 {
        return Some(Excluded::VendorsDiffer);
    }
    let loads_segment = matches!(first, K::seg_reg | K::fs | K::gs)
        && matches!(code.mnemonic(), Mnemonic::Mov | Mnemonic::Pop);
    loads_segment.then_some(Excluded::HostTables)
}

/// Whether it stores where the last x87 instruction and its operand were: see
/// [`super::compare::endings`].
pub fn shows_x87_pointers(code: Code) -> bool {
    // FXSAVE in its 64-bit form has no room for their segments, which are what is lost.
    matches!(
        code.mnemonic(),
        Mnemonic::Fnstenv | Mnemonic::Fnsave | Mnemonic::Fxsave
    )
}

/// Whether its operand in memory is an area of `xsave`.
pub fn has_area(code: Code) -> bool {
    use Mnemonic as M;
    matches!(
        code.mnemonic(),
        M::Xsave
            | M::Xsave64
            | M::Xsaveopt
            | M::Xsaveopt64
            | M::Xsavec
            | M::Xsavec64
            | M::Xsaves
            | M::Xsaves64
            | M::Xrstor
            | M::Xrstor64
            | M::Xrstors
            | M::Xrstors64
    )
}

/// Whether it can bring about a page fault for data in ring 3. Not what is refused there
/// before it comes to memory, and not what only names an address.
pub fn may_page_fault(code: Code) -> bool {
    use Mnemonic as M;
    use OpCodeOperandKind as K;
    let without = matches!(
        code.mnemonic(),
        M::Lea
            | M::Nop
            | M::Reservednop
            | M::Prefetchnta
            | M::Prefetcht0
            | M::Prefetcht1
            | M::Prefetcht2
            | M::Prefetchw
            | M::Prefetchwt1
            | M::Prefetchit0
            | M::Prefetchit1
            | M::Prefetch
            | M::Insb
            | M::Insw
            | M::Insd
            | M::Outsb
            | M::Outsw
            | M::Outsd
            | M::Sgdt
            | M::Sidt
            | M::Sldt
            | M::Str
            | M::Smsw
    );
    let uses = |kind: K| {
        matches!(
            kind,
            K::mem
                | K::mem_offs
                | K::r8_or_mem
                | K::r16_or_mem
                | K::r32_or_mem
                | K::r64_or_mem
                | K::mm_or_mem
                | K::xmm_or_mem
                | K::ymm_or_mem
                | K::mem_vsib32x
                | K::mem_vsib64x
                | K::mem_vsib32y
                | K::mem_vsib64y
                | K::seg_rSI
                | K::es_rDI
                | K::seg_rDI
                | K::seg_rBX_al
        )
    };
    let mut instruction = Instruction::new();
    instruction.set_code(code);
    let memory = code.op_code().op_kinds().iter().any(|&kind| uses(kind));
    let stack = instruction.is_stack_instruction();
    kind(code) != Kind::Privileged && !without && (memory || stack)
}

fn kind(code: Code) -> Kind {
    let features = code.cpuid_features();
    let has = |wanted: &[CpuidFeature]| features.iter().any(|feature| wanted.contains(feature));
    let mut instruction = Instruction::new();
    instruction.set_code(code);
    if instruction.is_privileged() {
        return Kind::Privileged;
    }
    if has(&[
        CpuidFeature::FPU,
        CpuidFeature::FPU287,
        CpuidFeature::FPU387,
        CpuidFeature::FXSR,
    ]) {
        return Kind::X87;
    }
    if has(&[
        CpuidFeature::MMX,
        CpuidFeature::SSE,
        CpuidFeature::SSE2,
        CpuidFeature::SSE3,
        CpuidFeature::SSSE3,
        CpuidFeature::SSE4_1,
        CpuidFeature::SSE4_2,
        CpuidFeature::AVX,
        CpuidFeature::AVX2,
        CpuidFeature::FMA,
        CpuidFeature::F16C,
        CpuidFeature::AES,
        CpuidFeature::PCLMULQDQ,
        CpuidFeature::SHA,
        CpuidFeature::VPCLMULQDQ,
        CpuidFeature::GFNI,
    ]) {
        return Kind::Vector;
    }
    Kind::Integer
}
