//! Flags as data: `clc stc cmc cld std lahf sahf salc pushf popf`.
//!
//! (`cli` and `sti` are with the system instructions.)

use std::marker::PhantomData;

use iced_x86::Instruction;

use crate::emu::arithmetic::flags::{Flags, bit, rflags};
use crate::emu::arithmetic::value::Int;
use crate::emu::cpu::access::Access;
use crate::emu::cpu::stack::{Legacy, Long, StackMode, peek, push};
use crate::emu::cpu::{Cpu, Op};
use crate::emu::engine::form::{Form, Site, forms};
use crate::emu::engine::{Instr, Jump, fast, jump};
use crate::emu::state::control::CodeSize;
use crate::emu::state::exception::Stop;
use crate::emu::state::registers::Slot;

macro_rules! simple {
    ($($(#[$doc:meta])* $name:ident, $lower:ident, |$cpu:ident| $body:expr;)*) => {$(
        $(#[$doc])*
        struct $name;
        impl Instr for $name {
            #[inline(always)]
            fn exec<M: Access>($cpu: &mut Cpu, _: &Op) -> Result<(), Stop> {
                $body;
                Ok(())
            }
        }
        fn $lower(_: &Site, _: &Instruction, op: &mut Op) {
            op.handler = fast::<$name>;
        }
    )*};
}

simple! {
    /// `clc`.
    Clc, lower_clc, |cpu| cpu.regs.flags = cpu.regs.flags.with(bit::CF, false);
    /// `stc`.
    Stc, lower_stc, |cpu| cpu.regs.flags = cpu.regs.flags.with(bit::CF, true);
    /// `cmc`.
    Cmc, lower_cmc, |cpu| cpu.regs.flags = Flags(cpu.regs.flags.0 ^ bit::CF);
    /// `cld`.
    Cld, lower_cld, |cpu| cpu.control.system_flags &= !rflags::DF;
    /// `std`.
    Std, lower_std, |cpu| cpu.control.system_flags |= rflags::DF;
    /// `lahf`.
    Lahf, lower_lahf, |cpu| {
        let low = (cpu.regs.flags.to_rflags() | rflags::FIXED) as u8;
        cpu.regs.gprs.write(Slot::AH, low);
    };
    /// `sahf`.
    Sahf, lower_sahf, |cpu| {
        let low = u64::from(cpu.regs.gprs.read::<u8>(Slot::AH));
        cpu.regs.flags = Flags::from_rflags(low).merged(cpu.regs.flags, bit::OF);
    };
    /// `salc`.
    Salc, lower_salc, |cpu| {
        let value = if cpu.regs.flags.has(bit::CF) { 0xff_u8 } else { 0 };
        cpu.regs.gprs.write(Slot::RAX, value);
    };
}

/// `pushf`: VM and RF are pushed clear.
struct Pushf<T, S>(PhantomData<(T, S)>);

impl<T: Int, S: StackMode> Instr for Pushf<T, S> {
    #[inline(always)]
    fn exec<M: Access>(cpu: &mut Cpu, _: &Op) -> Result<(), Stop> {
        let value = cpu.rflags() & !(rflags::VM | rflags::RF);
        push::<M, T, S>(cpu, T::truncate(value))
    }
}

/// `popf`: IOPL is for ring 0, IF for rings up to IOPL; the rest is for any ring. It ends a
/// block so that pending interrupts and single steps are checked after it; the next
/// instruction is the immediate.
struct Popf<T, S>(PhantomData<(T, S)>);

impl<T: Int, S: StackMode> Jump for Popf<T, S> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<u64, Stop> {
        let value = peek::<M, T, S>(cpu)?.zero_extend();
        S::drop(cpu, T::SIZE);
        cpu.load_rflags(value & !rflags::RF, T::BITS);
        Ok(op.imm.get())
    }
}

fn lower_pushf<T: Int>(site: &Site, _: &Instruction, op: &mut Op) {
    op.handler = if site.size == CodeSize::Bits64 {
        fast::<Pushf<T, Long>>
    } else {
        fast::<Pushf<T, Legacy>>
    };
}

fn lower_popf<T: Int>(site: &Site, _: &Instruction, op: &mut Op) {
    op.imm.set(site.next_rip);
    op.handler = if site.size == CodeSize::Bits64 {
        jump::<Popf<T, Long>>
    } else {
        jump::<Popf<T, Legacy>>
    };
}

pub const FORMS: &[Form] = forms! {
    next [lower_clc]: Clc;
    next [lower_stc]: Stc;
    next [lower_cmc]: Cmc;
    next [lower_cld]: Cld;
    next [lower_std]: Std;
    next [lower_lahf]: Lahf;
    next [lower_sahf]: Sahf;
    next [lower_salc]: Salc;
    next [lower_pushf::<u16>]: Pushfw;
    next [lower_pushf::<u32>]: Pushfd;
    next [lower_pushf::<u64>]: Pushfq;
    end [lower_popf::<u16>]: Popfw;
    end [lower_popf::<u32>]: Popfd;
    end [lower_popf::<u64>]: Popfq;
};
