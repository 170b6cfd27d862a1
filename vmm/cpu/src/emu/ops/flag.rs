//! Flags as data: `clc stc cmc cld std lahf sahf salc pushf popf`.
//!
//! (`cli` and `sti` are with the system instructions.)

use std::marker::PhantomData;

use iced_x86::Instruction;

use super::super::access::Access;
use super::super::cpu::CodeSize;
use super::super::cpu::Cpu;
use super::super::decode::{Form, Site};
use super::super::engine::{Instr, Jump, fast, jump};
use super::super::exception::Stop;
use super::super::flags::{Flags, bit, rflags};
use super::super::op::{Op, Slot};
use super::super::value::Int;
use super::forms;
use super::stack::{Legacy, Long, StackMode, peek, push};

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
    Clc, lower_clc, |cpu| cpu.flags = cpu.flags.with(bit::CF, false);
    /// `stc`.
    Stc, lower_stc, |cpu| cpu.flags = cpu.flags.with(bit::CF, true);
    /// `cmc`.
    Cmc, lower_cmc, |cpu| cpu.flags = Flags(cpu.flags.0 ^ bit::CF);
    /// `cld`.
    Cld, lower_cld, |cpu| cpu.system_flags &= !rflags::DF;
    /// `std`.
    Std, lower_std, |cpu| cpu.system_flags |= rflags::DF;
    /// `lahf`.
    Lahf, lower_lahf, |cpu| {
        let low = (cpu.flags.to_rflags() | rflags::FIXED) as u8;
        cpu.gprs.write(Slot::AH, low);
    };
    /// `sahf`.
    Sahf, lower_sahf, |cpu| {
        let low = u64::from(cpu.gprs.read::<u8>(Slot::AH));
        cpu.flags = Flags::from_rflags(low).merged(cpu.flags, bit::OF);
    };
    /// `salc`.
    Salc, lower_salc, |cpu| {
        let value = if cpu.flags.has(bit::CF) { 0xff_u8 } else { 0 };
        cpu.gprs.write(Slot::RAX, value);
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

/// `popf`: IOPL is for ring 0, IF for rings up to IOPL; the rest is everybody's. It ends a
/// block so that what waits for IF, and single steps, are looked at after it; the next
/// instruction is the immediate.
struct Popf<T, S>(PhantomData<(T, S)>);

impl<T: Int, S: StackMode> Jump for Popf<T, S> {
    fn exec<M: Access>(cpu: &mut Cpu, op: &Op) -> Result<u64, Stop> {
        let value = peek::<M, T, S>(cpu)?.zero_extend();
        S::drop(cpu, T::SIZE);
        cpu.load_flags(value & !rflags::RF, T::BITS);
        Ok(op.imm.get())
    }
}

impl Cpu {
    /// Sets RFLAGS as `popf` and `iret` at the current privilege may, from `value` with
    /// `bits` bits.
    pub(super) fn load_flags(&mut self, value: u64, bits: u32) {
        let old = self.rflags();
        let iopl = (old & rflags::IOPL) >> rflags::IOPL_SHIFT;
        let mut mask = rflags::ARITHMETIC | rflags::TF | rflags::DF | rflags::NT | rflags::RF;
        mask |= rflags::AC | rflags::ID;
        if self.cpl == 0 {
            mask |= rflags::IOPL;
        }
        if u64::from(self.cpl) <= iopl {
            mask |= rflags::IF;
        }
        if bits == 16 {
            mask &= 0xffff;
        }
        self.set_rflags(old & !mask | value & mask);
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

pub(super) const FORMS: &[Form] = forms! {
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
