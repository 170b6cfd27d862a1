//! Delivery of exceptions and interrupts outside long mode (AMD APM vol. 2 8.6 and 8.7).
//!
//! ```text
//! real mode        vector table ─► ip, cs               frame of 16-bit words, no error code
//! protected mode   gate of 16 or 32 bits ─► cs, offset  frame of words of the gate's size
//!                  to an inner ring: its stack from the TSS, with ss and esp in the frame
//! ```
//!
//! A task gate ends the run: there are no task switches.

use x86::{segment as a, vector};

use crate::Segment;
use crate::emu::arithmetic::flags::rflags;
use crate::emu::cpu::Cpu;
use crate::emu::cpu::deliver::{Source, external_code, gate_code};
use crate::emu::cpu::inner_stack::InnerStack;
use crate::emu::state::exception::{Exception, Stop};
use crate::emu::state::registers::Slot;
use crate::emu::state::segment::{CS, SS};

/// Types of gates: the bit that makes one 32 bits wide, and the types of 16 bits.
const WIDE: u16 = 8;
const TASK_GATE: u16 = 5;
const INTERRUPT_GATE: u16 = 6;
const TRAP_GATE: u16 = 7;

/// A gate of the IDT.
struct Gate {
    selector: u16,
    offset: u64,
    /// Bytes in a word of the frame.
    size: u64,
    interrupt: bool,
}

impl Cpu {
    /// Delivers one event: see [`deliver`](Self::deliver).
    pub(super) fn deliver_legacy(
        &mut self,
        event: Exception,
        source: Source,
        rip: u64,
        retired: u64,
    ) -> Result<(), Stop> {
        if self.control.real_mode() {
            return self.deliver_real(event.vector, rip);
        }
        let external = u16::from(source != Source::Software);
        let gate = self.legacy_gate(event.vector, source)?;
        let (cs, cpl) = self.gate_target(gate.selector, external)?;
        if gate.offset > u64::from(cs.limit) {
            return Err(Exception::coded(vector::GP, external).into());
        }
        let outer = [
            u64::from(self.control.segments[SS].selector),
            self.regs.gprs.read(Slot::RSP),
        ];
        let inward = cpl != self.control.cpl;
        let mut stack = if inward {
            self.inner_stack(cpl)
        } else {
            Ok(InnerStack::current(self))
        }
        .map_err(|stop| external_code(stop, external))?;
        let frame = [
            self.pushed_flags(source),
            u64::from(self.control.segments[CS].selector),
            rip,
        ];
        let outer = outer.into_iter().filter(|_| inward);
        let code = event.code.map(u64::from);
        for value in outer.chain(frame).chain(code) {
            stack
                .push(self, value, gate.size)
                .map_err(|stop| external_code(stop, external))?;
        }
        stack.install(self);
        self.control.segments[CS] = Segment {
            selector: cs.selector & !3 | u16::from(cpl),
            ..cs
        };
        self.regs.rip = gate.offset;
        self.set_cpl(cpl, retired);
        self.code_segment_changed();
        self.begin_handler(gate.interrupt);
        Ok(())
    }

    /// Reads and checks the gate for `number`.
    fn legacy_gate(&mut self, number: u8, source: Source) -> Result<Gate, Stop> {
        let code = gate_code(number, source);
        let bad = || Stop::from(Exception::coded(vector::GP, code));
        let at = self.gate_address(number, 8, code)?;
        let raw: u64 = self.system_read(at)?;
        let attributes = (raw >> 40) as u16;
        let kind = attributes & (a::ORDINARY | a::TYPE);
        let narrow = kind & !WIDE;
        if kind != TASK_GATE && !matches!(narrow, INTERRUPT_GATE | TRAP_GATE) {
            return Err(bad());
        }
        if source == Source::Software && ((raw >> 45 & 3) as u8) < self.control.cpl {
            return Err(bad());
        }
        if attributes & a::PRESENT == 0 {
            return Err(Exception::coded(vector::NP, code).into());
        }
        if kind == TASK_GATE {
            return Err(self.task_switch());
        }
        let high = if kind & WIDE != 0 { raw >> 48 } else { 0 };
        Ok(Gate {
            selector: (raw >> 16) as u16,
            offset: raw & 0xffff | high << 16,
            size: if kind & WIDE != 0 { 4 } else { 2 },
            interrupt: narrow == INTERRUPT_GATE,
        })
    }

    /// Delivers the event of a vector in real mode.
    fn deliver_real(&mut self, number: u8, rip: u64) -> Result<(), Stop> {
        let at = self.gate_address(number, 4, 0)?;
        let target: u32 = self.system_read(at)?;
        let mut stack = InnerStack::current(self);
        let flags = self.rflags() & !rflags::RF;
        let frame = [flags, self.control.segments[CS].selector.into(), rip];
        for value in frame {
            stack.push(self, value, 2)?;
        }
        stack.install(self);
        self.set_real_cs((target >> 16) as u16);
        self.regs.rip = u64::from(target & 0xffff);
        self.begin_handler(true);
        // It clears RFLAGS.AC as well (AMD APM vol. 2 8.6.1).
        self.set_rflags(self.rflags() & !rflags::AC);
        Ok(())
    }
}
