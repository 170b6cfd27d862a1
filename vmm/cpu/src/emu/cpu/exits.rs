//! Completion of instructions that caused an exit.

use crate::emu::arithmetic::flags::rflags;
use crate::emu::cpu::Cpu;
use crate::emu::outside::exit::ExitKind;
use crate::emu::state::exception::Exception;
use crate::emu::state::registers::Slot;

impl Cpu {
    /// Completes the instruction of the last exit, if it needs only the value of the reply.
    #[inline]
    pub fn complete(&mut self) {
        match std::mem::replace(&mut self.outside.exit.kind, ExitKind::None) {
            ExitKind::PioIn { size, .. } => {
                let [a, b, c, d, ..] = self.outside.exit.data;
                match size {
                    1 => self.regs.gprs.write(Slot::RAX, a),
                    2 => self.regs.gprs.write(Slot::RAX, u16::from_le_bytes([a, b])),
                    // The upper half is zeroed.
                    _ => {
                        let value = u32::from_le_bytes([a, b, c, d]);
                        self.regs.gprs.write(Slot::RAX, u64::from(value));
                    }
                }
                self.finish_outside();
            }
            ExitKind::MsrRead { .. } | ExitKind::MsrWrite { .. }
                if self.outside.exit.error != 0 =>
            {
                self.take_exception(Exception::GP);
            }
            ExitKind::MsrRead { .. } => {
                let value = self.outside.exit.value;
                self.regs.gprs.write(Slot::RAX, value & 0xffff_ffff);
                self.regs.gprs.write(Slot::RDX, value >> 32);
                self.finish_outside();
            }
            ExitKind::MsrWrite { index } => {
                if index == x86::msr::APIC_BASE {
                    self.control.msrs.apic_base = self.outside.exit.value;
                }
                self.finish_outside();
            }
            _ => {}
        }
    }

    /// Completes an instruction whose result the VMM supplied.
    fn finish_outside(&mut self) {
        self.regs.rip = self.outside.exit.next_rip;
        self.meter.retire_one();
        self.control.system_flags &= !rflags::RF;
        self.events.stepping = self.control.system_flags & rflags::TF != 0;
        self.events.ended = true;
    }
}
