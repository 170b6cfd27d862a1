//! Random instructions, operands and values.

use iced_x86::{Code, Encoder, Instruction, MemoryOperand, OpCodeOperandKind as K, Register};

use super::machine::{DATA, STACK};
use super::native::UserState;
use crate::FxState;

/// A small generator of numbers (xorshift64*).
pub(in crate::emu) struct Random(u64);

impl Random {
    pub(in crate::emu) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(in crate::emu) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `limit`.
    pub(in crate::emu) fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 16) % limit
    }

    /// A number that has edges.
    pub(in crate::emu) fn integer(&mut self) -> u64 {
        match self.below(6) {
            0 => self.below(16),
            1 => self.below(16).wrapping_neg(),
            2 => 1 << self.below(64),
            3 => (1_u64 << self.below(64)).wrapping_sub(1),
            _ => self.next(),
        }
    }

    /// The bits of a number of `bits` bits with `exponent` bits of exponent: often an
    /// edge of the format.
    fn float(&mut self, bits: u32, exponent: u32) -> u64 {
        let fraction = bits - exponent - 1;
        let sign = self.next() & 1;
        let most = (1 << exponent) - 1;
        let middle = most >> 1;
        let biased = match self.below(10) {
            0 | 1 => 0,
            2 => most,
            3 => 1,
            4 => most - 1,
            5 => self.below(most + 1),
            6 => middle,
            _ => middle - 20 + self.below(40 + u64::from(bits)),
        };
        let top = (1_u64 << fraction) - 1;
        let digits = match self.below(6) {
            0 => 0,
            1 => 1 << (fraction - 1),
            2 => top,
            3 => 1,
            _ => self.next() & top,
        };
        sign << (bits - 1) | (biased & most) << fraction | digits
    }

    /// 16 bytes that are singles, doubles or integers.
    pub(in crate::emu) fn vector(&mut self) -> u128 {
        match self.below(4) {
            0 => (0..4).fold(0, |v, _| v << 32 | u128::from(self.float(32, 8))),
            1 | 2 => (0..2).fold(0, |v, _| v << 64 | u128::from(self.float(64, 11))),
            _ => (0..2).fold(0, |v, _| v << 64 | u128::from(self.integer())),
        }
    }

    /// The 80 bits of an x87 register: a number, or what is none.
    fn extended(&mut self) -> u128 {
        let number = u128::from(self.float(63, 15));
        let (high, low) = (number >> 47, number as u64 & ((1 << 47) - 1));
        let digits = low << 16
            | if self.below(2) == 0 {
                0
            } else {
                self.next() & 0xffff
            };
        let integer = match self.below(8) {
            0 => self.next() & 1,
            _ => u64::from(high & 0x7fff != 0),
        };
        high << 64 | u128::from(integer << 63 | digits)
    }

    /// The x87 part of an image: masks from `control`, the rest of it random, some
    /// registers full, flags that are usually masked.
    fn x87(&mut self, fx: &mut FxState, control: u16) {
        const MASKS: u16 = 0x3f;
        let control = control & MASKS | self.next() as u16 & 0xf00 | 0x40;
        let flags = match self.below(16) {
            0 => MASKS,
            _ => control & MASKS,
        };
        let status = self.next() as u16 & (0x7f40 | flags);
        fx.0[0..2].copy_from_slice(&control.to_le_bytes());
        fx.0[2..4].copy_from_slice(&status.to_le_bytes());
        fx.0[4] = match self.below(4) {
            0 => self.next() as u8,
            _ => !(1 << self.below(8)),
        };
        for register in 0..8 {
            let at = 32 + 16 * register;
            fx.0[at..at + 16].copy_from_slice(&self.extended().to_le_bytes());
        }
    }

    /// Registers, with an address amid the data in rbx and a small index in rsi.
    pub(in crate::emu) fn state(&mut self, mxcsr: u32) -> UserState {
        let mut fx = FxState::initial();
        let masks = match self.below(4) {
            0 => self.next() as u16,
            _ => !0,
        };
        self.x87(&mut fx, masks);
        fx.0[24..28].copy_from_slice(&mxcsr.to_le_bytes());
        for register in 0..16 {
            let at = 160 + 16 * register;
            fx.0[at..at + 16].copy_from_slice(&self.vector().to_le_bytes());
        }
        let mut gpr = std::array::from_fn(|_| self.integer());
        gpr[3] = DATA + 0x800;
        gpr[4] = STACK - 0x100;
        gpr[6] = self.below(8) * 16;
        gpr[7] = DATA + 0x400 + self.below(64);
        UserState {
            fx,
            gpr,
            rflags: 0x202 | self.next() & 0x8d5,
        }
    }

    /// A page of data.
    pub(in crate::emu) fn data(&mut self) -> Vec<u8> {
        (0..0x1000 / 16)
            .flat_map(|_| self.vector().to_le_bytes())
            .collect()
    }

    fn register(&mut self, first: Register, count: u64) -> Register {
        first + self.below(count) as u32
    }

    /// A general register that no address needs.
    fn general(&mut self, first: Register) -> Register {
        loop {
            let register = self.register(first, 16);
            if ![3, 4, 6, 7].contains(&register.number()) {
                return register;
            }
        }
    }

    /// An instruction of `code`, whose memory operand is in the data and, usually,
    /// aligned.
    pub(in crate::emu) fn instruction(&mut self, code: Code) -> Instruction {
        let mut insn = Instruction::new();
        insn.set_code(code);
        let op_code = code.op_code();
        let memory = self.below(2) == 0;
        for i in 0..op_code.op_count() {
            let kind = op_code.op_kind(i);
            let wants_memory = match kind {
                K::mem => true,
                K::xmm_or_mem
                | K::mm_or_mem
                | K::r8_or_mem
                | K::r16_or_mem
                | K::r32_or_mem
                | K::r64_or_mem => memory,
                _ => false,
            };
            if wants_memory {
                self.set_memory(&mut insn, i);
                continue;
            }
            let register = match kind {
                K::xmm_reg | K::xmm_rm | K::xmm_or_mem => self.register(Register::XMM0, 16),
                K::mm_reg | K::mm_rm | K::mm_or_mem => self.register(Register::MM0, 8),
                K::r8_reg | K::r8_or_mem => self.general(Register::AL),
                K::r16_reg | K::r16_or_mem => self.general(Register::AX),
                K::r32_reg | K::r32_or_mem => self.general(Register::EAX),
                K::r64_reg | K::r64_or_mem => self.general(Register::RAX),
                K::st0 => Register::ST0,
                K::sti_opcode => self.register(Register::ST0, 8),
                K::ax => Register::AX,
                K::imm8 => {
                    insn.set_op_kind(i, iced_x86::OpKind::Immediate8);
                    insn.set_immediate8(self.next() as u8);
                    continue;
                }
                K::seg_rDI => {
                    insn.set_op_kind(i, iced_x86::OpKind::MemorySegRDI);
                    continue;
                }
                other => panic!("{code:?} has an operand {other:?}"),
            };
            insn.set_op_kind(i, iced_x86::OpKind::Register);
            insn.set_op_register(i, register);
        }
        insn
    }

    fn set_memory(&mut self, insn: &mut Instruction, operand: u32) {
        let off = if self.below(16) == 0 {
            self.below(16)
        } else {
            0
        };
        let displacement = self.below(64) as i64 * 16 + off as i64;
        let memory = match self.below(3) {
            0 => MemoryOperand::with_base_displ(Register::RBX, displacement),
            1 => MemoryOperand::new(
                Register::RBX,
                Register::RSI,
                1 << self.below(3),
                displacement,
                8,
                false,
                Register::None,
            ),
            _ => MemoryOperand::with_displ(DATA + displacement as u64, 8),
        };
        insn.set_op_kind(operand, iced_x86::OpKind::Memory);
        insn.set_memory_base(memory.base);
        insn.set_memory_index(memory.index);
        insn.set_memory_index_scale(memory.scale);
        insn.set_memory_displacement64(memory.displacement as u64);
        insn.set_memory_displ_size(memory.displ_size);
    }
}

/// The bytes of an instruction at `rip`.
pub(in crate::emu) fn encode(insn: &Instruction, rip: u64) -> Vec<u8> {
    let mut encoder = Encoder::new(64);
    encoder
        .encode(insn, rip)
        .unwrap_or_else(|error| panic!("{:?}: {error}", insn.code()));
    encoder.take_buffer()
}
