//! A stack that legacy events and calls through gates push on before any register changes.

use x86::{segment as a, vector};

use crate::Segment;
use crate::emu::cpu::Cpu;
use crate::emu::state::control::Privilege;
use crate::emu::state::exception::{Exception, Stop};
use crate::emu::state::registers::Slot;
use crate::emu::state::segment::{SS, has, selector_code};

/// SS and ESP as they will be.
pub struct InnerStack {
    ss: Segment,
    pointer: u64,
    privilege: Privilege,
}

impl InnerStack {
    /// The stack that is there.
    pub fn current(cpu: &Cpu) -> Self {
        Self {
            ss: cpu.control.segments[SS],
            pointer: cpu.regs.gprs.read(Slot::RSP),
            privilege: cpu.control.privilege(),
        }
    }

    /// Pushes the low `size` bytes of `value`.
    ///
    /// # Errors
    /// #SS(0) past the segment's limit; #PF.
    pub fn push(&mut self, cpu: &mut Cpu, value: u64, size: u64) -> Result<(), Stop> {
        let mask = if has(&self.ss, a::BIG) {
            0xffff_ffff
        } else {
            0xffff
        };
        let pointer = self.pointer.wrapping_sub(size) & mask;
        let at = cpu
            .control
            .legacy_linear(&self.ss, SS as u8, pointer, size, true)?;
        cpu.write_as(at, &value.to_le_bytes()[..size as usize], self.privilege)?;
        self.pointer = self.pointer & !mask | pointer;
        Ok(())
    }

    /// Makes it the current stack.
    pub fn install(self, cpu: &mut Cpu) {
        cpu.control.segments[SS] = self.ss;
        cpu.regs.gprs.write(Slot::RSP, self.pointer);
    }
}

impl Cpu {
    /// The stack that the TSS has for ring `cpl`, 0 to 2 (AMD APM vol. 2 12.2.3).
    ///
    /// # Errors
    /// #TS with the selector of the TSS if it is too short, or with that of a bad SS; #SS
    /// with that of an absent one.
    pub fn inner_stack(&mut self, cpl: u8) -> Result<InnerStack, Stop> {
        let wide = self.control.tr.attributes & a::TYPE & 8 != 0;
        let size = if wide { 4 } else { 2 };
        let offset = size + 2 * size * u64::from(cpl);
        if offset + 2 * size - 1 > u64::from(self.control.tr.limit) {
            let code = selector_code(self.control.tr.selector);
            return Err(Exception::coded(vector::TS, code).into());
        }
        let at = self.control.tr.base.wrapping_add(offset);
        let pointer = if wide {
            u64::from(self.system_read::<u32>(at)?)
        } else {
            u64::from(self.system_read::<u16>(at)?)
        };
        let selector: u16 = self.system_read(at.wrapping_add(size))?;
        let ss = self
            .stack_segment(selector, cpl, false)
            .map_err(|stop| match stop {
                Stop::Exception(Exception {
                    vector: vector::GP,
                    code,
                }) => Stop::Exception(Exception {
                    vector: vector::TS,
                    code,
                }),
                other => other,
            })?;
        Ok(InnerStack {
            ss,
            pointer,
            privilege: Privilege::Supervisor,
        })
    }
}
