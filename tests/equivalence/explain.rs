//! Excuses: endings of the processor, or of KVM in its place, that differ without a fault
//! of the emulator.

use iced_x86::{Code, CpuidFeature, Decoder, DecoderError, Instruction, Mnemonic, OpKind};
use x86::PageFaultErrorCode;
use x86::vector::{GP, PF, SS, UD};

use super::case::{Case, DECODER};
use super::ending::{End, Fault};
use super::operands;

/// Whether nothing can be said of `case`, which ended in `reference` and, in the emulator,
/// in `tested`. Where the processor raises #GP(0) software-backed KVM looks for itself: it
/// executes `fxsave` and `fxrstor` though the image is misaligned; it takes the prefixes
/// for ES, CS, SS and DS to mean something, also after one for FS or GS; and with these two
/// it wants the sum of base and offset to be canonical, but not the offset.
pub fn is_leniently_executed(case: &Case, reference: &End, tested: &End) -> bool {
    let fault = match tested {
        End::Fault(fault) if matches!(fault.vector, SS | GP) => fault,
        _ => return false,
    };
    if reference == tested {
        return false;
    }
    let Some(instruction) = instruction_at(case, fault.rip) else {
        return false;
    };
    let code = case.code_at(fault.rip);
    let prefixes = || code.iter().copied().take_while(is_prefix);
    let refused =
        matches!(reference, End::Fault(other) if (other.vector, other.rip) == (GP, fault.rip));
    prefixes().any(|byte| matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e))
        || prefixes().any(|byte| matches!(byte, 0x64 | 0x65)) && !refused
        || operands::must_be_aligned(instruction.code()) && !refused
}

/// Whether `end` says only that the host was slow: Linux holds up who locks a word across
/// cache lines (kernel documentation, arch/x86/buslock.rst).
pub fn is_held_up(case: &Case, end: &End) -> bool {
    *end == End::Stuck && case.instructions().iter().any(locks)
}

/// Whether an instruction locks its operand in memory.
pub fn locks(instruction: &Instruction) -> bool {
    let exchanges = instruction.mnemonic() == Mnemonic::Xchg;
    instruction.has_lock_prefix() || exchanges && instruction.op_kinds().any(is_memory)
}

/// Whether a byte comes before an opcode: a legacy prefix or REX.
pub fn is_prefix(byte: &u8) -> bool {
    let segment = matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65);
    let size = matches!(byte, 0x66 | 0x67);
    segment || size || matches!(byte, 0x40..=0x4f | 0xf0 | 0xf2 | 0xf3)
}

/// Whether different ends of `case` say nothing against the emulator.
///
/// Software-backed KVM looks at instructions that the processor refuses in ring 3 with its
/// own emulator. That knows few but basic integer instructions, and not AMD's
/// `lock mov cr0`, which iced has as invalid (so that #GP becomes #UD), stores descriptor
/// table registers before it finds that UMIP forbids it, checks for privilege before it
/// finds an encoding invalid, reads what it cannot load into CS, takes REX.R for a part of
/// a segment register's number, takes the stack segment to come before the alignment of
/// operands of 16 bytes, wants the first byte of an operand to be canonical but not the
/// last, reads rsi's operand of `cmps` first, and has descriptor tables of its own, so that
/// far returns are refused with other error codes. It makes #UD of `int n`, which may be
/// found in the middle of other instructions, and has page tables of its own for the upper
/// half, which ring 3 must not touch.
///
/// And no manual says which operand of `cmps` is read first (AMD's processors read rdi's,
/// but rsi's in `repe cmpsb`, and in that alone), nor whether all bytes of an instruction
/// that there is not must be there. An instruction that ends behind `case` is not looked
/// at: it may be one of those.
pub fn is_explained(case: &Case, reference: &End, tested: &End) -> bool {
    const FETCH: u64 = PageFaultErrorCode::INSTRUCTION_FETCH.bits();
    let (End::Fault(reference), End::Fault(tested)) = (reference, tested) else {
        return false;
    };
    if is_gate_refused(reference, tested) || is_upper_half_hidden(reference, tested) {
        return true;
    }
    let instruction = match instruction_at(case, tested.rip) {
        Some(instruction) if tested.rip == reference.rip => instruction,
        None if tested.rip == reference.rip => {
            return matches!((reference.vector, tested.vector), (UD, GP | SS));
        }
        _ => return false,
    };
    let has_memory = instruction.op_kinds().any(is_memory);
    let of_umip = matches!(
        instruction.mnemonic(),
        Mnemonic::Sgdt | Mnemonic::Sidt | Mnemonic::Sldt | Mnemonic::Str | Mnemonic::Smsw
    );
    let code = case.code_at(tested.rip);
    match (reference.vector, tested.vector) {
        (UD, GP | SS) if instruction.is_invalid() => true,
        (UD, GP | SS) if has_memory && opcode(&code) == Some(STORE_SEGMENT) => has_rex_r(&code),
        (UD, GP | SS) => has_memory && !is_of_basic_set(&instruction),
        (PF, GP | SS) if has_memory && reaches_hole(reference, &instruction) => true,
        (PF | SS, GP) if has_memory && of_umip => true,
        (PF, GP) | (GP, PF) => compares_strings(&instruction),
        (PF, PF) => instruction.code() == Code::Cmpsb_m8_m8 && instruction.has_rep_prefix(),
        (SS, GP) => instruction.memory_size().size() == 16,
        (PF, UD) if instruction.is_invalid() => {
            reference.error_code & FETCH != 0 || opcode(&code) == Some(LOAD_SEGMENT)
        }
        (GP, UD) => instruction.is_invalid(),
        (GP, GP) => returns_far(&instruction),
        _ => false,
    }
}

/// Whether it is one of the integer instructions that every x86-64 processor has.
fn is_of_basic_set(instruction: &Instruction) -> bool {
    use CpuidFeature::{INTEL186, INTEL286, INTEL386, INTEL486, INTEL8086, X64};
    let mut features = instruction.cpuid_features().iter();
    features
        .all(|feature| [INTEL8086, INTEL186, INTEL286, INTEL386, INTEL486, X64].contains(feature))
}

/// Whether a page fault was at an operand that begins in the lower half of the address space
/// and ends behind it.
fn reaches_hole(fault: &Fault, instruction: &Instruction) -> bool {
    const LOWER_HALF: u64 = 1 << 47;
    let size = instruction.memory_size().size() as u64;
    fault.address < LOWER_HALF && fault.address.saturating_add(size) > LOWER_HALF
}

/// One-byte opcodes.
const LOAD_SEGMENT: u8 = 0x8e;
const STORE_SEGMENT: u8 = 0x8c;
pub const ENTER: u8 = 0xc8;

/// The first byte of `code` that is no prefix.
pub fn opcode(code: &[u8]) -> Option<u8> {
    code.iter().copied().find(|byte| !is_prefix(byte))
}

/// Whether the prefixes of `code` end in REX with bit R.
fn has_rex_r(code: &[u8]) -> bool {
    let last = code.iter().take_while(|byte| is_prefix(byte)).last();
    last.is_some_and(|byte| byte & 0xf4 == 0x44)
}

/// Whether one has #UD where the other has `int n` to a gate that is not for ring 3: only
/// that has an error code that speaks of the IDT.
fn is_gate_refused(reference: &Fault, tested: &Fault) -> bool {
    const IDT: u64 = 1 << 1;
    reference.rip == tested.rip
        && (reference.vector, tested.vector) == (UD, GP)
        && tested.error_code & IDT != 0
}

/// Whether two page faults in the upper half differ only in what the page tables say:
/// whether a page is there, and whether its entry makes sense.
fn is_upper_half_hidden(reference: &Fault, tested: &Fault) -> bool {
    const PRESENT_OR_RESERVED: u64 = PageFaultErrorCode::PROTECTION_VIOLATION
        .union(PageFaultErrorCode::MALFORMED_TABLE)
        .bits();
    let access = |fault: &Fault| Fault {
        error_code: fault.error_code & !PRESENT_OR_RESERVED,
        ..*fault
    };
    tested.vector == PF && (tested.address as i64) < 0 && access(reference) == access(tested)
}

/// The instruction at `rip`, which may be in the middle of one that `case` was made of;
/// `None` if it ends behind the case.
pub fn instruction_at(case: &Case, rip: u64) -> Option<Instruction> {
    let code = case.code_at(rip);
    let mut decoder = Decoder::with_ip(64, &code, rip, DECODER);
    let instruction = decoder.decode();
    (decoder.last_error() != DecoderError::NoMoreBytes).then_some(instruction)
}

fn is_memory(kind: OpKind) -> bool {
    !matches!(
        kind,
        OpKind::Register
            | OpKind::NearBranch64
            | OpKind::Immediate8
            | OpKind::Immediate8_2nd
            | OpKind::Immediate16
            | OpKind::Immediate32
            | OpKind::Immediate64
            | OpKind::Immediate8to16
            | OpKind::Immediate8to32
            | OpKind::Immediate8to64
            | OpKind::Immediate32to64
    )
}

fn returns_far(instruction: &Instruction) -> bool {
    use Mnemonic::{Iret, Iretd, Iretq, Retf};
    matches!(instruction.mnemonic(), Iret | Iretd | Iretq | Retf)
}

fn compares_strings(instruction: &Instruction) -> bool {
    matches!(
        instruction.code(),
        Code::Cmpsb_m8_m8 | Code::Cmpsw_m16_m16 | Code::Cmpsd_m32_m32 | Code::Cmpsq_m64_m64
    )
}
