//! Differences of other processors from AMD's of today (Zen 4), which the emulator follows: a
//! table of excuses, each with its reference. Intel's are such, and AMD's of before (Zen 3).
//!
//! A sequence with an excuse is not compared at all, for what comes after a difference
//! differs as well. Rejected: masks for single registers, which are more code and say
//! little more; two ways of the emulator, which would make a guest depend on its host.

use std::arch::asm;
use std::arch::x86_64::__cpuid;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use iced_x86::{Code, CpuidFeature, Instruction, Mnemonic};
use x86::vector::{AC, DB, GP, PF, UD};

use super::case::Case;
use super::ending::{End, Ending};
use super::explain::{self, is_prefix};
use super::forms;
use super::undefined::is_repeated;

/// Whose ways the host's processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Processor {
    /// AMD's of today, or one that QEMU makes up.
    Zen4,
    /// AMD's of before, and what does as they do.
    Zen3,
    Intel,
}

fn processor() -> Processor {
    static PROCESSOR: LazyLock<Processor> = LazyLock::new(|| {
        // Of both generations. AVX-512 tells them apart, but hosts were seen that have it and do
        // as Zen 3 does.
        const EXTENDED_FAMILY: u32 = 0xa;
        let leaf = __cpuid(0);
        let name = [leaf.ebx, leaf.edx, leaf.ecx]
            .map(u32::to_le_bytes)
            .concat();
        if name != b"AuthenticAMD" && name != b"HygonGenuine" {
            return Processor::Intel;
        }
        let is_of_both = __cpuid(1).eax >> 20 & 0xff == EXTENDED_FAMILY;
        match is_of_both && (!is_x86_feature_detected!("avx512f") || takes_unaligned_sha()) {
            true => Processor::Zen3,
            false => Processor::Zen4,
        }
    });
    *PROCESSOR
}

/// Whether SHA's instructions take operands anywhere: a process that tries ends by itself.
fn takes_unaligned_sha() -> bool {
    let operand = [0_u128; 2];
    let mut status = 0;
    // SAFETY: the child does nothing but read the operand, and end; this process waits for it.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            asm!("sha256msg2 xmm1, [{} + 1]", in(reg) operand.as_ptr(), out("xmm1") _);
            libc::_exit(0);
        }
        assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
    }
    libc::WIFEXITED(status)
}

/// Whether the host's processor is another than those that the emulator follows.
pub fn is_another() -> bool {
    processor() != Processor::Zen4
}

/// Whether a form is not compared: it stores the pointers of the last x87 instruction,
/// which AMD's processors keep for FXSAVE only while an exception is pending (APM vol. 2
/// 11.4.4), and Intel's for that and FNSTENV as FDP_EXCPTN_ONLY says (SDM vol. 1 8.1.8).
pub fn differs(code: Code) -> bool {
    forms::shows_x87_pointers(code) || code.mnemonic() == Mnemonic::Fxsave64
}

/// Where it is written that sequences may end differently, or that it is not; and whether
/// this one may.
type Excuse = (&'static str, fn(&Ends) -> bool);

/// How a sequence ended, by another processor and by AMD's of today.
struct Ends<'a> {
    case: &'a Case,
    other: &'a End,
    amd: &'a End,
}

const EXCUSES: &[Excuse] = &[
    (
        "PAUSE ignores REX.B (SDM vol. 2 PAUSE); 90 with it is XCHG (APM vol. 3 NOP)",
        |ends| ends.any(|insn, code| insn.mnemonic() == Mnemonic::Pause && has_rex_b(code)),
    ),
    (
        "PREFETCHW of a register: a NOP (SDM vol. 2 NOP), #UD (APM vol. 3 PREFETCHW)",
        |ends| ends.any(|_, code| is_hint(code, 0x0d..=0x0d, true)),
    ),
    (
        "LOCK of a reserved NOP: ignored (in no manual), #UD (APM vol. 3 1.2.5)",
        |ends| ends.any(|_, code| has_prefix(code, 0xf0) && is_hint(code, 0x18..=0x1f, false)),
    ),
    (
        "66 before a near branch: ignored (SDM vol. 2 JMP), RIP has 16 bits (APM vol. 3 1.2.2)",
        |ends| {
            let is_short = rip(ends.amd).is_some_and(|rip| rip <= 0xffff);
            ends.other != ends.amd && is_short && has_sized_branch(ends.case)
        },
    ),
    (
        "whether a call that is refused its target has pushed (in no manual)",
        |ends| ends.both(GP) && ends.last(|insn| insn.mnemonic() == Mnemonic::Call),
    ),
    (
        "alignment of vectors is checked (APM vol. 2 8.2.18) or not (SDM vol. 2 2.6, MOVUPS)",
        |ends| has(ends.amd, AC) && ends.last_of_amd(is_vector_access),
    ),
    (
        "which word of its frame a far return reads first (in no manual)",
        |ends| ends.both(PF) && ends.last(returns_far),
    ),
    (
        "which byte a masked store faults at (in no manual)",
        |ends| {
            use Mnemonic::{Maskmovdqu, Maskmovq, Vmaskmovdqu};
            let is = |name: Mnemonic| matches!(name, Maskmovdqu | Maskmovq | Vmaskmovdqu);
            ends.both(PF) && ends.last(|insn| is(insn.mnemonic()))
        },
    ),
    (
        "whether a fault comes before x87 registers become MMX registers (in no manual)",
        |ends| ends.other == ends.amd && ends.last(is_mmx),
    ),
    (
        "whether an x87 store with an exception looks at its operand (in no manual)",
        |ends| rip(ends.other) != rip(ends.amd) && ends.last_of_amd(is_x87_store),
    ),
    (
        "a store of more than 8 bytes may fault when it is half done (SDM vol. 3 9.1.1)",
        |ends| ends.both(PF) && ends.last(is_long_access),
    ),
    (
        "whether an area's header or its pages are looked at first (in no manual)",
        |ends| ends.refused() && ends.last(|insn| forms::has_area(insn.code())),
    ),
    (
        "32-bit addresses of a repeated instruction with nothing to do (in no manual)",
        |ends| ends.any(|insn, code| is_repeated(insn) && has_prefix(code, 0x67)),
    ),
    (
        "RF after a single step within a repeated instruction (SDM vol. 3 18.3.1.1)",
        |ends| ends.both(DB) && ends.last(is_repeated),
    ),
];

/// What AMD's Zen 3 does otherwise beside that.
const EXCUSES_OF_ZEN_3: &[Excuse] = &[
    (
        "whether all bytes are fetched of what the first ones make #UD (in no manual)",
        |ends| has(ends.other, UD) && has(ends.amd, PF) && rip(ends.other) == rip(ends.amd),
    ),
    (
        "whether the operand of SHA's instructions must be aligned (SDM vol. 2 2.4; Zen 3: no)",
        |ends| (has(ends.amd, GP) || has(ends.other, GP)) && ends.last(is_sha),
    ),
    (
        "what a gather that faults has made of its mask (in no manual)",
        |ends| ends.last(Instruction::is_vsib),
    ),
    (
        "whether a conversion that cannot be stored has raised flags of MXCSR (in no manual)",
        |ends| ends.last(|insn| insn.mnemonic() == Mnemonic::Vcvtps2ph),
    ),
    (
        "alignment of vectors is checked in more forms (in no manual)",
        |ends| has(ends.other, AC) && ends.last(is_vector_access),
    ),
    (
        "which word of its frame a far return checks first (in no manual)",
        |ends| ends.refused() && ends.last(returns_far),
    ),
    (
        "in which order, and of which parts, an area is looked at (in no manual)",
        |ends| ends.last(|insn| forms::has_area(insn.code())),
    ),
];

/// Whether the manuals let `case` end in both ways.
pub fn excuses(case: &Case, other: &Ending, amd: &Ending) -> bool {
    let ends = Ends {
        case,
        other: &other.end,
        amd: &amd.end,
    };
    let more = match processor() {
        Processor::Zen3 => EXCUSES_OF_ZEN_3,
        Processor::Zen4 | Processor::Intel => &[],
    };
    let mut all = EXCUSES.iter().chain(more);
    all.any(|(_, applies)| applies(&ends))
}

impl Ends<'_> {
    /// Whether an instruction of the sequence, with its bytes, `is` so.
    fn any(&self, is: impl Fn(&Instruction, &[u8]) -> bool) -> bool {
        let instructions = self.case.instructions();
        let mut all = instructions.iter().zip(&self.case.code);
        all.any(|(insn, code)| is(insn, code))
    }

    /// Whether the instruction at which one of the two faulted `is` so.
    fn last(&self, is: impl Fn(&Instruction) -> bool) -> bool {
        let rips = [self.other, self.amd].into_iter().filter_map(rip);
        let mut found = rips.filter_map(|rip| explain::instruction_at(self.case, rip));
        found.any(|insn| is(&insn))
    }

    /// Whether the instruction at which AMD's processor faulted `is` so.
    fn last_of_amd(&self, is: impl Fn(&Instruction) -> bool) -> bool {
        let insn = rip(self.amd).and_then(|rip| explain::instruction_at(self.case, rip));
        insn.is_some_and(|insn| is(&insn))
    }

    /// Whether each was refused an access.
    fn refused(&self) -> bool {
        let refused = |end: &End| has(end, PF) || has(end, GP);
        refused(self.amd) && refused(self.other)
    }

    /// Whether both faulted so.
    fn both(&self, vector: u8) -> bool {
        has(self.amd, vector) && has(self.other, vector)
    }
}

fn rip(end: &End) -> Option<u64> {
    match end {
        End::Fault(fault) => Some(fault.rip),
        _ => None,
    }
}

fn has(end: &End, vector: u8) -> bool {
    matches!(end, End::Fault(fault) if fault.vector == vector)
}

fn has_rex_b(code: &[u8]) -> bool {
    let mut prefixes = code.iter().take_while(|byte| is_prefix(byte));
    prefixes.any(|byte| byte & 0xf1 == 0x41)
}

fn has_prefix(code: &[u8], prefix: u8) -> bool {
    let mut prefixes = code.iter().take_while(|byte| is_prefix(byte));
    prefixes.any(|&byte| byte == prefix)
}

/// Whether there is a near branch with 66 before it anywhere, also in the middle of others.
fn has_sized_branch(case: &Case) -> bool {
    let code = case.code.concat();
    let mut starts = (0..code.len()).filter(|&at| code[at] == 0x66);
    starts.any(|at| {
        let mut rest = code[at..].iter().copied().skip_while(is_prefix);
        let [opcode, next] = [(); 2].map(|()| rest.next().unwrap_or(0));
        match opcode {
            0x70..=0x7f | 0xc2 | 0xc3 | 0xe0..=0xe3 | 0xe8 | 0xe9 | 0xeb => true,
            0x0f => matches!(next, 0x80..=0x8f),
            0xff => matches!(next >> 3 & 7, 2 | 4),
            _ => false,
        }
    })
}

/// Whether it is one of the opcodes 0f `opcodes`, perhaps with a register as its operand.
fn is_hint(code: &[u8], opcodes: RangeInclusive<u8>, of_register: bool) -> bool {
    let mut rest = code.iter().copied().skip_while(is_prefix);
    let [escape, opcode, modrm] = [(); 3].map(|()| rest.next().unwrap_or(0));
    escape == 0x0f && opcodes.contains(&opcode) && (!of_register || modrm >= 0xc0)
}

fn returns_far(insn: &Instruction) -> bool {
    use Mnemonic::{Iret, Iretd, Iretq, Retf};
    matches!(insn.mnemonic(), Iret | Iretd | Iretq | Retf)
}

fn is_long_access(insn: &Instruction) -> bool {
    insn.memory_size().size() > 8 || forms::has_area(insn.code())
}

fn is_vector_access(insn: &Instruction) -> bool {
    use Mnemonic::{Vcvtph2ps, Vcvtps2ph};
    let converts = matches!(insn.mnemonic(), Vcvtph2ps | Vcvtps2ph);
    insn.memory_size().size() >= 16 || insn.is_vsib() || converts
}

fn is_sha(insn: &Instruction) -> bool {
    insn.cpuid_features().contains(&CpuidFeature::SHA)
}

fn is_mmx(insn: &Instruction) -> bool {
    (0..insn.op_count()).any(|operand| insn.op_register(operand).is_mm())
}

fn is_x87_store(insn: &Instruction) -> bool {
    use Mnemonic::{Fbstp, Fist, Fistp, Fisttp, Fst, Fstp};
    matches!(insn.mnemonic(), Fst | Fstp | Fist | Fistp | Fisttp | Fbstp)
}
