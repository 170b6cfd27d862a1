//! Ports: `in out`, and `hlt`.

use iced_x86::{Code, Instruction, OpKind};

use crate::emu::cpu::access::Access;
use crate::emu::cpu::{Cpu, Op};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::operand::immediate;
use crate::emu::engine::{Instr, last, slow};
use crate::emu::outside::exit::ExitKind;
use crate::emu::state::exception::{Exception, Stop};
use crate::emu::state::registers::Slot;

/// `in` of `imm` bytes from the port in `disp`, or in dx.
struct In<const DX: bool>;

impl<const DX: bool> Instr for In<DX> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let size = op.imm.get() as u8;
        let port = port::<DX>(cpu, op);
        cpu.check_port(port, size)?;
        cpu.outside.exit.kind = ExitKind::PioIn { port, size };
        Err(Stop::Exit)
    }
}

/// `out` of `imm` bytes to the port in `disp`, or in dx. It is retired before the VMM gets
/// the exit.
struct Out<const DX: bool>;

impl<const DX: bool> Instr for Out<DX> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let size = op.imm.get() as u8;
        let port = port::<DX>(cpu, op);
        cpu.check_port(port, size)?;
        cpu.outside.exit.data = cpu.regs.gprs.read::<u64>(Slot::RAX).to_le_bytes();
        cpu.outside.exit.kind = ExitKind::PioOut { port, size };
        Ok(())
    }
}

#[inline(always)]
fn port<const DX: bool>(cpu: &Cpu, op: &Op) -> u16 {
    if DX {
        cpu.regs.gprs.read(Slot::RDX)
    } else {
        op.disp.get() as u16
    }
}

fn lower_port(_: &Site, insn: &Instruction, op: &mut Op) {
    use Code as C;
    let size = match insn.code() {
        C::In_AL_imm8 | C::In_AL_DX | C::Out_imm8_AL | C::Out_DX_AL => 1,
        C::In_AX_imm8 | C::In_AX_DX | C::Out_imm8_AX | C::Out_DX_AX => 2,
        _ => 4,
    };
    op.imm.set(size);
    let is_in = insn.op0_kind() == OpKind::Register
        && insn.op0_register().full_register() == iced_x86::Register::RAX;
    let place = u32::from(is_in);
    let by_dx = insn.op_kind(place) == OpKind::Register;
    op.disp.set(immediate(insn, place));
    op.handler = match (is_in, by_dx) {
        (true, true) => slow::<In<true>>,
        (true, false) => slow::<In<false>>,
        (false, true) => last::<Out<true>>,
        (false, false) => last::<Out<false>>,
    };
}

/// `hlt`, which an NMI that has waited for the end of an interrupt shadow ends at once.
struct Hlt;

impl Instr for Hlt {
    fn exec<M: Access>(cpu: &mut Cpu, _: &Op) -> Result<(), Stop> {
        if cpu.control.cpl != 0 {
            return Err(Exception::GP.into());
        }
        if !cpu.events.nmi_pending || cpu.events.nmi_blocked {
            cpu.outside.exit.kind = ExitKind::Hlt;
        }
        Ok(())
    }
}

fn lower_hlt(_: &Site, _: &Instruction, op: &mut Op) {
    op.handler = last::<Hlt>;
}

pub const FORMS: &[Form] = forms! {
    end [lower_port]:
        In_AL_imm8 In_AX_imm8 In_EAX_imm8 In_AL_DX In_AX_DX In_EAX_DX
        Out_imm8_AL Out_imm8_AX Out_imm8_EAX Out_DX_AL Out_DX_AX Out_DX_EAX;
    end [lower_hlt]: Hlt;
};
