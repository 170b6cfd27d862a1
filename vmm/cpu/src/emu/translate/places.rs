//! Where the guest's registers are in translated code: see [`frame`](super::frame).

use std::mem::offset_of;

use iced_x86::{MemoryOperand, Register};

use crate::emu::translate::assembler::at;
use crate::emu::translate::frame::Frame;

/// The two registers that are free between instructions. Addresses are made in the second.
pub const FREE: Register = Register::RAX;
pub const ADDRESS: Register = Register::R15;
/// The guest's stack pointer, and the budget.
pub const STACK: Register = Register::R13;
pub const BUDGET: Register = Register::R14;

/// Where a general register of the guest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this register of the host, all 64 bits of it.
    Host(Register),
    /// In the frame, this far from rsp.
    Frame(i64),
}

impl Place {
    /// Of the register with all of `guest`'s bits.
    pub fn of(guest: Register) -> Self {
        match guest.full_register().number() {
            0 => Self::Host(Register::R12),
            4 => Self::Host(STACK),
            n @ 8..12 => Self::Frame((offset_of!(Frame, r8_to_r11) + 8 * (n - 8)) as i64),
            n @ 12.. => Self::Host(Register::R8 + (n - 12) as u32),
            n => Self::Host(Register::RAX + n as u32),
        }
    }
}

/// A field of the frame.
macro_rules! in_frame {
    ($field:ident) => {
        crate::emu::translate::assembler::at(
            iced_x86::Register::RSP,
            std::mem::offset_of!(crate::emu::translate::frame::Frame, $field) as i64,
        )
    };
}
pub(super) use in_frame;

/// What is `displacement` bytes from rsp.
pub fn in_frame_at(displacement: i64) -> MemoryOperand {
    at(Register::RSP, displacement)
}

/// The low `size` bytes (1, 2, 4, 8) of the host's register `full`.
pub fn low(full: Register, size: usize) -> Register {
    let number = full.number() as u32;
    match size {
        1 if number < 4 => Register::AL + number,
        1 => Register::SPL + (number - 4),
        2 => Register::AX + number,
        4 => Register::EAX + number,
        _ => Register::RAX + number,
    }
}

/// The second byte of the host's register `full`, if that has a name.
pub fn second_byte(full: Register) -> Option<Register> {
    let number = full.number() as u32;
    (number < 4).then_some(Register::AH + number)
}
