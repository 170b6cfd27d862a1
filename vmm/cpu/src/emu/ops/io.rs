//! Ports: `in out`, and `hlt`.

use iced_x86::{Code, Instruction, OpKind};

use super::super::access::Access;
use super::super::cpu::Cpu;
use super::super::decode::{Form, Site};
use super::super::engine::{Instr, last, slow};
use super::super::exception::{Exception, Stop};
use super::super::exit::ExitKind;
use super::super::flags::rflags;
use super::super::op::{Op, Slot};
use super::super::operand::immediate;
use super::forms;

impl Cpu {
    /// Checks that `size` ports from `port` on may be used (AMD APM vol. 2 12.2.5), and
    /// compares them with breakpoints.
    ///
    /// # Errors
    /// #GP(0) if neither IOPL nor the TSS's bitmap allows it.
    pub(super) fn check_port(&mut self, port: u16, size: u8) -> Result<(), Stop> {
        self.watch_port(port, size);
        let iopl = (self.system_flags & rflags::IOPL) >> rflags::IOPL_SHIFT;
        if u64::from(self.cpl) <= iopl {
            return Ok(());
        }
        /// Offset in the TSS of the bitmap's own offset.
        const MAP_BASE: u64 = 102;
        let limit = u64::from(self.tr.limit);
        if MAP_BASE + 1 > limit {
            return Err(Exception::GP.into());
        }
        let map: u16 = self.system_read(self.tr.base.wrapping_add(MAP_BASE))?;
        let at = u64::from(map) + u64::from(port / 8);
        if at + 1 > limit {
            return Err(Exception::GP.into());
        }
        let bits: u16 = self.system_read(self.tr.base.wrapping_add(at))?;
        let mask = ((1_u16 << size) - 1) << (port % 8);
        if bits & mask != 0 {
            return Err(Exception::GP.into());
        }
        Ok(())
    }
}

/// `in` of `imm` bytes from the port in `disp`, or in dx.
struct In<const DX: bool>;

impl<const DX: bool> Instr for In<DX> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let size = op.imm.get() as u8;
        let port = port::<DX>(cpu, op);
        cpu.check_port(port, size)?;
        cpu.exit.kind = ExitKind::PioIn { port, size };
        Err(Stop::Exit)
    }
}

/// `out` of `imm` bytes to the port in `disp`, or in dx. It is finished before the VMM
/// sees it.
struct Out<const DX: bool>;

impl<const DX: bool> Instr for Out<DX> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let size = op.imm.get() as u8;
        let port = port::<DX>(cpu, op);
        cpu.check_port(port, size)?;
        cpu.exit.data = cpu.gprs.read::<u64>(Slot::RAX).to_le_bytes();
        cpu.exit.kind = ExitKind::PioOut { port, size };
        Ok(())
    }
}

#[inline(always)]
fn port<const DX: bool>(cpu: &Cpu, op: &Op) -> u16 {
    if DX {
        cpu.gprs.read(Slot::RDX)
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

/// `hlt`.
struct Hlt;

impl Instr for Hlt {
    fn exec<M: Access>(cpu: &mut Cpu, _: &Op) -> Result<(), Stop> {
        if cpu.cpl != 0 {
            return Err(Exception::GP.into());
        }
        cpu.exit.kind = ExitKind::Hlt;
        Ok(())
    }
}

fn lower_hlt(_: &Site, _: &Instruction, op: &mut Op) {
    op.handler = last::<Hlt>;
}

pub(super) const FORMS: &[Form] = forms! {
    end [lower_port]:
        In_AL_imm8 In_AX_imm8 In_EAX_imm8 In_AL_DX In_AX_DX In_EAX_DX
        Out_imm8_AL Out_imm8_AX Out_imm8_EAX Out_DX_AL Out_DX_AX Out_DX_EAX;
    end [lower_hlt]: Hlt;
};
