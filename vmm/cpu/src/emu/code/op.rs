//! The decoded form of an instruction: the interface between decoding and execution.
//!
//! A basic block is a [`Block`] header followed by one [`Op`] for each instruction and a
//! last one that continues with the next block. Everything an instruction needs was worked
//! out when it was decoded: the handler for its operand forms, widths and flag liveness,
//! register numbers as byte offsets, displacement, immediate.
//!
//! Operand order is that of the engine: `dst`, `src` for registers; `base`, `index`,
//! `disp` and the low bits of `aux` for the one memory operand; `imm`. Direct branches
//! have no operands but use the same fields: `disp` and `imm` link to the taken and the
//! fall-through block, and the four slots hold the distance of the target.

use std::cell::Cell;
use std::mem::size_of;
use std::ptr;

use crate::emu::memory::ram::PAGE;
use crate::emu::state::registers::Slot;

/// Executes one instruction on a CPU `C` and, with tail calls, all that follow: see
/// [`crate::emu::engine`]. Returns the next op to execute, or null to leave the engine.
///
/// # Safety
/// The CPU is not otherwise borrowed, and the op is part of a live block.
pub type Handler<C> = unsafe fn(*mut C, *const Op<C>) -> *const Op<C>;

/// Longest instruction, in bytes.
pub const LONGEST: usize = 15;
/// Most instructions in a block.
pub const BLOCK_LIMIT: usize = 64;

/// One decoded instruction.
#[repr(C)]
pub struct Op<C> {
    /// What executes it.
    pub handler: Handler<C>,
    /// Displacement of the memory operand (absolute where it was relative to rip).
    pub disp: Cell<u64>,
    /// Immediate, sign-extended as the instruction wants it.
    pub imm: Cell<u64>,
    /// Destination register.
    pub dst: Slot,
    /// Source register.
    pub src: Slot,
    /// Base register of the address.
    pub base: Slot,
    /// Index register of the address.
    pub index: Slot,
    /// Scale, segment and address size: see [`Aux`].
    pub aux: Aux,
    /// Instructions before this one in its block.
    pub n: u8,
    /// Bytes before this one in its block.
    pub off: u16,
}

/// Addressing details: bits 0 and 1 the scale's logarithm, 2 to 4 the segment (0 to 5 as
/// in ModRM), 5 and 6 the address size (0: 16, 1: 32, 2: 64 bits).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Aux(pub u8);

impl Aux {
    pub const fn new(scale_log2: u8, segment: u8, size: u8) -> Self {
        Self(scale_log2 & 3 | (segment & 7) << 2 | (size & 3) << 5)
    }
    #[inline(always)]
    pub fn scale(self) -> u32 {
        u32::from(self.0 & 3)
    }
    #[inline(always)]
    pub fn segment(self) -> u8 {
        self.0 >> 2 & 7
    }
    /// The mask of an address's significant bits.
    #[inline(always)]
    pub fn address_mask(self) -> u64 {
        match self.0 >> 5 & 3 {
            0 => 0xffff,
            1 => 0xffff_ffff,
            _ => u64::MAX,
        }
    }
}

/// A basic block's header; `Op`s follow it in memory.
#[repr(C)]
pub struct Block {
    /// The fetch context in which the block was last found to be what is at `rip`; valid
    /// only while it equals the CPU's own. 0 never does.
    pub ctx: Cell<u64>,
    /// Instruction pointer of the first instruction.
    pub rip: u64,
    /// Guest-physical address of the first byte.
    pub phys: u64,
    /// Guest-physical page of the last byte where that differs from the first's, else
    /// `u64::MAX`.
    pub second_page: u64,
    /// Where its translation is, or what leaves translated code for its first op.
    pub code: Cell<u64>,
    /// The first op's own handler, a [`Handler`], where another one stands for it; else null.
    pub own_handler: Cell<*const ()>,
    /// Limit of CS that it was decoded for, outside 64-bit mode.
    pub limit: u32,
    /// Which of the [`Regions`](crate::emu::code::regions::Regions) it is part of, if any.
    pub region: Cell<u32>,
    /// Bytes of code.
    pub len: u16,
    /// Code size and floating-point mode that it was decoded for.
    pub mode: u16,
    /// Times that it was entered, while that is counted.
    pub heat: Cell<u16>,
    /// Instructions.
    pub count: u8,
}

impl Block {
    /// Bytes from the header to the first op.
    pub const HEADER: usize = 64;

    /// The first op of the block at `block`.
    #[inline(always)]
    pub fn first<C>(block: *const Self) -> *const Op<C> {
        block.cast::<u8>().wrapping_add(Self::HEADER).cast()
    }

    /// How many of its bytes are at `start` and after it in the page: `start` is where the
    /// block begins, or its second page. `None` if it has none.
    pub fn bytes_from(&self, start: u64) -> Option<u64> {
        let len = u64::from(self.len);
        let in_first = len.min(PAGE - self.phys % PAGE);
        if start == self.phys {
            Some(in_first)
        } else {
            (start == self.second_page && start != u64::MAX).then_some(len - in_first)
        }
    }

    /// Bytes that a block of `ops` ops takes.
    pub const fn size(ops: usize) -> usize {
        Self::HEADER + ops * OP_SIZE
    }
}

/// Bytes of an op.
const OP_SIZE: usize = 32;
const _: () = assert!(size_of::<Op<()>>() == OP_SIZE && size_of::<Block>() <= Block::HEADER);

impl<C> Op<C> {
    /// An op of no operands.
    pub fn new(handler: Handler<C>) -> Self {
        Self {
            handler,
            disp: Cell::new(0),
            imm: Cell::new(0),
            dst: Slot::ZERO,
            src: Slot::ZERO,
            base: Slot::ZERO,
            index: Slot::ZERO,
            aux: Aux::default(),
            n: 0,
            off: 0,
        }
    }

    /// Replaces what executes the op at `op`.
    ///
    /// # Safety
    /// `op` points into a live block, of which no reference is held.
    pub unsafe fn set_handler(op: *const Self, handler: Handler<C>) {
        // SAFETY: the caller vouches for `op`; a block's memory is that of a vector of its own
        // cache's, or decoder's, which gives no reference to it.
        unsafe { (*op.cast_mut()).handler = handler };
    }

    /// Makes it a direct branch, `distance` from the end of the instruction.
    pub fn set_distance(&mut self, distance: i32) {
        let [a, b, c, d] = distance.to_le_bytes();
        (self.dst, self.src, self.base, self.index) = (Slot(a), Slot(b), Slot(c), Slot(d));
        self.disp.set(NO_BLOCK.link());
        self.imm.set(NO_BLOCK.link());
    }

    /// A direct branch's distance.
    pub fn distance(&self) -> i32 {
        i32::from_le_bytes([self.dst.0, self.src.0, self.base.0, self.index.0])
    }

    /// The block that a direct branch goes to when taken (or not); possibly stale.
    #[inline(always)]
    pub fn link(&self, taken: bool) -> *const Block {
        let link = if taken { &self.disp } else { &self.imm };
        ptr::with_exposed_provenance(link.get() as usize)
    }

    /// Links a direct branch to `block`.
    pub fn set_link(&self, taken: bool, block: *const Block) {
        let link = if taken { &self.disp } else { &self.imm };
        link.set(block.expose_provenance() as u64);
    }

    /// The header of the block that the op at `op` is in.
    ///
    /// # Safety
    /// `op` points into a live block.
    pub unsafe fn block(op: *const Self) -> *const Block {
        // SAFETY: the caller vouches for `op`. Ops are in instruction order, so `n` of
        // them and the header lie before it in the same allocation.
        unsafe {
            op.sub(usize::from((*op).n))
                .cast::<u8>()
                .sub(Block::HEADER)
                .cast()
        }
    }

    /// Where the instruction at `op` begins.
    ///
    /// # Safety
    /// `op` points into a live block.
    pub unsafe fn rip(op: *const Self) -> u64 {
        // SAFETY: passed on to the caller.
        unsafe { (*Self::block(op)).rip.wrapping_add(u64::from((*op).off)) }
    }

    /// Where the instruction after the one at `op` begins.
    ///
    /// # Safety
    /// `op` points into a live block and is not its last.
    pub unsafe fn next_rip(op: *const Self) -> u64 {
        // SAFETY: passed on to the caller; every instruction's op has a successor (blocks
        // end with one that is no instruction).
        unsafe { Self::rip(op.add(1)) }
    }
}

/// The block that is never valid: where links point before they are resolved.
#[repr(transparent)]
pub struct NoBlock(Block);

// SAFETY: nobody writes the cells of the one instance: only blocks from the code cache are
// ever validated, entered or translated.
unsafe impl Sync for NoBlock {}

pub static NO_BLOCK: NoBlock = NoBlock(Block {
    ctx: Cell::new(0),
    rip: 0,
    phys: 0,
    second_page: 0,
    code: Cell::new(0),
    own_handler: Cell::new(ptr::null()),
    limit: 0,
    region: Cell::new(0),
    len: 0,
    mode: 0,
    heat: Cell::new(0),
    count: 0,
});

impl NoBlock {
    pub fn pointer(&'static self) -> *const Block {
        &raw const self.0
    }
    fn link(&'static self) -> u64 {
        self.pointer().expose_provenance() as u64
    }
}
