//! Flags that an instruction leaves undefined (AMD APM vol. 3), followed through a
//! sequence so that they are left out where, and only where, they can still be seen.
//!
//! Processors give some value, and always the same; but AMD's and Intel's differ, and the
//! emulator need not match either. iced's tables say which flags these are.

use iced_x86::{Code, FlowControl, Instruction, Mnemonic, OpKind, RflagsBits};

/// The flags undefined when control is at `rip`, as [`RflagsBits`]. Branches go forward
/// within a sequence; at an address that is no instruction's, whatever was undefined
/// anywhere may still be.
pub fn at(instructions: &[Instruction], rip: u64) -> u32 {
    let mut incoming = vec![0; instructions.len() + 1];
    let mut anywhere = 0;
    for (i, instruction) in instructions.iter().enumerate() {
        let after = after(instruction, incoming[i]);
        anywhere |= after;
        if falls_through(instruction) {
            incoming[i + 1] |= after;
        }
        let target = match instruction.op0_kind() {
            OpKind::NearBranch64 => Some(instruction.near_branch_target()),
            _ => None,
        };
        for (j, other) in instructions.iter().enumerate().skip(i + 1) {
            let indirect =
                target.is_none() && !matches!(instruction.flow_control(), FlowControl::Next);
            if indirect || target == Some(other.ip()) {
                incoming[j] |= after;
            }
        }
        if let Some(last) = instructions.last()
            && target.is_none_or(|target| target == last.next_ip())
            && instruction.flow_control() != FlowControl::Next
        {
            incoming[instructions.len()] |= after;
        }
    }
    let ends = instructions.last().map(Instruction::next_ip);
    match instructions
        .iter()
        .position(|instruction| instruction.ip() == rip)
    {
        // A trap reports the address of the next instruction, a fault its own.
        Some(at) if is_repeated(&instructions[at]) => {
            incoming[at] | instructions[at].rflags_modified()
        }
        Some(at) => incoming[at],
        None if ends == Some(rip) => incoming[instructions.len()],
        None => anywhere,
    }
}

/// What is undefined after `instruction` when `before` was before it.
pub fn after(instruction: &Instruction, before: u32) -> u32 {
    let undefined = undefined_by(instruction);
    if writes_conditionally(instruction) {
        return before | undefined;
    }
    before & !instruction.rflags_modified() | undefined
}

/// Whether one of `instructions` may use flags that another left undefined: a branch may
/// skip what defines them again.
pub fn is_used(instructions: &[Instruction]) -> bool {
    let (mut undefined, mut branches) = (0, false);
    instructions.iter().any(|instruction| {
        let used = read_by(instruction) & undefined != 0;
        let skipped = if branches { undefined } else { 0 };
        undefined = after(instruction, undefined) | skipped;
        branches |= instruction.flow_control() != FlowControl::Next;
        used
    })
}

/// What iced says, and what it leaves out: it takes a rotation through carry by one more
/// than the operand's width, or a multiple, for none at all, but it sets OF to something.
fn undefined_by(instruction: &Instruction) -> u32 {
    let rotates = matches!(instruction.mnemonic(), Mnemonic::Rcl | Mnemonic::Rcr);
    let by_immediate = instruction.op1_kind() == OpKind::Immediate8;
    let overflow = match rotates && by_immediate && instruction.immediate8() & 0x3f > 1 {
        true => RflagsBits::OF,
        false => 0,
    };
    instruction.rflags_undefined() | overflow
}

/// Whether it may leave the flags as they were, depending on data.
fn writes_conditionally(instruction: &Instruction) -> bool {
    let by_count = instruction.op_count() > 1
        && instruction.op_kind(instruction.op_count() - 1) == OpKind::Register
        && instruction.op_register(instruction.op_count() - 1) == iced_x86::Register::CL
        && matches!(
            instruction.mnemonic(),
            Mnemonic::Rol
                | Mnemonic::Ror
                | Mnemonic::Rcl
                | Mnemonic::Rcr
                | Mnemonic::Shl
                | Mnemonic::Sal
                | Mnemonic::Shr
                | Mnemonic::Sar
                | Mnemonic::Shld
                | Mnemonic::Shrd
        );
    by_count || is_repeated(instruction)
}

/// Whether it is a string instruction that is repeated. If one of its elements faults,
/// the flags are those of the element before on AMD's processors, and those from before
/// the instruction on Intel's.
pub fn is_repeated(instruction: &Instruction) -> bool {
    let repeated = instruction.has_rep_prefix() || instruction.has_repne_prefix();
    repeated && instruction.is_string_instruction()
}

fn falls_through(instruction: &Instruction) -> bool {
    match instruction.flow_control() {
        FlowControl::UnconditionalBranch
        | FlowControl::IndirectBranch
        | FlowControl::Return
        | FlowControl::Exception => instruction.code() == Code::INVALID,
        _ => true,
    }
}

/// Flags whose value `instruction` lets out: a sequence must not use them while they are
/// undefined.
pub fn read_by(instruction: &Instruction) -> u32 {
    const ALL: u32 = RflagsBits::CF
        | RflagsBits::PF
        | RflagsBits::AF
        | RflagsBits::ZF
        | RflagsBits::SF
        | RflagsBits::OF;
    const CONDITIONS: u32 = RflagsBits::C0 | RflagsBits::C1 | RflagsBits::C2 | RflagsBits::C3;
    match instruction.mnemonic() {
        Mnemonic::Pushf | Mnemonic::Pushfq => ALL,
        Mnemonic::Fnstsw
        | Mnemonic::Fstsw
        | Mnemonic::Fnstenv
        | Mnemonic::Fstenv
        | Mnemonic::Fnsave
        | Mnemonic::Fsave
        | Mnemonic::Fxsave
        | Mnemonic::Fxsave64 => CONDITIONS,
        _ => instruction.rflags_read(),
    }
}
