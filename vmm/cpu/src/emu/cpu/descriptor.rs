//! Loading segment registers, with their privilege checks (AMD APM vol. 2 4.8 to 4.11).

use x86::{segment as a, vector};

use crate::Segment;
use crate::emu::cpu::Cpu;
use crate::emu::state::control::{CodeSize, canonical};
use crate::emu::state::exception::{Exception, Stop};
use crate::emu::state::segment::{CS, SS, dpl, gp, has, np, parse, rpl, ss};

impl Cpu {
    /// Reads the low eight bytes of the descriptor that `selector` names.
    ///
    /// # Errors
    /// #GP with the selector if it lies outside its table; an exception of the read.
    pub fn descriptor(&mut self, selector: u16) -> Result<u64, Stop> {
        self.descriptor_part(selector, 0)
    }

    /// Reads the high eight bytes of a descriptor of 16.
    ///
    /// # Errors
    /// As for [`descriptor`](Self::descriptor).
    pub(super) fn descriptor_high(&mut self, selector: u16) -> Result<u64, Stop> {
        self.descriptor_part(selector, 8)
    }

    fn descriptor_part(&mut self, selector: u16, part: u32) -> Result<u64, Stop> {
        let (base, limit) = if selector & 4 == 0 {
            (self.control.gdt.base, u32::from(self.control.gdt.limit))
        } else if has(&self.control.ldt, a::PRESENT) {
            (self.control.ldt.base, self.control.ldt.limit)
        } else {
            return Err(gp(selector));
        };
        let offset = u32::from(selector & !7) + part;
        if offset + 7 > limit {
            return Err(gp(selector));
        }
        self.system_read(base.wrapping_add(u64::from(offset)))
    }

    /// The value of data segment register `number` (or SS) for `selector`, checked.
    ///
    /// # Errors
    /// The exception that the load raises.
    pub fn data_segment(&mut self, number: usize, selector: u16) -> Result<Segment, Stop> {
        if self.control.real_mode() {
            return Ok(self.real_segment(number, selector));
        }
        if number == SS {
            return self.stack_segment(
                selector,
                self.control.cpl,
                self.control.code_size == CodeSize::Bits64,
            );
        }
        if selector & !3 == 0 {
            return Ok(null_segment(selector));
        }
        let raw = self.descriptor(selector)?;
        let segment = parse(selector, raw);
        let code = has(&segment, a::CODE);
        let unreadable = code && !has(&segment, a::READABLE);
        let conforming = code && has(&segment, a::CONFORMING);
        let too_private = !conforming && dpl(&segment) < self.control.cpl.max(rpl(selector));
        if !has(&segment, a::ORDINARY) || unreadable || too_private {
            return Err(gp(selector));
        }
        if !has(&segment, a::PRESENT) {
            return Err(np(selector));
        }
        self.mark_accessed(selector, raw)?;
        Ok(segment)
    }

    /// The value of SS for `selector` at privilege `cpl`; `long` admits a null selector
    /// outside ring 3.
    pub fn stack_segment(&mut self, selector: u16, cpl: u8, long: bool) -> Result<Segment, Stop> {
        if selector & !3 == 0 {
            return if long && cpl != 3 && rpl(selector) == cpl {
                Ok(Segment {
                    attributes: u16::from(cpl) << a::DPL_SHIFT,
                    ..null_segment(selector)
                })
            } else {
                Err(Exception::GP.into())
            };
        }
        let raw = self.descriptor(selector)?;
        let segment = parse(selector, raw);
        let data = has(&segment, a::ORDINARY | a::WRITABLE) && !has(&segment, a::CODE);
        if !data || rpl(selector) != cpl || dpl(&segment) != cpl {
            return Err(gp(selector));
        }
        if !has(&segment, a::PRESENT) {
            return Err(ss(selector));
        }
        self.mark_accessed(selector, raw)?;
        Ok(segment)
    }

    /// The value of CS for a far jump or call to `selector`, which keeps the privilege.
    pub fn far_code_segment(&mut self, selector: u16) -> Result<Segment, Stop> {
        if selector & !3 == 0 {
            return Err(Exception::GP.into());
        }
        let raw = self.descriptor(selector)?;
        let segment = parse(selector, raw);
        if !has(&segment, a::ORDINARY) {
            return Err(gp(selector));
        }
        let allowed = if has(&segment, a::CONFORMING) {
            dpl(&segment) <= self.control.cpl
        } else {
            dpl(&segment) == self.control.cpl && rpl(selector) <= self.control.cpl
        };
        self.code_segment(segment, raw, allowed, self.control.cpl)
    }

    /// The value of CS for a return to `selector`, to its RPL.
    pub fn return_code_segment(&mut self, selector: u16) -> Result<Segment, Stop> {
        if selector & !3 == 0 {
            return Err(Exception::GP.into());
        }
        let raw = self.descriptor(selector)?;
        let segment = parse(selector, raw);
        let target = rpl(selector);
        let allowed = target >= self.control.cpl
            && if has(&segment, a::CONFORMING) {
                dpl(&segment) <= target
            } else {
                dpl(&segment) == target
            };
        self.code_segment(segment, raw, allowed, target)
    }

    /// The checks on a code segment that are the same for all transfers: `allowed` has the
    /// others. The selector gets `cpl`.
    pub(super) fn code_segment(
        &mut self,
        segment: Segment,
        raw: u64,
        allowed: bool,
        cpl: u8,
    ) -> Result<Segment, Stop> {
        let selector = segment.selector;
        let both = a::LONG | a::BIG;
        let bad_size = self.control.long_mode() && has(&segment, both);
        if !has(&segment, a::ORDINARY | a::CODE) || !allowed || bad_size {
            return Err(gp(selector));
        }
        if !has(&segment, a::PRESENT) {
            return Err(np(selector));
        }
        self.mark_accessed(selector, raw)?;
        Ok(Segment {
            selector: selector & !3 | u16::from(cpl),
            ..segment
        })
    }

    /// Sets the accessed bit of an ordinary segment's descriptor.
    fn mark_accessed(&mut self, selector: u16, raw: u64) -> Result<(), Stop> {
        let accessed = u64::from(a::ACCESSED) << 40;
        if raw & accessed == 0 {
            let base = if selector & 4 == 0 {
                self.control.gdt.base
            } else {
                self.control.ldt.base
            };
            let at = base.wrapping_add(u64::from(selector & !7));
            self.system_write(at, raw | accessed)?;
        }
        Ok(())
    }

    /// Nulls the data segments that a return to less privilege may not keep.
    pub fn drop_private_segments(&mut self) {
        for number in [0, 3, 4, 5] {
            let segment = &self.control.segments[number];
            let conforming = has(segment, a::CODE | a::CONFORMING);
            if !conforming && dpl(segment) < self.control.cpl && has(segment, a::PRESENT) {
                let base = segment.base;
                self.control.segments[number] = null_segment(0);
                if self.control.long_mode() && number >= 4 {
                    // As AMD processors do, keep what 64-bit code uses.
                    self.control.segments[number].base = base;
                }
            }
        }
    }

    /// `lldt`: LDTR for `selector`.
    pub fn load_ldt(&mut self, selector: u16) -> Result<(), Stop> {
        if selector & !3 == 0 {
            self.control.ldt = null_segment(selector);
            return Ok(());
        }
        self.control.ldt = self.system_segment(selector, a::TYPE_LDT)?;
        Ok(())
    }

    /// `ltr`: TR for `selector`, which becomes busy.
    pub fn load_tr(&mut self, selector: u16) -> Result<(), Stop> {
        if selector & !3 == 0 {
            return Err(Exception::GP.into());
        }
        let raw = self.descriptor(selector)?;
        let narrow = parse(selector, raw).attributes & (a::ORDINARY | a::TYPE) == a::TYPE_TSS_16;
        let kind = match narrow && !self.control.long_mode() {
            true => a::TYPE_TSS_16,
            false => a::TYPE_TSS,
        };
        let mut segment = self.system_segment(selector, kind)?;
        let at = self.control.gdt.base.wrapping_add(u64::from(selector & !7));
        let busy = u64::from(a::TYPE_TSS ^ a::TYPE_TSS_BUSY) << 40;
        self.system_write(at, raw | busy)?;
        segment.attributes |= a::TYPE_TSS_BUSY;
        self.control.tr = segment;
        Ok(())
    }

    /// A system segment of the GDT; in long mode its descriptor has 16 bytes.
    fn system_segment(&mut self, selector: u16, kind: u16) -> Result<Segment, Stop> {
        if selector & 4 != 0 {
            return Err(gp(selector));
        }
        let raw = self.descriptor(selector)?;
        let mut segment = parse(selector, raw);
        if segment.attributes & (a::ORDINARY | a::TYPE) != kind {
            return Err(gp(selector));
        }
        if !has(&segment, a::PRESENT) {
            return Err(np(selector));
        }
        if self.control.long_mode() {
            let high = self.descriptor_high(selector)?;
            segment.base |= high << 32;
            if !canonical(segment.base) || high >> 40 & 0x1f != 0 {
                return Err(gp(selector));
            }
        }
        Ok(segment)
    }

    /// The result of `verr` (or `verw` if `write`) for `selector`.
    pub fn verify(&mut self, selector: u16, write: bool) -> Result<bool, Stop> {
        let Some(segment) = self.probe_descriptor(selector)? else {
            return Ok(false);
        };
        let code = has(&segment, a::CODE);
        let conforming = code && has(&segment, a::CONFORMING);
        let visible =
            (conforming && !write) || dpl(&segment) >= self.control.cpl.max(rpl(selector));
        let right = if write {
            !code && has(&segment, a::WRITABLE)
        } else {
            !code || has(&segment, a::READABLE)
        };
        Ok(has(&segment, a::ORDINARY) && visible && right)
    }

    /// The descriptor for `lar` and `lsl`, if it is visible to them: its high half and the
    /// segment.
    pub fn inspect(
        &mut self,
        selector: u16,
        for_limit: bool,
    ) -> Result<Option<(u32, Segment)>, Stop> {
        let Some(segment) = self.probe_descriptor(selector)? else {
            return Ok(None);
        };
        let raw = self.descriptor(selector)?;
        let kind = segment.attributes & a::TYPE;
        let good_kind = has(&segment, a::ORDINARY)
            || match kind {
                a::TYPE_LDT | a::TYPE_TSS | a::TYPE_TSS_BUSY => true,
                1 | 3 => !self.control.long_mode(),
                4 => !for_limit && !self.control.long_mode(),
                12 => !for_limit,
                _ => false,
            };
        let conforming = has(&segment, a::ORDINARY | a::CODE | a::CONFORMING);
        let visible = conforming || dpl(&segment) >= self.control.cpl.max(rpl(selector));
        Ok((good_kind && visible).then_some(((raw >> 32) as u32, segment)))
    }

    /// The descriptor, or none where it lies outside the table.
    fn probe_descriptor(&mut self, selector: u16) -> Result<Option<Segment>, Stop> {
        if selector & !3 == 0 {
            return Ok(None);
        }
        match self.descriptor(selector) {
            Ok(raw) => Ok(Some(parse(selector, raw))),
            Err(Stop::Exception(e)) if e.vector == vector::GP => Ok(None),
            Err(stop) => Err(stop),
        }
    }

    /// The value of segment register `number` for `selector` in real mode, where loads leave
    /// the limit.
    fn real_segment(&self, number: usize, selector: u16) -> Segment {
        let cached = self.control.segments[number];
        let usable = a::PRESENT | a::ORDINARY | a::ACCESSED | a::WRITABLE;
        Segment {
            selector,
            base: u64::from(selector) << 4,
            attributes: cached.attributes | usable,
            ..cached
        }
    }

    /// Changes CS to `selector` in real mode.
    pub fn set_real_cs(&mut self, selector: u16) {
        self.control.segments[CS] = self.real_segment(CS, selector);
        self.code_segment_changed();
    }

    /// Checks the instruction pointer for a new CS: canonical in 64-bit code, else within
    /// the limit.
    ///
    /// # Errors
    /// #GP(0) if not.
    pub fn check_target(&self, cs: &Segment, rip: u64) -> Result<(), Stop> {
        let good = if self.control.long_mode() && has(cs, a::LONG) {
            canonical(rip)
        } else {
            rip <= u64::from(cs.limit)
        };
        if good {
            Ok(())
        } else {
            Err(Exception::GP.into())
        }
    }

    /// Changes CS; the privilege is that of its selector, and changes after `retired`
    /// instructions.
    pub fn set_cs(&mut self, cs: Segment, retired: u64) {
        let cpl = rpl(cs.selector);
        let size = self.control.code_size;
        self.control.segments[CS] = cs;
        self.set_cpl(cpl, retired);
        let still_long = size == CodeSize::Bits64 && self.control.long_mode() && has(&cs, a::LONG);
        if !still_long {
            self.code_segment_changed();
            self.check_mode();
        }
    }
}

/// A segment that cannot be used, as a null selector makes it.
pub fn null_segment(selector: u16) -> Segment {
    Segment {
        selector,
        ..Segment::default()
    }
}
