//! Delivery of exceptions and interrupts through the IDT (AMD APM vol. 2 8.9).

use x86::{segment as a, vector};

use crate::Segment;
use crate::Shadow;
use crate::emu::arithmetic::flags::rflags;
use crate::emu::cpu::Cpu;
use crate::emu::outside::exit::ExitKind;
use crate::emu::state::control::{CodeSize, Privilege, canonical};
use crate::emu::state::exception::{Exception, Stop};
use crate::emu::state::registers::Slot;
use crate::emu::state::segment::{CS, Linear, SS, dpl, flat, gp, has, np, parse, selector_code};

/// The kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An exception; faults push RFLAGS with RF set.
    Fault,
    /// An exception reported after its instruction: #DB, and those of `int3` and `into`,
    /// which in addition check the gate's privilege.
    Trap,
    /// An external interrupt, or an NMI.
    External,
    /// `int n`, `int3`, `into`: the gate's privilege is checked.
    Software,
}

/// A gate of the IDT.
struct Gate {
    selector: u16,
    offset: u64,
    ist: u8,
    interrupt: bool,
}

/// How exceptions combine (AMD APM vol. 2 8.2.9).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Benign,
    Contributory,
    PageFault,
}

fn class(vector: u8) -> Class {
    match vector {
        vector::DE | vector::TS | vector::NP | vector::SS | vector::GP => Class::Contributory,
        vector::PF => Class::PageFault,
        _ => Class::Benign,
    }
}

impl Cpu {
    /// Delivers an exception that stopped the instruction at `rip`. Sets `exit` if that
    /// ends in a triple fault or needs the VMM.
    pub fn take_exception(&mut self, exception: Exception) {
        let source = if exception.vector == vector::DB {
            Source::Trap
        } else {
            Source::Fault
        };
        self.take(exception, source);
    }

    /// Delivers a fault, even of a vector that is usually a trap.
    pub fn take_fault(&mut self, exception: Exception) {
        self.take(exception, Source::Fault);
    }

    /// Delivers external interrupt `number`.
    pub fn take_interrupt(&mut self, number: u8) {
        self.take(Exception::plain(number), Source::External);
    }

    /// Delivers the NMI that waits; the next one waits for `iret`.
    pub fn take_nmi(&mut self) {
        (self.events.nmi_pending, self.events.nmi_blocked) = (false, true);
        self.take(Exception::plain(vector::NMI), Source::External);
    }

    /// Unblocks NMIs at the end of an `iret` (AMD APM vol. 2 15.21.10: one that faults does
    /// not).
    #[cold]
    pub fn unblock_nmi(&mut self) {
        self.events.nmi_blocked = false;
        if self.events.nmi_pending {
            self.meter.want_attention();
        }
    }

    fn take(&mut self, first: Exception, source: Source) {
        let (mut current, mut source) = (first, source);
        loop {
            let retired = self.meter.retired();
            match self.deliver(current, source, self.regs.rip, retired) {
                Ok(()) => {
                    // The shadow of `mov ss` ends, and a trap that waited there is lost.
                    self.events.set_shadow(Shadow::None, retired);
                    self.events.hits = 0;
                    return;
                }
                Err(Stop::Exception(second)) => {
                    let first_class = if source == Source::External {
                        Class::Benign
                    } else {
                        class(current.vector)
                    };
                    let second_class = class(second.vector);
                    current = if current.vector == vector::DF && source == Source::Fault {
                        self.outside.exit.kind = ExitKind::TripleFault;
                        return;
                    } else if first_class != Class::Benign
                        && second_class != Class::Benign
                        && (first_class == Class::PageFault || second_class == Class::Contributory)
                    {
                        Exception::coded(vector::DF, 0)
                    } else {
                        second
                    };
                    source = Source::Fault;
                }
                Err(_) => {
                    if !matches!(self.outside.exit.kind, ExitKind::Failed(_)) {
                        self.outside.exit.kind = ExitKind::Failed("an exception frame outside RAM");
                    }
                    return;
                }
            }
        }
    }

    /// Delivers one event, to return to `rip`, with `retired` instructions retired.
    ///
    /// # Errors
    /// The exception or exit met in delivery, which commits nothing then.
    pub fn deliver(
        &mut self,
        event: Exception,
        source: Source,
        rip: u64,
        retired: u64,
    ) -> Result<(), Stop> {
        if !self.control.long_mode() {
            return self.deliver_legacy(event, source, rip, retired);
        }
        let external = u16::from(source != Source::Software);
        let gate = self.gate(event.vector, source)?;
        let (cs, cpl) = self.gate_target(gate.selector, external)?;
        let old_rsp: u64 = self.regs.gprs.read(Slot::RSP);
        let top = if gate.ist != 0 {
            self.tss_stack(28 + 8 * u64::from(gate.ist), external)?
        } else if cpl != self.control.cpl {
            self.tss_stack(4 + 8 * u64::from(cpl), external)?
        } else {
            old_rsp
        };
        let flags = self.pushed_flags(source);
        let frame = [
            u64::from(self.control.segments[SS].selector),
            old_rsp,
            flags,
            u64::from(self.control.segments[CS].selector),
            rip,
        ];
        let privilege = if cpl == 3 {
            Privilege::User
        } else {
            Privilege::Supervisor
        };
        let mut rsp = top & !15;
        for value in frame.into_iter().chain(event.code.map(u64::from)) {
            rsp = rsp.wrapping_sub(8);
            let pushed = if privilege == Privilege::Supervisor {
                self.system_write(rsp, value)
            } else {
                self.write_as(Linear::stack(rsp), &value.to_le_bytes(), privilege)
            };
            pushed.map_err(|stop| external_code(stop, external))?;
        }

        self.regs.gprs.write(Slot::RSP, rsp);
        if cpl != self.control.cpl {
            self.control.segments[SS] = flat(u16::from(cpl), cpl, a::BIG);
        }
        self.control.segments[CS] = Segment {
            selector: cs.selector & !3 | u16::from(cpl),
            ..cs
        };
        self.regs.rip = gate.offset;
        self.set_cpl(cpl, retired);
        if self.control.code_size != CodeSize::Bits64 {
            self.code_segment_changed();
        }
        self.begin_handler(gate.interrupt);
        Ok(())
    }

    /// Clears the flags that delivery clears: RFLAGS.IF with an `interrupt` gate.
    pub(super) fn begin_handler(&mut self, interrupt: bool) {
        self.events.stepping = false;
        let mut cleared = rflags::TF | rflags::NT | rflags::RF | rflags::VM;
        if interrupt {
            cleared |= rflags::IF;
        }
        self.set_rflags(self.rflags() & !cleared);
    }

    /// RFLAGS in a frame: RF makes a fault's handler return past the breakpoint that it
    /// met; after an instruction it is clear.
    pub(super) fn pushed_flags(&self, source: Source) -> u64 {
        match source {
            Source::Fault => self.rflags() | rflags::RF,
            Source::Trap | Source::Software => self.rflags() & !rflags::RF,
            Source::External => self.rflags(),
        }
    }

    /// The linear address of the entry for `number` in the IDT, which has entries of `size`
    /// bytes.
    ///
    /// # Errors
    /// #GP with `code` past the limit.
    pub(super) fn gate_address(&self, number: u8, size: u64, code: u16) -> Result<u64, Stop> {
        let offset = u64::from(number) * size;
        if offset + size - 1 > u64::from(self.control.idt.limit) {
            return Err(Exception::coded(vector::GP, code).into());
        }
        Ok(self.control.idt.base.wrapping_add(offset))
    }

    /// Reads and checks the gate for `number`.
    fn gate(&mut self, number: u8, source: Source) -> Result<Gate, Stop> {
        let external = u16::from(source != Source::Software);
        let code = gate_code(number, source);
        let bad = || Stop::from(Exception::coded(vector::GP, code));
        let at = self.gate_address(number, 16, code)?;
        let low: u64 = self.system_read(at)?;
        let high: u64 = self.system_read(at.wrapping_add(8))?;
        let kind = (low >> 40 & 0x1f) as u16;
        if !matches!(kind, 0xe | 0xf) {
            return Err(bad());
        }
        if source == Source::Software && ((low >> 45 & 3) as u8) < self.control.cpl {
            return Err(bad());
        }
        if low >> 47 & 1 == 0 {
            return Err(Exception::coded(vector::NP, code).into());
        }
        let gate = Gate {
            selector: (low >> 16) as u16,
            offset: low & 0xffff | low >> 32 & 0xffff_0000 | high << 32,
            ist: (low >> 32 & 7) as u8,
            interrupt: kind == 0xe,
        };
        if !canonical(gate.offset) {
            return Err(Exception::coded(vector::GP, external).into());
        }
        Ok(gate)
    }

    /// The code segment that a gate names, checked, and the new privilege level.
    pub(super) fn gate_target(
        &mut self,
        selector: u16,
        external: u16,
    ) -> Result<(Segment, u8), Stop> {
        if selector & !3 == 0 {
            return Err(Exception::coded(vector::GP, external).into());
        }
        let raw = self
            .descriptor(selector)
            .map_err(|stop| external_code(stop, external))?;
        let cs = parse(selector, raw);
        let size = cs.attributes & (a::LONG | a::BIG);
        let bad_size = self.control.long_mode() && size != a::LONG;
        if !has(&cs, a::ORDINARY | a::CODE) || dpl(&cs) > self.control.cpl || bad_size {
            return Err(external_code(gp(selector), external));
        }
        if !has(&cs, a::PRESENT) {
            return Err(external_code(np(selector), external));
        }
        let conforming = has(&cs, a::CONFORMING);
        let cpl = if conforming {
            self.control.cpl
        } else {
            dpl(&cs)
        };
        Ok((cs, cpl))
    }

    /// Reads a stack pointer at `offset` in the TSS.
    pub(super) fn tss_stack(&mut self, offset: u64, external: u16) -> Result<u64, Stop> {
        if offset + 7 > u64::from(self.control.tr.limit) {
            let code = selector_code(self.control.tr.selector) | external;
            return Err(Exception::coded(vector::TS, code).into());
        }
        let pointer = self.system_read(self.control.tr.base.wrapping_add(offset))?;
        if !canonical(pointer) {
            return Err(Exception::coded(vector::SS, external).into());
        }
        Ok(pointer)
    }
}

/// The error code that names the gate of `number`: bit 1 says that it is in the IDT.
pub(super) fn gate_code(number: u8, source: Source) -> u16 {
    u16::from(number) << 3 | 2 | u16::from(source != Source::Software)
}

/// Adds the EXT bit to the error code of a fault in delivery.
pub(super) fn external_code(stop: Stop, external: u16) -> Stop {
    match stop {
        Stop::Exception(Exception {
            vector,
            code: Some(code),
        }) if vector != vector::PF => Exception::coded(vector, code | external).into(),
        other => other,
    }
}
