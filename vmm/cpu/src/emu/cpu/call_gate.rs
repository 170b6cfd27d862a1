//! Call gates of long mode (AMD APM vol. 2 4.11.2): far calls and jumps by a descriptor that
//! names 64-bit code, and a call to more privilege, which changes the stack.
//!
//! ```text
//! new rsp ─► rip, cs, old rsp, old ss    with more privilege: rsp from the TSS, ss null
//! rsp     ─► rip, cs                     with the same
//! ```

use x86::segment as a;

use crate::Segment;
use crate::emu::cpu::Cpu;
use crate::emu::state::control::{Privilege, canonical};
use crate::emu::state::exception::{Exception, Stop};
use crate::emu::state::registers::Slot;
use crate::emu::state::segment::{CS, Linear, SS, dpl, flat, gp, has, np, parse, rpl};

/// What a gate leads to, checked: a code segment, whose selector has the new privilege, and
/// an address in it.
pub struct CallGate {
    cs: Segment,
    rip: u64,
}

impl Cpu {
    /// The call gate that `selector` names, for a `call` or else a `jmp`; none if it names
    /// something else, or outside long mode.
    ///
    /// # Errors
    /// #GP or #NP, with the selector of the gate or of its code segment.
    pub fn call_gate(&mut self, selector: u16, call: bool) -> Result<Option<CallGate>, Stop> {
        if !self.control.long_mode() || selector & !3 == 0 {
            return Ok(None);
        }
        let low = self.descriptor(selector)?;
        let gate = parse(selector, low);
        if gate.attributes & (a::ORDINARY | a::TYPE) != a::TYPE_CALL_GATE {
            return Ok(None);
        }
        if dpl(&gate) < self.control.cpl.max(rpl(selector)) {
            return Err(gp(selector));
        }
        if !has(&gate, a::PRESENT) {
            return Err(np(selector));
        }
        let high = self.descriptor_high(selector)?;
        if high >> 40 & 0x1f != 0 {
            return Err(gp(selector));
        }
        let cs = self.gate_code_segment((low >> 16) as u16, call)?;
        let rip = low & 0xffff | low >> 32 & 0xffff_0000 | high << 32;
        if !canonical(rip) {
            return Err(Exception::GP.into());
        }
        Ok(Some(CallGate { cs, rip }))
    }

    /// The 64-bit code segment for `selector` of a gate.
    fn gate_code_segment(&mut self, selector: u16, call: bool) -> Result<Segment, Stop> {
        if selector & !3 == 0 {
            return Err(Exception::GP.into());
        }
        let raw = self.descriptor(selector)?;
        let cs = parse(selector, raw);
        let conforming = has(&cs, a::CONFORMING);
        let privilege = dpl(&cs);
        let reachable = match privilege.cmp(&self.control.cpl) {
            std::cmp::Ordering::Less => call || conforming,
            std::cmp::Ordering::Equal => true,
            std::cmp::Ordering::Greater => false,
        };
        let long = cs.attributes & (a::LONG | a::BIG) == a::LONG;
        let cpl = if conforming {
            self.control.cpl
        } else {
            privilege
        };
        self.code_segment(cs, raw, reachable && long, cpl)
    }

    /// Goes through `gate`, with `back` pushed as the address to return to by a `call`.
    /// Returns where to go on.
    ///
    /// # Errors
    /// #SS, #TS or #PF of the stack; no register has changed then.
    pub fn pass_gate(
        &mut self,
        gate: &CallGate,
        back: Option<u64>,
        retired: u64,
    ) -> Result<u64, Stop> {
        if let Some(back) = back {
            self.push_return(rpl(gate.cs.selector), back)?;
        }
        self.set_cs(gate.cs, retired);
        Ok(gate.rip)
    }

    /// Pushes what a far return through a gate to `cpl` needs.
    fn push_return(&mut self, cpl: u8, back: u64) -> Result<(), Stop> {
        let old_rsp: u64 = self.regs.gprs.read(Slot::RSP);
        let [cs, ss] = [CS, SS].map(|number| u64::from(self.control.segments[number].selector));
        let frame = [ss, old_rsp, cs, back];
        let inward = cpl != self.control.cpl;
        let (mut rsp, pushed) = match inward {
            true => (self.tss_stack(4 + 8 * u64::from(cpl), 0)?, &frame[..]),
            false => (old_rsp, &frame[2..]),
        };
        for word in pushed {
            rsp = rsp.wrapping_sub(8);
            let (at, bytes) = (Linear::stack(rsp), word.to_le_bytes());
            match inward {
                true => self.write_as(at, &bytes, Privilege::Supervisor)?,
                false => self.write_bytes(at, &bytes)?,
            }
        }
        self.regs.gprs.write(Slot::RSP, rsp);
        if inward {
            self.control.segments[SS] = flat(u16::from(cpl), cpl, a::BIG);
        }
        Ok(())
    }
}
