//! Operands for one instruction: registers, immediates, targets, prefixes.

use iced_x86::{
    Code, CodeSize, Instruction, MemorySize, Mnemonic, OpCodeOperandKind, OpKind, Register,
};

use super::address::{self, Access};
use super::generate::Generator;
use super::{explain, forms, implicit, layout, xsave};

/// An instruction of form `code` with random operands, and the item that it branches to
/// if it does. `None` if they came out impossible; try again.
pub fn make(generator: &mut Generator, code: Code) -> Option<(Instruction, Option<usize>)> {
    let mut instruction = Instruction::new();
    instruction.set_code(code);
    instruction.set_code_size(CodeSize::Code64);
    let info = code.op_code();
    let mut target = None;
    let mut address = None;
    let mut immediates = 0;
    for operand in 0..info.op_count() {
        use OpCodeOperandKind as K;
        let kind = info.op_kind(operand);
        match kind {
            K::mem_vsib32x | K::mem_vsib64x | K::mem_vsib32y | K::mem_vsib64y => {
                gathered(generator, &mut instruction, operand, kind)?;
            }
            K::mem | K::mem_offs => {
                address = Some(memory(generator, &mut instruction, operand, kind)?);
            }
            K::r8_or_mem
            | K::r16_or_mem
            | K::r32_or_mem
            | K::r64_or_mem
            | K::mm_or_mem
            | K::xmm_or_mem
            | K::ymm_or_mem
                if generator.rng.chance(50) =>
            {
                address = Some(memory(generator, &mut instruction, operand, kind)?);
            }
            K::br64_1 | K::br64_4 => {
                instruction.set_op_kind(operand, OpKind::NearBranch64);
                target = Some(generator.forward());
            }
            K::seg_rSI | K::es_rDI | K::seg_rDI | K::seg_rBX_al => {
                set_string_operand(generator, &mut instruction, operand, kind);
            }
            _ => match immediate_kind(kind, immediates) {
                Some(immediate) => {
                    immediates += 1;
                    instruction.set_op_kind(operand, immediate);
                    let value = match kind {
                        K::imm8_const_1 => 1,
                        _ => generator.rng.integer(),
                    };
                    instruction.set_immediate_u64(operand, value);
                }
                None => {
                    let register = register(generator, kind)?;
                    instruction.set_op_kind(operand, OpKind::Register);
                    instruction.set_op_register(operand, register);
                }
            },
        }
    }
    add_prefixes(generator, &mut instruction);
    if explain::locks(&instruction) && address.is_some_and(|at| splits(at, &instruction)) {
        return None;
    }
    implicit::arrange(generator, &mut instruction, address)?;
    defined(generator, &instruction).then_some((instruction, target))
}

/// Whether an operand at `address` lies in two cache lines: see [`explain::is_held_up`].
fn splits(address: u64, instruction: &Instruction) -> bool {
    const LINE: u64 = 64;
    address % LINE + instruction.memory_size().size() as u64 > LINE
}

/// Which immediate an operand is. 1 as a constant has its own kind.
fn immediate_kind(kind: OpCodeOperandKind, before: u32) -> Option<OpKind> {
    use OpCodeOperandKind as K;
    Some(match kind {
        K::imm8 | K::imm8_const_1 if before > 0 => OpKind::Immediate8_2nd,
        K::imm8 | K::imm8_const_1 => OpKind::Immediate8,
        K::imm8sex16 => OpKind::Immediate8to16,
        K::imm8sex32 => OpKind::Immediate8to32,
        K::imm8sex64 => OpKind::Immediate8to64,
        K::imm16 => OpKind::Immediate16,
        K::imm32 => OpKind::Immediate32,
        K::imm32sex64 => OpKind::Immediate32to64,
        K::imm64 => OpKind::Immediate64,
        _ => return None,
    })
}

fn register(generator: &mut Generator, kind: OpCodeOperandKind) -> Option<Register> {
    use OpCodeOperandKind as K;
    let rng = &mut generator.rng;
    let general = |rng: &mut super::rng::Rng, first: Register| {
        let number = rng.below(16) as u32;
        match number == super::frame::RSP as u32 && rng.chance(80) {
            true => first,
            false => first + number,
        }
    };
    Some(match kind {
        K::r8_or_mem | K::r8_reg | K::r8_opcode => Register::AL + rng.below(20) as u32,
        K::r16_or_mem | K::r16_reg | K::r16_reg_mem | K::r16_rm | K::r16_opcode => {
            general(rng, Register::AX)
        }
        K::r32_or_mem | K::r32_reg | K::r32_reg_mem | K::r32_rm | K::r32_opcode | K::r32_vvvv => {
            general(rng, Register::EAX)
        }
        K::r64_or_mem | K::r64_reg | K::r64_reg_mem | K::r64_rm | K::r64_opcode | K::r64_vvvv => {
            general(rng, Register::RAX)
        }
        K::mm_or_mem | K::mm_reg | K::mm_rm => Register::MM0 + rng.below(8) as u32,
        K::xmm_or_mem | K::xmm_reg | K::xmm_rm | K::xmm_vvvv | K::xmm_is4 => {
            Register::XMM0 + rng.below(16) as u32
        }
        K::ymm_or_mem | K::ymm_reg | K::ymm_rm | K::ymm_vvvv | K::ymm_is4 => {
            Register::YMM0 + rng.below(16) as u32
        }
        K::sti_opcode => Register::ST0 + rng.below(8) as u32,
        K::st0 => Register::ST0,
        K::seg_reg => Register::ES + rng.below(6) as u32,
        K::fs => Register::FS,
        K::gs => Register::GS,
        K::cr_reg => rng.pick(&[
            Register::CR0,
            Register::CR2,
            Register::CR3,
            Register::CR4,
            Register::CR8,
        ]),
        K::dr_reg => Register::DR0 + rng.below(8) as u32,
        K::al => Register::AL,
        K::cl => Register::CL,
        K::ax => Register::AX,
        K::dx => Register::DX,
        K::eax => Register::EAX,
        K::rax => Register::RAX,
        _ => return None,
    })
}

fn memory(
    generator: &mut Generator,
    instruction: &mut Instruction,
    operand: u32,
    kind: OpCodeOperandKind,
) -> Option<u64> {
    instruction.set_op_kind(operand, OpKind::Memory);
    let size = instruction.memory_size();
    let access = Access {
        size: match forms::has_area(instruction.code()) {
            true => xsave::AREA,
            false => size.size().max(1) as u64,
        },
        absolute: kind == OpCodeOperandKind::mem_offs,
    };
    let address = address::make(generator, instruction, access)?;
    if !is_suitable(instruction.code(), address) {
        return None;
    }
    if generator.rng.chance(60) {
        let bytes = value(generator, size);
        generator.patch(address, &bytes);
    }
    Some(address)
}

/// A vector of addresses: a base and, as the index, a vector register of small numbers.
fn gathered(
    generator: &mut Generator,
    instruction: &mut Instruction,
    operand: u32,
    kind: OpCodeOperandKind,
) -> Option<()> {
    use OpCodeOperandKind as K;
    instruction.set_op_kind(operand, OpKind::Memory);
    let access = Access {
        size: instruction.memory_size().size().max(1) as u64,
        absolute: false,
    };
    address::make(generator, instruction, access)?;
    if instruction.memory_index() != Register::None || instruction.is_ip_rel_memory_operand() {
        return None;
    }
    let first = match kind {
        K::mem_vsib32x | K::mem_vsib64x => Register::XMM0,
        _ => Register::YMM0,
    };
    let number = generator.rng.index(16);
    let wide = matches!(kind, K::mem_vsib64x | K::mem_vsib64y);
    generator.assign_indices(number, wide)?;
    instruction.set_memory_index(first + number as u32);
    instruction.set_memory_index_scale(1 << generator.rng.below(4));
    Some(())
}

/// Whether every reference does with an operand at `address` what the processor does.
/// Where the processor raises #GP(0), software-backed KVM looks for itself: it executes
/// `fxsave` and `fxrstor` though they are misaligned, and takes #SS(0) to come first
/// where a `cmpxchg16b` is misaligned and not canonical. (Natively both are #GP(0).)
fn is_suitable(code: Code, address: u64) -> bool {
    let aligned = address.is_multiple_of(16);
    let canonical = (address as i64) << 16 >> 16 == address as i64;
    match code {
        Code::Cmpxchg16b_m128 => aligned || canonical,
        _ => aligned || !must_be_aligned(code),
    }
}

/// Whether it is not generated with a misaligned operand.
pub fn must_be_aligned(code: Code) -> bool {
    matches!(
        code,
        Code::Fxsave_m512byte
            | Code::Fxsave64_m512byte
            | Code::Fxrstor_m512byte
            | Code::Fxrstor64_m512byte
    )
}

/// An interesting value for a memory operand.
fn value(generator: &mut Generator, size: MemorySize) -> Vec<u8> {
    let rng = &mut generator.rng;
    let mut bytes = Vec::new();
    while bytes.len() < size.size() {
        match size.element_type() {
            MemorySize::Float32 => bytes.extend(rng.single().to_le_bytes()),
            MemorySize::Float64 => bytes.extend(rng.double().to_le_bytes()),
            MemorySize::Float80 => bytes.extend(rng.extended()),
            element => {
                let word = rng.integer().to_le_bytes();
                bytes.extend(&word[..element.size().clamp(1, 8)]);
            }
        }
    }
    bytes.truncate(size.size());
    bytes
}

fn set_string_operand(
    generator: &mut Generator,
    instruction: &mut Instruction,
    operand: u32,
    kind: OpCodeOperandKind,
) {
    use OpCodeOperandKind as K;
    // Both operands of an instruction have one address size.
    let narrow = match operand {
        0 => generator.rng.chance(8),
        _ => matches!(
            instruction.op0_kind(),
            OpKind::MemorySegESI | OpKind::MemoryESEDI | OpKind::MemorySegEDI
        ),
    };
    let kind = match (kind, narrow) {
        (K::seg_rSI, false) => OpKind::MemorySegRSI,
        (K::seg_rSI, true) => OpKind::MemorySegESI,
        (K::es_rDI, false) => OpKind::MemoryESRDI,
        (K::es_rDI, true) => OpKind::MemoryESEDI,
        (K::seg_rDI, false) => OpKind::MemorySegRDI,
        (K::seg_rDI, true) => OpKind::MemorySegEDI,
        _ => {
            instruction.set_memory_base(if narrow { Register::EBX } else { Register::RBX });
            instruction.set_memory_index(Register::AL);
            OpKind::Memory
        }
    };
    instruction.set_op_kind(operand, kind);
}

fn add_prefixes(generator: &mut Generator, instruction: &mut Instruction) {
    let info = instruction.op_code();
    let rng = &mut generator.rng;
    if info.can_use_lock_prefix() && instruction.op0_kind() == OpKind::Memory && rng.chance(25) {
        instruction.set_has_lock_prefix(true);
    }
    if info.can_use_rep_prefix() && rng.chance(60) {
        instruction.set_has_rep_prefix(true);
    } else if info.can_use_repne_prefix() && rng.chance(50) {
        instruction.set_has_repne_prefix(true);
    }
}

/// Whether the manuals define what the instruction does with these operands.
pub fn defined(generator: &Generator, instruction: &Instruction) -> bool {
    match instruction.code() {
        // A double shift by more than the operand's width.
        Code::Shld_rm16_r16_imm8 | Code::Shrd_rm16_r16_imm8 => instruction.immediate8() & 31 <= 16,
        Code::Shld_rm16_r16_CL | Code::Shrd_rm16_r16_CL => {
            const RCX: usize = 1;
            generator.known(RCX).is_some_and(|count| count & 31 <= 16)
        }
        Code::Bswap_r16 => false,
        _ => instruction.mnemonic() != Mnemonic::INVALID,
    }
}

/// Somewhere in the writable pages for a stack, with room on both sides.
pub fn stack_address(generator: &mut Generator) -> u64 {
    let data = layout::data(generator.slot);
    let rng = &mut generator.rng;
    match rng.below(16) {
        0 => data + rng.below(layout::DATA_LEN as u64),
        1 => data + layout::PAGE + rng.below(16) * 8,
        2 => data + layout::PAGE / 4 + rng.below(layout::PAGE),
        _ => data + layout::PAGE / 4 + rng.below(layout::PAGE / 8) * 8,
    }
}
