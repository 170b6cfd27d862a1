//! Call gates outside long mode (AMD APM vol. 2 4.11.2): far calls and jumps by a descriptor
//! of 16 or 32 bits, which decides the size of what a call pushes.
//!
//! ```text
//! new sp ─► ip, cs, arguments, old sp, old ss    with more privilege: ss and sp of the TSS
//! sp     ─► ip, cs                               with the same
//! ```

use x86::segment as a;

use crate::Segment;
use crate::emu::cpu::Cpu;
use crate::emu::cpu::access::{Access, Slow};
use crate::emu::cpu::inner_stack::InnerStack;
use crate::emu::cpu::stack::{Legacy, StackMode};
use crate::emu::outside::exit::ExitKind;
use crate::emu::state::exception::{Exception, Stop};
use crate::emu::state::registers::Slot;
use crate::emu::state::segment::{CS, SS, dpl, gp, has, np, parse, rpl};

/// Types of system descriptors, without the bit that makes them 32 bits wide.
const CALL_GATE: u16 = 4;
const TASK_GATE: u16 = 5;
const TSS: u16 = 1;
const TSS_BUSY: u16 = 3;
const WIDE: u16 = 8;

impl Cpu {
    /// Goes through the call gate that `selector` names, by a `call` that returns to `back` or
    /// else a `jmp`. Returns where to go on; none if it names something else.
    ///
    /// # Errors
    /// The exception of a check; nothing has changed then. An exit for a task switch.
    pub fn pass_legacy_gate(
        &mut self,
        selector: u16,
        back: Option<u64>,
        retired: u64,
    ) -> Result<Option<u64>, Stop> {
        if selector & !3 == 0 {
            return Ok(None);
        }
        let raw = self.descriptor(selector)?;
        let gate = parse(selector, raw);
        let kind = gate.attributes & (a::ORDINARY | a::TYPE);
        match kind & !WIDE {
            CALL_GATE => {}
            TSS | TSS_BUSY => return Err(self.task_switch()),
            TASK_GATE if kind == TASK_GATE => return Err(self.task_switch()),
            _ => return Ok(None),
        }
        if dpl(&gate) < self.control.cpl.max(rpl(selector)) {
            return Err(gp(selector));
        }
        if !has(&gate, a::PRESENT) {
            return Err(np(selector));
        }
        let wide = kind & WIDE != 0;
        let target = (raw >> 16) as u16;
        let (cs, cpl) = self.gate_target(target, 0)?;
        if back.is_none() && cpl != self.control.cpl {
            return Err(gp(target));
        }
        let high = if wide { raw >> 48 << 16 } else { 0 };
        let offset = raw & 0xffff | high;
        if offset > u64::from(cs.limit) {
            return Err(Exception::GP.into());
        }
        if let Some(back) = back {
            let arguments = raw >> 32 & 0x1f;
            self.push_call(cpl, back, arguments, if wide { 4 } else { 2 })?;
        }
        let selector = target & !3 | u16::from(cpl);
        self.set_cs(Segment { selector, ..cs }, retired);
        Ok(Some(offset))
    }

    /// Pushes what a far return from ring `cpl` needs, in words of `size` bytes.
    fn push_call(&mut self, cpl: u8, back: u64, arguments: u64, size: u64) -> Result<(), Stop> {
        let cs = u64::from(self.control.segments[CS].selector);
        let mut stack = InnerStack::current(self);
        if cpl != self.control.cpl {
            let old: u64 = self.regs.gprs.read(Slot::RSP);
            stack = self.inner_stack(cpl)?;
            stack.push(self, self.control.segments[SS].selector.into(), size)?;
            stack.push(self, old, size)?;
            for n in (0..arguments).rev() {
                let at = Legacy::linear(self, old.wrapping_add(n * size), size, false)?;
                let argument = match size {
                    4 => u64::from(Slow::load::<u32>(self, at)?),
                    _ => u64::from(Slow::load::<u16>(self, at)?),
                };
                stack.push(self, argument, size)?;
            }
        }
        stack.push(self, cs, size)?;
        stack.push(self, back, size)?;
        stack.install(self);
        Ok(())
    }

    /// The end of a run that needs a task switch.
    pub(super) fn task_switch(&mut self) -> Stop {
        self.outside.exit.kind = ExitKind::Failed("a task switch");
        Stop::Exit
    }
}
