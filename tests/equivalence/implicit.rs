//! Implicit operands: gives them mostly valid values too, so that there is more than faults
//! to compare.

use iced_x86::{Instruction, Mnemonic, OpKind};
use x86::RFlags;

use super::generate::Generator;
use super::layout;
use super::{address, forms, frame::RSP, fx, operands, xsave};

pub const RAX: usize = 0;
const RCX: usize = 1;
const RDX: usize = 2;
const RBX: usize = 3;
const RBP: usize = 5;
const RSI: usize = 6;
const RDI: usize = 7;

/// Arranges registers and memory for `instruction`, whose memory operand, if it has one,
/// is at `address`. `None` if it cannot be made to do anything of interest.
pub fn arrange(
    generator: &mut Generator,
    instruction: &mut Instruction,
    address: Option<u64>,
) -> Option<()> {
    use Mnemonic as M;
    if instruction.is_string_instruction() {
        strings(generator, instruction);
    }
    if instruction.is_stack_instruction() && generator.is_free(RSP) {
        let stack = operands::stack_address(generator);
        generator.assign(RSP, stack);
    }
    match instruction.mnemonic() {
        M::Xlatb => point(generator, RBX, 256),
        M::Maskmovq | M::Maskmovdqu | M::Vmaskmovdqu => point(generator, RDI, 16),
        M::Enter => {
            point(generator, RBP, 8);
            if generator.rng.chance(80) {
                instruction.set_immediate16(generator.rng.below(64) as u16);
            }
        }
        M::Leave => point(generator, RBP, 8),
        M::Div | M::Idiv => dividend(generator),
        M::Cmpxchg | M::Cmpxchg8b | M::Cmpxchg16b => equal(generator, address),
        M::Bt | M::Bts | M::Btr | M::Btc => bit_offset(generator, instruction),
        M::Shld | M::Shrd => small(generator, RCX, 17),
        M::Popf | M::Popfq => flags_on_stack(generator),
        M::Ret => {
            if let Some(stack) = generator.known(RSP) {
                generator.patch_label(stack);
            }
        }
        M::Jmp | M::Call => branch_target(generator, instruction, address)?,
        M::Ldmxcsr | M::Vldmxcsr => {
            let mut value = fx::mxcsr(&mut generator.rng);
            if generator.rng.chance(5) {
                value |= 1 << 16 << generator.rng.below(16);
            }
            patch(generator, address, &value.to_le_bytes());
        }
        M::Fldcw | M::Fldenv | M::Frstor => {
            let control = fx::control_word(&mut generator.rng);
            patch(generator, address, &control.to_le_bytes());
        }
        M::Fxrstor | M::Fxrstor64 => {
            let image = fx::image(&mut generator.rng);
            patch(generator, address, &image);
        }
        _ if forms::has_area(instruction.code()) => {
            xsave::arrange(generator, instruction, address)?
        }
        M::Fbld => {
            let digits = decimal(generator);
            patch(generator, address, &digits);
        }
        _ => {}
    }
    Some(())
}

pub fn patch(generator: &mut Generator, address: Option<u64>, bytes: &[u8]) {
    if let Some(address) = address {
        generator.patch(address, bytes);
    }
}

/// Has a free register point to data.
fn point(generator: &mut Generator, number: usize, size: u64) {
    if generator.is_free(number) {
        let place = address::place(generator, size);
        generator.assign(number, place);
    }
}

/// Has a free register hold a number below `end`, mostly.
fn small(generator: &mut Generator, number: usize, end: u64) {
    if generator.is_free(number) {
        let value = generator.rng.below(end);
        let high = match generator.rng.chance(30) {
            true => generator.rng.bits() << 8,
            false => 0,
        };
        generator.assign(number, value | high);
    }
}

fn strings(generator: &mut Generator, instruction: &Instruction) {
    let size = instruction.memory_size().size().max(1) as u64;
    for (i, kind) in instruction.op_kinds().enumerate() {
        let number = match kind {
            OpKind::MemorySegRSI | OpKind::MemorySegESI => RSI,
            OpKind::MemoryESRDI | OpKind::MemoryESEDI => RDI,
            _ => continue,
        };
        let segment = match i {
            _ if number == RDI => iced_x86::Register::ES,
            _ => instruction.memory_segment(),
        };
        if generator.is_free(number) {
            let place = address::place(generator, size);
            let offset = place.wrapping_sub(generator.segment_base(segment));
            generator.assign(number, offset);
        }
    }
    let repeated = instruction.has_rep_prefix() || instruction.has_repne_prefix();
    if repeated && generator.is_free(RCX) {
        let count = match generator.rng.below(10) {
            0 => 0,
            1 => generator.rng.below(0x1000),
            _ => generator.rng.below(40),
        };
        generator.assign(RCX, count);
    }
}

/// A dividend whose quotient fits, mostly.
fn dividend(generator: &mut Generator) {
    if generator.rng.chance(25) {
        return;
    }
    if generator.is_free(RDX) {
        let value = match generator.rng.below(4) {
            0 => u64::MAX,
            1 => generator.rng.below(16),
            _ => 0,
        };
        generator.assign(RDX, value);
    }
    if generator.is_free(RAX) && generator.rng.chance(60) {
        let value = generator.rng.bits() >> 32 >> generator.rng.below(32);
        generator.assign(RAX, value);
    }
}

/// Has RDX:RAX equal the word in memory, sometimes.
fn equal(generator: &mut Generator, address: Option<u64>) {
    if let Some(address) = address
        && generator.rng.chance(60)
        && (generator.is_free(RAX) || generator.known(RAX).is_some())
    {
        for number in [RAX, RDX] {
            if generator.is_free(number) {
                let value = generator.rng.integer();
                generator.assign(number, value);
            }
        }
        let low = generator.known(RAX).unwrap_or(0);
        generator.patch(address, &low.to_le_bytes());
        if let Some(high) = generator.known(RDX) {
            // After the low word, wherever the operand's size has that end.
            generator.patch(address.wrapping_add(8), &high.to_le_bytes());
        }
    }
}

/// Bit offsets in registers reach far from a memory operand.
fn bit_offset(generator: &mut Generator, instruction: &Instruction) {
    if instruction.op1_kind() == OpKind::Register {
        let number = instruction.op1_register().full_register().number();
        if generator.is_free(number) {
            let offset = generator.rng.below(1024).wrapping_sub(512);
            generator.assign(number, offset);
        }
    }
}

fn flags_on_stack(generator: &mut Generator) {
    const TF: u64 = RFlags::TRAP_FLAG.bits();
    const NT: u64 = RFlags::NESTED_TASK.bits();
    const AC: u64 = RFlags::ALIGNMENT_CHECK.bits();
    if let Some(stack) = generator.known(RSP) {
        let mut flags = generator.rng.bits() & !(TF | NT);
        if generator.rng.chance(90) {
            flags &= !AC;
        }
        generator.patch(stack, &flags.to_le_bytes());
    }
}

fn branch_target(
    generator: &mut Generator,
    instruction: &Instruction,
    address: Option<u64>,
) -> Option<()> {
    match (instruction.op0_kind(), address) {
        (OpKind::Register, _) => {
            let number = instruction.op0_register().number();
            if generator.is_free(number) && number != RSP {
                generator.assign_label(number);
            } else if !generator.rng.chance(10) {
                return None;
            }
        }
        (OpKind::Memory, Some(address)) => generator.patch_label(address),
        _ => {}
    }
    Some(())
}

/// A packed decimal number, mostly of digits.
fn decimal(generator: &mut Generator) -> [u8; 10] {
    let rng = &mut generator.rng;
    let digits = 2 * rng.below(10);
    std::array::from_fn(|i| match i as u64 {
        9 => rng.pick(&[0, 0x80]),
        i if 2 * i < digits => (rng.below(10) << 4 | rng.below(10)) as u8,
        _ if rng.chance(2) => rng.bits() as u8,
        _ => 0,
    })
}

/// Bytes that a stack needs around RSP are always there: see [`operands::stack_address`].
const _: () = assert!(layout::PAGE / 4 > 64 * 8);
