//! A case: machine code with the registers and memory that it starts with.

use std::sync::Arc;

use iced_x86::{Decoder, DecoderOptions, Instruction, RflagsBits};
use x86::{RFLAGS_FIXED, RFlags};

use super::layout::{self, CODE_LEN, DATA_LEN, INT3};
use super::{frame, undefined};

/// How the decoder reads code: as processors do without the features that made
/// instructions of reserved no-ops.
pub const DECODER: u32 = DecoderOptions::FORCE_RESERVED_NOP;

/// RFLAGS with nothing but the bit that is always set and IF.
pub const INITIAL_FLAGS: u64 = RFLAGS_FIXED | RFlags::INTERRUPT_FLAG.bits();

/// The registers that a sequence starts or ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// By number in encodings.
    pub gpr: [u64; 16],
    pub flags: u64,
    pub fs_base: u64,
    pub gs_base: u64,
    /// As `fxsave64` stores it.
    pub fx: [u8; 512],
    /// Bits 255 to 128 of the YMM registers, where there are any.
    pub ymm_high: [u128; 16],
}

impl Registers {
    pub const ZERO: Self = Self {
        gpr: [0; 16],
        flags: 0,
        fs_base: 0,
        gs_base: 0,
        fx: [0; 512],
        ymm_high: [0; 16],
    };
}

/// Contents of a slot's data pages.
pub type Image = [u8; DATA_LEN];

/// Bytes that differ from the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// From the start of the data pages.
    pub offset: usize,
    pub bytes: Vec<u8>,
}

/// One sequence, complete: running it twice gives the same.
#[derive(Clone, Debug)]
pub struct Case {
    /// Where it is placed: its addresses are this slot's.
    pub slot: usize,
    /// Offset of the first instruction in the slot's code.
    pub start: usize,
    /// The instructions, one after the other.
    pub code: Vec<Vec<u8>>,
    pub registers: Registers,
    pub image: Arc<Image>,
    pub patches: Vec<Patch>,
}

impl Case {
    /// Virtual address of the first instruction.
    pub fn address(&self) -> u64 {
        layout::code(self.slot) + self.start as u64
    }

    /// The slot's code: `int3` everywhere but for the instructions, which end in a jump to
    /// the frame. What goes beyond the end of the last page is left out.
    pub fn code_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.code.concat();
        let end = self.address() + bytes.len() as u64;
        let distance = frame::store_address(self.slot).wrapping_sub(end + 5) as i32;
        bytes.push(0xe9); // jmp rel32
        bytes.extend_from_slice(&distance.to_le_bytes());
        bytes.truncate(CODE_LEN - self.start);
        bytes
    }

    /// The instructions, decoded in their places.
    pub fn instructions(&self) -> Vec<Instruction> {
        let mut ip = self.address();
        self.code
            .iter()
            .map(|bytes| {
                let mut decoder = Decoder::with_ip(64, bytes, ip, DECODER);
                ip += bytes.len() as u64;
                decoder.decode()
            })
            .collect()
    }

    /// The code from `rip` on; empty if that is elsewhere.
    pub fn code_at(&self, rip: u64) -> Vec<u8> {
        let mut code = self.code.concat();
        let start = rip.checked_sub(self.address());
        let start = start.map_or(code.len(), |start| code.len().min(start as usize));
        code.split_off(start)
    }

    /// The data that it starts with.
    pub fn data(&self) -> Box<Image> {
        let mut data = Box::new(*self.image);
        for patch in &self.patches {
            data[patch.offset..patch.offset + patch.bytes.len()].copy_from_slice(&patch.bytes);
        }
        data
    }

    /// The arithmetic flags and x87 conditions that are not defined when control is at
    /// `rip`, as [`RflagsBits`].
    pub fn undefined_at(&self, rip: u64) -> u32 {
        undefined::at(&self.instructions(), rip)
    }
}

/// Fills `code`, the code of a slot, as it is between batches.
pub fn empty_code() -> [u8; CODE_LEN] {
    [INT3; CODE_LEN]
}

/// Which bits of RFLAGS the [`RflagsBits`] in `bits` are.
pub fn rflags_mask(bits: u32) -> u64 {
    const PLACES: [(u32, u64); 6] = [
        (RflagsBits::CF, RFlags::CARRY_FLAG.bits()),
        (RflagsBits::PF, RFlags::PARITY_FLAG.bits()),
        (RflagsBits::AF, RFlags::AUXILIARY_CARRY_FLAG.bits()),
        (RflagsBits::ZF, RFlags::ZERO_FLAG.bits()),
        (RflagsBits::SF, RFlags::SIGN_FLAG.bits()),
        (RflagsBits::OF, RFlags::OVERFLOW_FLAG.bits()),
    ];
    PLACES
        .iter()
        .filter(|(bit, _)| bits & bit != 0)
        .fold(0, |mask, (_, place)| mask | place)
}

/// Which bits of the x87 status word the [`RflagsBits`] in `bits` are.
pub fn x87_status_mask(bits: u32) -> u16 {
    const PLACES: [(u32, u16); 4] = [
        (RflagsBits::C0, 1 << 8),
        (RflagsBits::C1, 1 << 9),
        (RflagsBits::C2, 1 << 10),
        (RflagsBits::C3, 1 << 14),
    ];
    PLACES
        .iter()
        .filter(|(bit, _)| bits & bit != 0)
        .fold(0, |mask, (_, place)| mask | place)
}
