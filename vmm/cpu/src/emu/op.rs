//! The decoded form of an instruction: the seam between decoding and execution.
//!
//! A basic block is a [`Block`] header followed by one [`Op`] for each instruction and a
//! last one that goes on to the next block. Everything an instruction needs was worked
//! out when it was decoded: the handler for its operand forms, widths and flag liveness,
//! register numbers as byte offsets, displacement, immediate. Another engine (say, a
//! translator) would consume the same form.
//!
//! Operand order is that of the engine: `dst`, `src` for registers; `base`, `index`,
//! `disp` and the low bits of `aux` for the one memory operand; `imm`. Direct branches
//! have no operands but use the same fields: `disp` and `imm` link to the taken and the
//! fall-through block, and the four slots hold the distance of the target.

use std::cell::Cell;
use std::mem::size_of;
use std::ptr;

use super::cpu::Cpu;

/// Executes one instruction and, with tail calls, all that follow: see
/// [`super::engine`]. Returns the next op to execute, or null to leave the engine.
///
/// # Safety
/// The CPU is not otherwise borrowed, and the op is part of a live block.
pub(super) type Handler = unsafe fn(*mut Cpu, *const Op) -> *const Op;

/// Most instructions in a block.
pub(super) const BLOCK_LIMIT: usize = 64;

/// A register operand: byte offset into the array of general registers (8 for each; 1
/// more for ah, ch, dh, bh) or of XMM registers (16 for each).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Slot(pub(super) u8);

impl Slot {
    /// General register `number` (0 to 15).
    pub(super) const fn gpr(number: usize) -> Self {
        Self((number as u8 & 15) * 8)
    }
    /// XMM register `number` (0 to 15).
    pub(super) const fn xmm(number: usize) -> Self {
        Self((number as u8 & 15) * 16)
    }
    /// Stands for no register in addresses: reads as zero.
    pub(super) const ZERO: Self = Self(16 * 8);
    pub(super) const RAX: Self = Self::gpr(0);
    pub(super) const AH: Self = Self(1);
    pub(super) const RCX: Self = Self::gpr(1);
    pub(super) const RDX: Self = Self::gpr(2);
    pub(super) const RBX: Self = Self::gpr(3);
    pub(super) const RSP: Self = Self::gpr(4);
    pub(super) const RBP: Self = Self::gpr(5);
    pub(super) const RSI: Self = Self::gpr(6);
    pub(super) const RDI: Self = Self::gpr(7);
    pub(super) const R11: Self = Self::gpr(11);
}

/// One decoded instruction.
#[repr(C)]
#[derive(Clone, Debug)]
pub(super) struct Op {
    /// What executes it.
    pub(super) handler: Handler,
    /// Displacement of the memory operand (absolute where it was relative to rip).
    pub(super) disp: Cell<u64>,
    /// Immediate, sign-extended as the instruction wants it.
    pub(super) imm: Cell<u64>,
    /// Destination register.
    pub(super) dst: Slot,
    /// Source register.
    pub(super) src: Slot,
    /// Base register of the address.
    pub(super) base: Slot,
    /// Index register of the address.
    pub(super) index: Slot,
    /// Scale, segment and address size: see [`Aux`].
    pub(super) aux: Aux,
    /// Instructions before this one in its block.
    pub(super) n: u8,
    /// Bytes before this one in its block.
    pub(super) off: u16,
}

/// Addressing details: bits 0 and 1 the scale's logarithm, 2 to 4 the segment (0 to 5 as
/// in ModRM), 5 and 6 the address size (0: 16, 1: 32, 2: 64 bits).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Aux(pub(super) u8);

impl Aux {
    pub(super) const fn new(scale_log2: u8, segment: u8, size: u8) -> Self {
        Self(scale_log2 & 3 | (segment & 7) << 2 | (size & 3) << 5)
    }
    #[inline(always)]
    pub(super) fn scale(self) -> u32 {
        u32::from(self.0 & 3)
    }
    #[inline(always)]
    pub(super) fn segment(self) -> u8 {
        self.0 >> 2 & 7
    }
    /// Which bits of an address count.
    #[inline(always)]
    pub(super) fn address_mask(self) -> u64 {
        match self.0 >> 5 & 3 {
            0 => 0xffff,
            1 => 0xffff_ffff,
            _ => u64::MAX,
        }
    }
}

/// A basic block's header; `Op`s follow it in memory.
#[repr(C)]
pub(super) struct Block {
    /// The fetch context in which the block was last found to be what is at `rip`; valid
    /// only while it equals the CPU's own. 0 never does.
    pub(super) ctx: Cell<u64>,
    /// Instruction pointer of the first instruction.
    pub(super) rip: u64,
    /// Guest-physical address of the first byte.
    pub(super) phys: u64,
    /// Guest-physical page of the last byte where that differs from the first's, else
    /// `u64::MAX`.
    pub(super) second_page: u64,
    /// Bytes of code.
    pub(super) len: u16,
    /// Instructions.
    pub(super) count: u8,
    /// Code size and floating-point mode that it was decoded for.
    pub(super) mode: u8,
}

impl Block {
    /// Bytes from the header to the first op.
    pub(super) const HEADER: usize = 48;

    /// The first op of the block at `block`.
    #[inline(always)]
    pub(super) fn first(block: *const Self) -> *const Op {
        block.cast::<u8>().wrapping_add(Self::HEADER).cast()
    }

    /// Bytes that a block of `ops` ops takes.
    pub(super) const fn size(ops: usize) -> usize {
        Self::HEADER + ops * size_of::<Op>()
    }
}

const _: () = assert!(size_of::<Op>() == 32 && size_of::<Block>() <= Block::HEADER);

impl Op {
    /// An op of no operands.
    pub(super) fn new(handler: Handler) -> Self {
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

    /// Makes it a direct branch, `distance` from the end of the instruction.
    pub(super) fn set_distance(&mut self, distance: i32) {
        let [a, b, c, d] = distance.to_le_bytes();
        (self.dst, self.src, self.base, self.index) = (Slot(a), Slot(b), Slot(c), Slot(d));
        self.disp.set(NO_BLOCK.link());
        self.imm.set(NO_BLOCK.link());
    }

    /// A direct branch's distance.
    pub(super) fn distance(&self) -> i32 {
        i32::from_le_bytes([self.dst.0, self.src.0, self.base.0, self.index.0])
    }

    /// The block that a direct branch goes to when taken (or not); possibly outdated.
    #[inline(always)]
    pub(super) fn link(&self, taken: bool) -> *const Block {
        let link = if taken { &self.disp } else { &self.imm };
        ptr::with_exposed_provenance(link.get() as usize)
    }

    /// Remembers where a direct branch goes.
    pub(super) fn set_link(&self, taken: bool, block: *const Block) {
        let link = if taken { &self.disp } else { &self.imm };
        link.set(block.expose_provenance() as u64);
    }

    /// The header of the block that the op at `op` is in.
    ///
    /// # Safety
    /// `op` points into a live block.
    pub(super) unsafe fn block(op: *const Self) -> *const Block {
        // SAFETY: the caller vouches for `op`. Ops are in instruction order, so `n` of
        // them and the header lie before it in the same allocation.
        unsafe {
            op.sub(usize::from((*op).n))
                .cast::<u8>()
                .sub(Block::HEADER)
                .cast()
        }
    }
}

/// The block that is never valid: where links point before they are known.
#[repr(transparent)]
pub(super) struct NoBlock(Block);

// SAFETY: nobody writes the `ctx` of the one instance: only blocks from the code cache
// are ever validated.
unsafe impl Sync for NoBlock {}

pub(super) static NO_BLOCK: NoBlock = NoBlock(Block {
    ctx: Cell::new(0),
    rip: 0,
    phys: 0,
    second_page: 0,
    len: 0,
    count: 0,
    mode: 0,
});

impl NoBlock {
    pub(super) fn pointer(&'static self) -> *const Block {
        &raw const self.0
    }
    fn link(&'static self) -> u64 {
        self.pointer().expose_provenance() as u64
    }
}
