//! Bits: `bt bts btr btc bsf bsr tzcnt lzcnt popcnt movbe crc32`.

use std::marker::PhantomData;

use iced_x86::{Instruction, OpKind};

use crate::emu::arithmetic::flags::{Flags, bit};
use crate::emu::arithmetic::value::Int;
use crate::emu::cpu::access::Access;
use crate::emu::cpu::{Cpu, Handler, Op};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::lower::{Binary, lower_binary, lower_into_register};
use crate::emu::engine::operand::{
    Dst, DstReg, General, Imm, Mem, Src, SrcReg, gpr_slot, immediate, offset,
};
use crate::emu::engine::{Instr, OnMemory, fast};
use crate::emu::state::exception::Stop;

/// What happens to the bit that was tested.
trait BitOp: 'static {
    const WRITES: bool = true;
    fn apply(value: u64, mask: u64) -> u64;
}

macro_rules! bit_ops {
    ($($name:ident, |$value:ident, $mask:ident| $result:expr $(, $writes:literal)?;)*) => {$(
        struct $name;
        impl BitOp for $name {
            $(const WRITES: bool = $writes;)?
            #[inline(always)]
            fn apply($value: u64, $mask: u64) -> u64 {
                $result
            }
        }
    )*};
}

bit_ops! {
    Bt, |value, _mask| value, false;
    Bts, |value, mask| value | mask;
    Btr, |value, mask| value & !mask;
    Btc, |value, mask| value ^ mask;
}

/// The value after `O`, and the bit before.
#[inline(always)]
fn change<O: BitOp, T: Int>(value: T, number: T) -> (T, bool) {
    let mask = 1_u64 << (number.zero_extend() & u64::from(T::BITS - 1));
    let value = value.zero_extend();
    (T::truncate(O::apply(value, mask)), value & mask != 0)
}

/// `op dst, src` within a register, or within the operand in memory if the number is an
/// immediate.
struct BitTest<O, T, D, S>(PhantomData<(O, T, D, S)>);

impl<O: BitOp, T: Int, D: Dst<T>, S: Src<T>> Instr for BitTest<O, T, D, S> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let number = S::get::<M>(cpu, op)?;
        let was = if O::WRITES {
            D::update::<M, _>(cpu, op, |value| change::<O, T>(value, number))?
        } else {
            change::<O, T>(D::get::<M>(cpu, op)?, number).1
        };
        cpu.regs.flags = cpu.regs.flags.with(bit::CF, was);
        Ok(())
    }
}

/// `op [memory], register`: the memory operand is the base of a bit string, in which the
/// register is a signed index.
struct BitString<O, T>(PhantomData<(O, T)>);

impl<O: BitOp, T: Int> Instr for BitString<O, T> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let number = cpu.regs.get::<T>(op.src);
        let operand = (number.sign_extend() as i64) >> T::BITS.trailing_zeros();
        let moved = (operand as u64).wrapping_mul(T::SIZE);
        let address = offset(cpu, op).wrapping_add(moved) & op.aux.address_mask();
        let at = cpu
            .control
            .linear(op.aux.segment(), address, T::SIZE, O::WRITES)?;
        let was = if O::WRITES {
            M::update(cpu, at, |value: T| change::<O, T>(value, number))?
        } else {
            change::<O, T>(M::load(cpu, at)?, number).1
        };
        cpu.regs.flags = cpu.regs.flags.with(bit::CF, was);
        Ok(())
    }
}

fn lower_bit<O: BitOp, T: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    let in_memory = insn.op0_kind() == OpKind::Memory;
    if insn.op1_kind() == OpKind::Register {
        op.src = gpr_slot(insn.op1_register());
    } else {
        op.imm.set(immediate(insn, 1));
    }
    op.handler = match (in_memory, insn.op1_kind() == OpKind::Register) {
        (true, true) => {
            op.set_memory(site, insn);
            fast::<BitString<O, T>>
        }
        (true, false) => {
            op.set_memory(site, insn);
            fast::<BitTest<O, T, Mem<General>, Imm>>
        }
        (false, by_register) => {
            op.dst = gpr_slot(insn.op0_register());
            if by_register {
                fast::<BitTest<O, T, DstReg, SrcReg>>
            } else {
                fast::<BitTest<O, T, DstReg, Imm>>
            }
        }
    };
}

/// `op dst, src` by the host's instruction, which gets the old destination as well.
trait ScanOp: 'static {
    /// Whether zero leaves the destination as it is: all of it, also with 32 bits.
    const KEEPS: bool = false;
    fn full<T: Int>(old: T, value: T, flags: Flags) -> (T, Flags);
}

macro_rules! scans {
    ($($name:ident, $host:ident $(, $keeps:literal)?;)*) => {$(
        struct $name;
        impl ScanOp for $name {
            $(const KEEPS: bool = $keeps;)?
            #[inline(always)]
            fn full<T: Int>(old: T, value: T, flags: Flags) -> (T, Flags) {
                T::$host(old, value, flags)
            }
        }
    )*};
}

scans! {
    Bsf, bsf, true;
    Bsr, bsr, true;
    Tzcnt, tzcnt;
    Lzcnt, lzcnt;
    Popcnt, popcnt;
}

struct Scan<O, T, S>(PhantomData<(O, T, S)>);

impl<O: ScanOp, T: Int, S: Src<T>> OnMemory for Scan<O, T, S> {
    type Slow = Scan<O, T, S::Slow>;
}

impl<O: ScanOp, T: Int, S: Src<T>> Instr for Scan<O, T, S> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let value = S::get::<M>(cpu, op)?;
        let (result, flags) = O::full(cpu.regs.get::<T>(op.dst), value, cpu.regs.flags);
        cpu.regs.flags = flags;
        if !O::KEEPS || value != T::ZERO {
            cpu.regs.set(op.dst, result);
        }
        Ok(())
    }
}

struct ScanFamily<O>(PhantomData<O>);

impl<O: ScanOp> Binary for ScanFamily<O> {
    const ON_MEMORY: bool = false;
    type Form<T: Int, const F: bool, D: Dst<T>, S: Src<T>> = Scan<O, T, S>;
}

/// `movbe`: a move of reversed bytes, to or from memory.
struct SwapMove<T, D, S>(PhantomData<(T, D, S)>);

impl<T: Int, D: Dst<T>, S: Src<T>> OnMemory for SwapMove<T, D, S> {
    type Slow = SwapMove<T, D::SlowDst, S::Slow>;
}

impl<T: Int, D: Dst<T>, S: Src<T>> Instr for SwapMove<T, D, S> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let value = S::get::<M>(cpu, op)?.zero_extend();
        let swapped = value.swap_bytes() >> (64 - T::BITS);
        D::set::<M>(cpu, op, T::truncate(swapped))
    }
}

struct SwapMoveFamily;

impl Binary for SwapMoveFamily {
    const ON_MEMORY: bool = false;
    type Form<T: Int, const F: bool, D: Dst<T>, S: Src<T>> = SwapMove<T, D, S>;
}

/// `crc32 dst, src`: CRC-32C, reflected, without the usual inversions.
struct Crc32<T, W, S>(PhantomData<(T, W, S)>);

impl<T: Int, W: Int, S: Src<T>> Instr for Crc32<T, W, S> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        /// The Castagnoli polynomial, reflected.
        const POLYNOMIAL: u32 = 0x82f6_3b78;
        let value = S::get::<M>(cpu, op)?.zero_extend();
        let mut crc: u32 = cpu.regs.gprs.read(op.dst);
        for i in 0..T::SIZE {
            crc ^= (value >> (8 * i)) as u32 & 0xff;
            for _ in 0..8 {
                crc = crc >> 1 ^ POLYNOMIAL & 0_u32.wrapping_sub(crc & 1);
            }
        }
        cpu.regs.set(op.dst, W::truncate(u64::from(crc)));
        Ok(())
    }
}

fn lower_crc<T: Int, W: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    op.dst = gpr_slot(insn.op0_register());
    op.handler = crc_form::<T, W>(site, insn, op);
}

fn crc_form<T: Int, W: Int>(site: &Site, insn: &Instruction, op: &mut Op) -> Handler {
    if insn.op1_kind() == OpKind::Register {
        op.src = gpr_slot(insn.op1_register());
        fast::<Crc32<T, W, SrcReg>>
    } else {
        op.set_memory(site, insn);
        fast::<Crc32<T, W, Mem<General>>>
    }
}

pub const FORMS: &[Form] = forms! {
    next [lower_bit::<Bt, u16>]: Bt_rm16_r16 Bt_rm16_imm8;
    next [lower_bit::<Bt, u32>]: Bt_rm32_r32 Bt_rm32_imm8;
    next [lower_bit::<Bt, u64>]: Bt_rm64_r64 Bt_rm64_imm8;
    next [lower_bit::<Bts, u16>]: Bts_rm16_r16 Bts_rm16_imm8;
    next [lower_bit::<Bts, u32>]: Bts_rm32_r32 Bts_rm32_imm8;
    next [lower_bit::<Bts, u64>]: Bts_rm64_r64 Bts_rm64_imm8;
    next [lower_bit::<Btr, u16>]: Btr_rm16_r16 Btr_rm16_imm8;
    next [lower_bit::<Btr, u32>]: Btr_rm32_r32 Btr_rm32_imm8;
    next [lower_bit::<Btr, u64>]: Btr_rm64_r64 Btr_rm64_imm8;
    next [lower_bit::<Btc, u16>]: Btc_rm16_r16 Btc_rm16_imm8;
    next [lower_bit::<Btc, u32>]: Btc_rm32_r32 Btc_rm32_imm8;
    next [lower_bit::<Btc, u64>]: Btc_rm64_r64 Btc_rm64_imm8;
    next [lower_into_register::<ScanFamily<Bsf>>]: Bsf_r16_rm16 Bsf_r32_rm32 Bsf_r64_rm64;
    next [lower_into_register::<ScanFamily<Bsr>>]: Bsr_r16_rm16 Bsr_r32_rm32 Bsr_r64_rm64;
    next [lower_into_register::<ScanFamily<Tzcnt>>]: Tzcnt_r16_rm16 Tzcnt_r32_rm32 Tzcnt_r64_rm64;
    next [lower_into_register::<ScanFamily<Lzcnt>>]: Lzcnt_r16_rm16 Lzcnt_r32_rm32 Lzcnt_r64_rm64;
    next [lower_into_register::<ScanFamily<Popcnt>>]:
        Popcnt_r16_rm16 Popcnt_r32_rm32 Popcnt_r64_rm64;
    next [lower_binary::<SwapMoveFamily>]:
        Movbe_r16_m16 Movbe_r32_m32 Movbe_r64_m64 Movbe_m16_r16 Movbe_m32_r32
        Movbe_m64_r64;
    next [lower_crc::<u8, u32>]: Crc32_r32_rm8;
    next [lower_crc::<u8, u64>]: Crc32_r64_rm8;
    next [lower_crc::<u16, u32>]: Crc32_r32_rm16;
    next [lower_crc::<u32, u32>]: Crc32_r32_rm32;
    next [lower_crc::<u64, u64>]: Crc32_r64_rm64;
};
