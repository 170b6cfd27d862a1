//! The upper halves of all registers: `vzeroupper vzeroall`.

use iced_x86::Instruction;

use crate::emu::arithmetic::value::xmm_zero;
use crate::emu::cpu::access::Access;
use crate::emu::cpu::{Cpu, Op};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::{Instr, sure};
use crate::emu::state::control::CodeSize;
use crate::emu::state::exception::Stop;
use crate::emu::state::registers::Slot;

/// Clears the upper halves and, if `ALL`, the lower ones.
struct Clear<const ALL: bool>;

impl<const ALL: bool> Instr for Clear<ALL> {
    fn exec<M: Access>(cpu: &mut Cpu, _: &Op) -> Result<(), Stop> {
        let count = if cpu.control.code_size == CodeSize::Bits64 {
            16
        } else {
            8
        };
        cpu.regs.ymm_high[..count].fill(0);
        if ALL {
            for number in 0..count {
                cpu.regs.xmms.write(Slot::xmm(number), xmm_zero());
            }
        }
        Ok(())
    }
}

fn lower<const ALL: bool>(_: &Site, _: &Instruction, op: &mut Op) {
    op.handler = sure::<Clear<ALL>>;
}

pub const FORMS: &[Form] = forms! {
    quiet_vector [lower::<false>]: VEX_Vzeroupper;
    quiet_vector [lower::<true>]: VEX_Vzeroall;
};
