//! String instructions: `movs stos lods cmps scas`, with repeat prefixes; `ins` and `outs`
//! are in [`crate::emu::ops::system::string_io`].
//!
//! A repeated instruction commits each element, and its flags as AMD's processors do (on
//! Intel's, a fault and a trap see those from before the instruction); it is retired as one
//! instruction when it ends. It stops when the slice's work is spent ([`Stop::Again`]) so
//! that kicks and interrupts are served: it resumes by executing again, as after an
//! interrupt on a processor. `rep movs` and `rep stos` go a page at a time where both sides
//! are plain RAM.

use std::marker::PhantomData;
use std::ptr;

use iced_x86::{Instruction, OpKind};

use crate::emu::arithmetic::flags::{Flags, bit, rflags};
use crate::emu::arithmetic::value::Int;
use crate::emu::code::op::Aux;
use crate::emu::cpu::access::Access;
use crate::emu::cpu::{Cpu, Op};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::operand::memory_segment;
use crate::emu::engine::{Instr, fast};
use crate::emu::memory::ram::to_page_end;
use crate::emu::state::exception::Stop;
use crate::emu::state::registers::Slot;
use crate::emu::state::segment::{DS, ES, FS, Linear};

/// Bytes in a bulk operation for a unit of work.
const BYTES_AT_ONCE: u64 = 32;

/// How an instruction repeats.
trait Repeat: 'static {
    const REPEATS: bool = true;
    /// Whether it continues after an element that gave `flags`.
    fn goes_on(_flags: Flags) -> bool {
        true
    }
}

struct Once;
/// Until the count is zero.
struct Rep;
/// And while equal.
struct RepE;
/// And while not equal.
struct RepNe;

impl Repeat for Once {
    const REPEATS: bool = false;
}
impl Repeat for Rep {}
impl Repeat for RepE {
    fn goes_on(flags: Flags) -> bool {
        flags.has(bit::ZF)
    }
}
impl Repeat for RepNe {
    fn goes_on(flags: Flags) -> bool {
        !flags.has(bit::ZF)
    }
}

/// One element's work.
trait Element: 'static {
    /// Whether rsi and rdi advance.
    const SOURCE: bool;
    const DESTINATION: bool;
    /// Does it; commits all or nothing but the advance of registers. `flags` is what the
    /// instruction leaves in the flags when it ends or stops.
    fn one<M: Access>(cpu: &mut Cpu, op: &Op, flags: &mut Flags) -> Result<(), Stop>;
    /// Does up to `count` elements upwards at once and says how many, if it can.
    #[inline(always)]
    fn many(_cpu: &mut Cpu, _op: &Op, _count: u64) -> u64 {
        0
    }
}

/// Where the source is.
#[inline(always)]
pub fn source(cpu: &Cpu, op: &Op, size: u64) -> Result<Linear, Stop> {
    let offset = cpu.regs.gprs.read::<u64>(Slot::RSI) & op.aux.address_mask();
    cpu.control.linear(op.aux.segment(), offset, size, false)
}

/// Where the destination is.
#[inline(always)]
pub fn destination(cpu: &Cpu, op: &Op, size: u64, write: bool) -> Result<Linear, Stop> {
    let offset = cpu.regs.gprs.read::<u64>(Slot::RDI) & op.aux.address_mask();
    cpu.control.linear(ES as u8, offset, size, write)
}

/// Moves `register` by `by`, within the address size.
#[inline(always)]
pub fn advance(cpu: &mut Cpu, op: &Op, register: Slot, by: u64) {
    let old: u64 = cpu.regs.gprs.read(register);
    let new = old.wrapping_add(by);
    let value = match op.aux.address_mask() {
        0xffff => old & !0xffff | new & 0xffff,
        mask => new & mask,
    };
    cpu.regs.gprs.write(register, value);
}

/// A whole string instruction.
struct Str<X, T, R>(PhantomData<(X, T, R)>);

impl<X: Element, T: Int, R: Repeat> Instr for Str<X, T, R> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<(), Stop> {
        let down = cpu.control.system_flags & rflags::DF != 0;
        let step = if down {
            T::SIZE.wrapping_neg()
        } else {
            T::SIZE
        };
        let mut flags = cpu.regs.flags;
        if !R::REPEATS {
            X::one::<M>(cpu, op, &mut flags)?;
            finish::<X>(cpu, op, step);
            cpu.regs.flags = flags;
            return Ok(());
        }
        // A single step is one element: not one here and another on the slow path.
        let stepping = cpu.control.steps_by_element();
        if stepping && !M::SLOW {
            return Err(Stop::Miss);
        }
        let mut first = true;
        loop {
            let count = cpu.regs.gprs.read::<u64>(Slot::RCX) & op.aux.address_mask();
            if count == 0 {
                cpu.regs.flags = flags;
                return Ok(());
            }
            if !first && (stepping || cpu.meter.work <= 0) {
                cpu.regs.flags = flags;
                return Err(Stop::Again);
            }
            first = false;
            let many = if down { 0 } else { X::many(cpu, op, count) };
            let done = many.max(1);
            if many == 0 {
                if let Err(stop) = X::one::<M>(cpu, op, &mut flags) {
                    cpu.regs.flags = flags;
                    return Err(stop);
                }
                if M::SLOW {
                    cpu.outside.replies.clear();
                }
            }
            finish::<X>(cpu, op, step.wrapping_mul(done));
            advance(cpu, op, Slot::RCX, done.wrapping_neg());
            cpu.meter
                .charge(1 + (done * T::SIZE / BYTES_AT_ONCE) as i64);
            if !R::goes_on(flags) {
                cpu.regs.flags = flags;
                return Ok(());
            }
        }
    }
}

/// Advances the index registers.
#[inline(always)]
fn finish<X: Element>(cpu: &mut Cpu, op: &Op, by: u64) {
    if X::SOURCE {
        advance(cpu, op, Slot::RSI, by);
    }
    if X::DESTINATION {
        advance(cpu, op, Slot::RDI, by);
    }
}

struct Movs<T>(PhantomData<T>);

impl<T: Int> Element for Movs<T> {
    const SOURCE: bool = true;
    const DESTINATION: bool = true;
    #[inline(always)]
    fn one<M: Access>(cpu: &mut Cpu, op: &Op, _: &mut Flags) -> Result<(), Stop> {
        let from = source(cpu, op, T::SIZE)?;
        let to = destination(cpu, op, T::SIZE, true)?;
        let value: T = M::load(cpu, from)?;
        M::store(cpu, to, value)
    }
    fn many(cpu: &mut Cpu, op: &Op, count: u64) -> u64 {
        if !flat(op) {
            return 0;
        }
        let from: u64 = cpu.regs.gprs.read(Slot::RSI);
        let to: u64 = cpu.regs.gprs.read(Slot::RDI);
        let room = to_page_end(from).min(to_page_end(to)) / T::SIZE;
        let count = count.min(room);
        let (Some(source), Some(target)) =
            (cpu.mmu.read(from, T::SIZE), cpu.mmu.write(to, T::SIZE))
        else {
            return 0;
        };
        let bytes = count * T::SIZE;
        // A destination that overlaps the source from above repeats what was copied.
        if (target.addr() as u64).wrapping_sub(source.addr() as u64) < bytes {
            return 0;
        }
        // SAFETY: the TLB says that guest RAM is there to the end of both pages.
        unsafe { ptr::copy(source, target, bytes as usize) };
        count
    }
}

struct Stos<T>(PhantomData<T>);

impl<T: Int> Element for Stos<T> {
    const SOURCE: bool = false;
    const DESTINATION: bool = true;
    #[inline(always)]
    fn one<M: Access>(cpu: &mut Cpu, op: &Op, _: &mut Flags) -> Result<(), Stop> {
        let to = destination(cpu, op, T::SIZE, true)?;
        M::store(cpu, to, cpu.regs.get::<T>(Slot::RAX))
    }
    fn many(cpu: &mut Cpu, op: &Op, count: u64) -> u64 {
        if !flat(op) {
            return 0;
        }
        let to: u64 = cpu.regs.gprs.read(Slot::RDI);
        let count = count.min(to_page_end(to) / T::SIZE);
        let Some(target) = cpu.mmu.write(to, T::SIZE) else {
            return 0;
        };
        let value = cpu.regs.get::<T>(Slot::RAX);
        let target = target.cast::<T>();
        for i in 0..count as usize {
            // SAFETY: the TLB says that guest RAM is there to the end of the page.
            unsafe { target.add(i).write_unaligned(value) };
        }
        count
    }
}

/// Whether addresses are registers as they are: 64-bit code, no FS or GS.
fn flat(op: &Op) -> bool {
    op.aux.address_mask() == u64::MAX && usize::from(op.aux.segment()) < FS
}

struct Lods<T>(PhantomData<T>);

impl<T: Int> Element for Lods<T> {
    const SOURCE: bool = true;
    const DESTINATION: bool = false;
    #[inline(always)]
    fn one<M: Access>(cpu: &mut Cpu, op: &Op, _: &mut Flags) -> Result<(), Stop> {
        let from = source(cpu, op, T::SIZE)?;
        let value: T = M::load(cpu, from)?;
        cpu.regs.set(Slot::RAX, value);
        Ok(())
    }
}

struct Cmps<T>(PhantomData<T>);

impl<T: Int> Element for Cmps<T> {
    const SOURCE: bool = true;
    const DESTINATION: bool = true;
    #[inline(always)]
    fn one<M: Access>(cpu: &mut Cpu, op: &Op, flags: &mut Flags) -> Result<(), Stop> {
        let to = destination(cpu, op, T::SIZE, false)?;
        let from = source(cpu, op, T::SIZE)?;
        // In this order: it decides which of two faults is seen.
        let b: T = M::load(cpu, to)?;
        let a: T = M::load(cpu, from)?;
        *flags = T::sub(a, b, *flags).1;
        Ok(())
    }
}

struct Scas<T>(PhantomData<T>);

impl<T: Int> Element for Scas<T> {
    const SOURCE: bool = false;
    const DESTINATION: bool = true;
    #[inline(always)]
    fn one<M: Access>(cpu: &mut Cpu, op: &Op, flags: &mut Flags) -> Result<(), Stop> {
        let to = destination(cpu, op, T::SIZE, false)?;
        let b: T = M::load(cpu, to)?;
        *flags = T::sub(cpu.regs.get::<T>(Slot::RAX), b, *flags).1;
        Ok(())
    }
}

/// Fills in address size and source segment.
pub fn set_strings(site: &Site, insn: &Instruction, op: &mut Op) {
    let mut size = 2;
    let mut segment = DS as u8;
    for i in 0..insn.op_count() {
        match insn.op_kind(i) {
            OpKind::MemorySegSI | OpKind::MemoryESDI => size = 0,
            OpKind::MemorySegESI | OpKind::MemoryESEDI => size = 1,
            _ => {}
        }
        if matches!(
            insn.op_kind(i),
            OpKind::MemorySegSI | OpKind::MemorySegESI | OpKind::MemorySegRSI
        ) {
            segment = memory_segment(site, insn);
        }
    }
    op.aux = Aux::new(0, segment, size);
}

/// Lowers an instruction that ignores the kind of repeat prefix.
fn lower_moving<X: Element, T: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    set_strings(site, insn, op);
    op.handler = if insn.has_rep_prefix() || insn.has_repne_prefix() {
        fast::<Str<X, T, Rep>>
    } else {
        fast::<Str<X, T, Once>>
    };
}

fn lower_comparing<X: Element, T: Int>(site: &Site, insn: &Instruction, op: &mut Op) {
    set_strings(site, insn, op);
    op.handler = if insn.has_repne_prefix() {
        fast::<Str<X, T, RepNe>>
    } else if insn.has_rep_prefix() {
        fast::<Str<X, T, RepE>>
    } else {
        fast::<Str<X, T, Once>>
    };
}

pub const FORMS: &[Form] = forms! {
    next [lower_moving::<Movs<u8>, u8>]: Movsb_m8_m8;
    next [lower_moving::<Movs<u16>, u16>]: Movsw_m16_m16;
    next [lower_moving::<Movs<u32>, u32>]: Movsd_m32_m32;
    next [lower_moving::<Movs<u64>, u64>]: Movsq_m64_m64;
    next [lower_moving::<Stos<u8>, u8>]: Stosb_m8_AL;
    next [lower_moving::<Stos<u16>, u16>]: Stosw_m16_AX;
    next [lower_moving::<Stos<u32>, u32>]: Stosd_m32_EAX;
    next [lower_moving::<Stos<u64>, u64>]: Stosq_m64_RAX;
    next [lower_moving::<Lods<u8>, u8>]: Lodsb_AL_m8;
    next [lower_moving::<Lods<u16>, u16>]: Lodsw_AX_m16;
    next [lower_moving::<Lods<u32>, u32>]: Lodsd_EAX_m32;
    next [lower_moving::<Lods<u64>, u64>]: Lodsq_RAX_m64;
    next [lower_comparing::<Cmps<u8>, u8>]: Cmpsb_m8_m8;
    next [lower_comparing::<Cmps<u16>, u16>]: Cmpsw_m16_m16;
    next [lower_comparing::<Cmps<u32>, u32>]: Cmpsd_m32_m32;
    next [lower_comparing::<Cmps<u64>, u64>]: Cmpsq_m64_m64;
    next [lower_comparing::<Scas<u8>, u8>]: Scasb_AL_m8;
    next [lower_comparing::<Scas<u16>, u16>]: Scasw_AX_m16;
    next [lower_comparing::<Scas<u32>, u32>]: Scasd_EAX_m32;
    next [lower_comparing::<Scas<u64>, u64>]: Scasq_RAX_m64;
};
