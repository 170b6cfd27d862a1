//! Addresses of memory operands: first the place is picked, then an address that leads
//! there.

use iced_x86::{Instruction, Register};

use super::frame::RSP;
use super::generate::Generator;
use super::layout::{self, DATA_LEN, PAGE, PAGES, Rights, WRITABLE};
use super::{operands, xsave};

/// The requirements of an address.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// Bytes.
    pub size: u64,
    /// Whether the address is all in the instruction (`mov al, [moffs]`).
    pub absolute: bool,
}

/// Gives `instruction` an address, and says to which linear address it leads.
pub fn make(
    generator: &mut Generator,
    instruction: &mut Instruction,
    access: Access,
) -> Option<u64> {
    let linear = place(generator, access.size);
    let segment = match generator.rng.below(32) {
        0..2 => Register::FS,
        2..4 => Register::GS,
        4 => generator
            .rng
            .pick(&[Register::ES, Register::CS, Register::SS, Register::DS]),
        _ => Register::None,
    };
    instruction.set_segment_prefix(segment);
    let effective = linear.wrapping_sub(generator.segment_base(segment));
    let narrow = effective <= u64::from(u32::MAX) && generator.rng.chance(8);
    let made = if access.absolute {
        without_registers(instruction, effective, if narrow { 4 } else { 8 })
    } else {
        match generator.rng.below(8) {
            0 => relative(instruction, effective, narrow),
            1 => absolute(instruction, effective, narrow),
            _ => None,
        }
        .or_else(|| with_registers(generator, instruction, effective, narrow))
        .or_else(|| absolute(instruction, effective, narrow))
    };
    made.map(|()| linear)
}

/// A linear address for an access of `size` bytes: mostly in mapped pages.
pub fn place(generator: &mut Generator, size: u64) -> u64 {
    let data = layout::data(generator.slot);
    let rng = &mut generator.rng;
    if rng.chance(1) {
        return match rng.below(3) {
            0 => rng.bits(),
            1 => 1 << 47,
            _ => layout::LANDING + rng.below(PAGE),
        };
    }
    let page = match rng.below(100) {
        0..93 => rng.pick(&WRITABLE),
        93..97 => unwilling(Rights::ReadOnly),
        97..99 => unwilling(Rights::Unmapped),
        _ => unwilling(Rights::Supervisor),
    };
    let start = data + page as u64 * PAGE;
    let room = PAGE.saturating_sub(size).max(1);
    match rng.below(16) {
        // Across the end of the page, in steps that keep images aligned.
        0 if size > 256 => start + PAGE - unit(size) * (1 + rng.below(size / unit(size))),
        0 => start + PAGE - 1 - rng.below(size),
        1..6 => start + rng.below(room),
        _ => start + rng.below(room) / unit(size) * unit(size),
    }
}

/// The alignment that an access of `size` bytes may want.
fn unit(size: u64) -> u64 {
    match size {
        0..=1 => 1,
        2..=16 => size.next_power_of_two(),
        xsave::AREA => x86::xsave::ALIGN as u64,
        _ => 16,
    }
}

fn unwilling(rights: Rights) -> usize {
    PAGES.iter().position(|&page| page == rights).unwrap_or(0)
}

fn without_registers(instruction: &mut Instruction, effective: u64, size: u32) -> Option<()> {
    instruction.set_memory_displ_size(size);
    instruction.set_memory_displacement64(effective);
    Some(())
}

fn absolute(instruction: &mut Instruction, effective: u64, narrow: bool) -> Option<()> {
    if narrow {
        return without_registers(instruction, effective, 4);
    }
    let reachable = effective as i32 as i64 as u64 == effective;
    reachable.then(|| without_registers(instruction, effective, 8))?
}

fn relative(instruction: &mut Instruction, effective: u64, narrow: bool) -> Option<()> {
    let reach = u64::from(i32::MAX as u32) - DATA_LEN as u64 - PAGE;
    if effective > reach {
        return None;
    }
    instruction.set_memory_base(if narrow { Register::EIP } else { Register::RIP });
    without_registers(instruction, effective, if narrow { 4 } else { 8 })
}

fn with_registers(
    generator: &mut Generator,
    instruction: &mut Instruction,
    effective: u64,
    narrow: bool,
) -> Option<()> {
    let first = if narrow { Register::EAX } else { Register::RAX };
    let base = find(generator, |_| true)?;
    let index = match generator.rng.chance(40) {
        true => find(generator, |number| number != RSP && number != base),
        false => None,
    };
    let mut rest = effective;
    if let Some(index) = index {
        if generator.is_free(index) {
            let value = match generator.rng.chance(70) {
                true => generator.rng.below(64),
                false => generator.rng.integer(),
            };
            generator.assign(index, value);
        }
        let scale = 1 << generator.rng.below(4);
        instruction.set_memory_index(first + index as u32);
        instruction.set_memory_index_scale(scale);
        rest = rest.wrapping_sub(generator.known(index)?.wrapping_mul(u64::from(scale)));
    }
    instruction.set_memory_base(first + base as u32);
    if base == RSP && generator.is_free(RSP) {
        // Software-backed KVM cannot go back to a stack pointer that is not canonical.
        let stack = operands::stack_address(generator);
        generator.assign(RSP, stack);
    }
    if generator.is_free(base) {
        let displacement = match generator.rng.below(5) {
            0..2 => 0,
            2..4 => generator.rng.bits() as i8 as i64,
            _ => generator.rng.bits() as i32 as i64,
        } as u64;
        let value = rest.wrapping_sub(displacement);
        generator.assign(base, value);
        rest = displacement;
    } else {
        rest = rest.wrapping_sub(generator.known(base)?);
    }
    if narrow {
        rest = rest as i32 as i64 as u64;
    }
    if rest as i32 as i64 as u64 != rest {
        return None;
    }
    let size = match rest {
        0 if generator.rng.chance(90) => 0,
        _ if generator.rng.chance(80) => 1,
        _ if narrow => 4,
        _ => 8,
    };
    instruction.set_memory_displ_size(size);
    instruction.set_memory_displacement64(if narrow { u64::from(rest as u32) } else { rest });
    Some(())
}

/// A register that is free or known and that `fits`; preferably free.
fn find(generator: &mut Generator, fits: impl Fn(usize) -> bool) -> Option<usize> {
    for _ in 0..6 {
        let number = generator.rng.index(16);
        // RSP is for stacks.
        let usable = number != RSP || generator.rng.chance(20);
        if fits(number) && usable && generator.is_free(number) {
            return Some(number);
        }
    }
    (0..16).find(|&number| fits(number) && generator.known(number).is_some())
}
