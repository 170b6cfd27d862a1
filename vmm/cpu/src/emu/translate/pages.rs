//! From linear addresses to the host's: by the page of the stack, or by the TLB.
//!
//! The page that was accessed last by the stack pointer is at hand: as the next access is in it,
//! nearly always, that takes five host instructions in place of seven or eight, and does not wait for the
//! TLB. It is a copy of an entry of the TLB, which does not change while translated code runs; so
//! each entry into it begins without one. What stands for none is a page at a random address that
//! is not canonical: an access there, which a guest cannot find but by trying 2^50 addresses,
//! would be one of memory that is nobody's, and not fault.
//!
//! Rejected: a page for each of some groups of base registers. Streams gain by it what strides
//! lose (SHA-256 42 ms, not 48; a matrix by columns 29, not 21).

use std::cell::UnsafeCell;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::mem::offset_of;
use std::sync::LazyLock;

use iced_x86::{
    Code, ConditionCode, Instruction, InstructionInfoFactory, MemoryOperand, OpAccess, Register,
    UsedMemory,
};

use crate::emu::memory::ram::PAGE;
use crate::emu::memory::tlb::{PLACE_SHIFT, TlbEntry};
use crate::emu::translate::assembler::{Label, at};
use crate::emu::translate::emit::{Emitter, Refused};
use crate::emu::translate::frame::Frame;
use crate::emu::translate::places::{ADDRESS, FREE, in_frame, in_frame_at, low};

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    /// Or reads and writes.
    Write,
}

impl Access {
    /// What `insn` does with its operand in memory.
    pub fn of(insn: &Instruction) -> Self {
        let mut info = InstructionInfoFactory::new();
        let reads =
            |used: &UsedMemory| matches!(used.access(), OpAccess::Read | OpAccess::CondRead);
        if info.info(insn).used_memory().iter().all(reads) {
            Self::Read
        } else {
            Self::Write
        }
    }

    /// The field of an entry in which the page is that it may be in.
    fn page(self) -> i64 {
        let field = match self {
            Self::Read => offset_of!(TlbEntry, read),
            Self::Write => offset_of!(TlbEntry, write),
        };
        field as i64
    }
}

/// A page that may be read and written.
#[repr(C, align(16))]
#[derive(Clone, Copy)]
pub struct Page {
    /// Its linear and its host address.
    linear: u64,
    host: u64,
}

impl Page {
    /// What stands for none. Inlined, its first time would take the place on the stack with which
    /// handlers do not end in jumps.
    #[inline(never)]
    pub fn none() -> &'static Self {
        static NOBODYS: Nobodys = Nobodys(UnsafeCell::new([0; PAGE as usize]));
        static NONE: LazyLock<Page> = LazyLock::new(|| Page {
            // Bits 63 and 62 differ.
            linear: RandomState::new().build_hasher().finish() >> 14 << 12 | 1 << 62,
            host: NOBODYS.0.get().expose_provenance() as u64,
        });
        &NONE
    }
}

/// Memory that nothing depends on.
struct Nobodys(UnsafeCell<[u8; PAGE as usize]>);
// SAFETY: Rust code never accesses it.
unsafe impl Sync for Nobodys {}

/// An access by the stack pointer to another page than that at hand.
pub struct Miss {
    here: Label,
    back: Label,
    exit: Label,
    size: usize,
}

/// Highest offset in a page of an access of `size` bytes.
fn last(size: usize) -> i32 {
    PAGE as i32 - size as i32
}

/// Where in the frame the page at hand is, seen from `above` bytes above it.
fn at_hand(above: i64) -> [MemoryOperand; 2] {
    let page = offset_of!(Frame, stack) as i64 + above;
    [
        in_frame_at(page + offset_of!(Page, linear) as i64),
        in_frame_at(page + offset_of!(Page, host) as i64),
    ]
}

impl Emitter {
    /// From a linear address to the host's, both in r15, for `size` bytes by an address with
    /// the guest's register `base`; leaves if the TLB does not admit the access. Changes rax
    /// and the host's flags, which are in the frame.
    pub fn look_up(&mut self, base: Register, access: Access, size: usize) -> Result<(), Refused> {
        self.spoil_flags();
        if base.full_register() == Register::RSP {
            return self.look_into_stack(size);
        }
        self.look_into_tlb(access, size, 0)?;
        let exit = self.exit();
        self.asm.jump_if(ConditionCode::a, exit);
        let host = at(FREE, offset_of!(TlbEntry, host) as i64);
        Ok(self.asm.with_memory(Code::Add_r64_rm64, ADDRESS, host)?)
    }

    /// The host address of a page of constant linear address, to r15; leaves as
    /// [`look_up`](Self::look_up) does.
    pub fn look_up_constant(&mut self, page: u64, access: Access) -> Result<(), Refused> {
        self.spoil_flags();
        let exit = self.exit();
        let asm = &mut self.asm;
        let place = low(FREE, 4);
        asm.set(FREE, (page >> PLACE_SHIFT) as u32 as u64)?;
        asm.with_memory(Code::And_r32_rm32, place, in_frame!(tlb_mask))?;
        asm.with_memory(Code::Add_r64_rm64, FREE, in_frame!(tlb_entries))?;
        let entry = at(FREE, access.page());
        match i32::try_from(page as i64) {
            Ok(page) => asm.add(&Instruction::with2(Code::Cmp_rm64_imm32, entry, page)?)?,
            Err(_) => {
                asm.set(ADDRESS, page)?;
                asm.with_memory(Code::Cmp_r64_rm64, ADDRESS, entry)?;
            }
        }
        asm.jump_if(ConditionCode::ne, exit);
        Ok(asm.load(ADDRESS, at(FREE, offset_of!(TlbEntry, host) as i64))?)
    }

    fn look_into_stack(&mut self, size: usize) -> Result<(), Refused> {
        let miss = Miss {
            here: self.asm.label(),
            back: self.asm.label(),
            exit: self.exit(),
            size,
        };
        let [linear, host] = at_hand(0);
        let asm = &mut self.asm;
        asm.with_memory(Code::Sub_r64_rm64, ADDRESS, linear)?;
        asm.with_value(Code::Cmp_rm64_imm32, ADDRESS, last(size))?;
        asm.jump_if(ConditionCode::a, miss.here);
        asm.bind(miss.back);
        asm.with_memory(Code::Add_r64_rm64, ADDRESS, host)?;
        self.misses.push(miss);
        Ok(())
    }

    /// From a linear address to the offset in the page that the TLB has for it, both in r15,
    /// and its entry in rax; "above" if it does not admit the access. The frame is `above`
    /// bytes above the stack's top.
    fn look_into_tlb(&mut self, access: Access, size: usize, above: i64) -> Result<(), Refused> {
        let field = |field: usize| in_frame_at(field as i64 + above);
        let place = low(FREE, 4);
        let asm = &mut self.asm;
        let (address, shift) = (low(ADDRESS, 4), PLACE_SHIFT as i32);
        if is_x86_feature_detected!("bmi2") {
            // What it rotates into the upper bits, the mask clears.
            let rotate = Code::VEX_Rorx_r32_rm32_imm8;
            asm.add(&Instruction::with3(rotate, place, address, shift)?)?;
        } else {
            asm.with_register(Code::Mov_r32_rm32, place, address)?;
            asm.with_value(Code::Shr_rm32_imm8, place, shift)?;
        }
        asm.with_memory(
            Code::And_r32_rm32,
            place,
            field(offset_of!(Frame, tlb_mask)),
        )?;
        asm.with_memory(
            Code::Add_r64_rm64,
            FREE,
            field(offset_of!(Frame, tlb_entries)),
        )?;
        asm.with_memory(Code::Sub_r64_rm64, ADDRESS, at(FREE, access.page()))?;
        Ok(asm.with_value(Code::Cmp_rm64_imm32, ADDRESS, last(size))?)
    }

    /// The ways from the stack's page at hand to another one.
    pub fn misses(&mut self) -> Result<(), Refused> {
        let mut routines: Vec<(usize, Label)> = Vec::new();
        for miss in std::mem::take(&mut self.misses) {
            let known = routines.iter().find(|&&(size, _)| size == miss.size);
            let routine = known.map(|&(_, label)| label).unwrap_or_else(|| {
                let label = self.asm.label();
                routines.push((miss.size, label));
                label
            });
            self.asm.bind(miss.here);
            self.asm.call(routine);
            self.asm.jump_if(ConditionCode::be, miss.back);
            self.asm.jump(miss.exit);
        }
        for (size, label) in routines {
            self.asm.bind(label);
            self.other_stack_page(size)?;
        }
        Ok(())
    }

    /// From an offset to the page at hand, in r15, to one in the page that the TLB has for it,
    /// which is at hand then; "above" if the TLB does not admit a write.
    fn other_stack_page(&mut self, size: usize) -> Result<(), Refused> {
        // There is a return address.
        let above = 8;
        let [linear, host] = at_hand(above);
        let aside = in_frame_at(offset_of!(Frame, offset) as i64 + above);
        let done = self.asm.label();
        self.asm.with_memory(Code::Add_r64_rm64, ADDRESS, linear)?;
        self.look_into_tlb(Access::Write, size, above)?;
        let asm = &mut self.asm;
        asm.jump_if(ConditionCode::a, done);
        asm.store(aside, ADDRESS)?;
        asm.load(ADDRESS, at(FREE, Access::Write.page()))?;
        asm.store(linear, ADDRESS)?;
        asm.load(ADDRESS, at(FREE, offset_of!(TlbEntry, host) as i64))?;
        asm.store(host, ADDRESS)?;
        asm.load(ADDRESS, aside)?;
        asm.bind(done);
        Ok(asm.add(&Instruction::with(Code::Retnq))?)
    }
}
