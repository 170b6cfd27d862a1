//! Random numbers: `rdrand rdseed`.

use std::marker::PhantomData;

use iced_x86::Instruction;

use crate::emu::arithmetic::flags::{Flags, bit};
use crate::emu::arithmetic::value::Int;
use crate::emu::cpu::access::Access;
use crate::emu::cpu::{Cpu, Op};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::operand::gpr_slot;
use crate::emu::engine::{Instr, slow};
use crate::emu::state::exception::Stop;

/// `rdseed dst` or, unless `SEED`, `rdrand dst`: CF tells whether there is a number.
struct Random<T, const SEED: bool>(PhantomData<T>);

impl<T: Int, const SEED: bool> Instr for Random<T, SEED> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let number = cpu.random.next(SEED);
        cpu.regs.set(op.dst, T::truncate(number.unwrap_or(0)));
        cpu.regs.flags = Flags(0).with(bit::CF, number.is_some());
        Ok(())
    }
}

fn lower<T: Int, const SEED: bool>(_: &Site, insn: &Instruction, op: &mut Op) {
    op.dst = gpr_slot(insn.op0_register());
    op.handler = slow::<Random<T, SEED>>;
}

pub const FORMS: &[Form] = forms! {
    next [lower::<u16, false>]: Rdrand_r16;
    next [lower::<u32, false>]: Rdrand_r32;
    next [lower::<u64, false>]: Rdrand_r64;
    next [lower::<u16, true>]: Rdseed_r16;
    next [lower::<u32, true>]: Rdseed_r32;
    next [lower::<u64, true>]: Rdseed_r64;
};
