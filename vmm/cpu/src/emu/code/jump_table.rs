//! From instruction pointer to block, for indirect jumps: direct-mapped and lossy. The
//! table is made with the first block, so that a CPU that never runs has none.

use crate::emu::code::op::{Block, NO_BLOCK};

/// Entries in the table.
const JUMPS: usize = 4096;

/// The view of the table that jumps use.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct JumpTable {
    entries: *const *const Block,
    /// Entries less one, in bytes.
    mask: u64,
}

/// The table before the first block.
struct NoJumps(*const Block);
// SAFETY: a constant pointer to a constant.
unsafe impl Sync for NoJumps {}
static NO_JUMPS: NoJumps = NoJumps((&raw const NO_BLOCK).cast());

impl JumpTable {
    pub fn nothing() -> Self {
        Self {
            entries: &raw const NO_JUMPS.0,
            mask: 0,
        }
    }

    /// From the low half of an instruction pointer to the place of its entry, in bytes: the product
    /// with this, 2^32 by the golden ratio, then the shift, then the mask.
    pub const FACTOR: u32 = 0x9e37_79b1;
    pub const SHIFT: u32 = u32::BITS - (JUMPS * size_of::<*const Block>()).trailing_zeros();

    fn offset(rip: u64) -> u64 {
        ((rip as u32).wrapping_mul(Self::FACTOR) >> Self::SHIFT).into()
    }

    /// The block last entered in the place of `rip`.
    #[inline(always)]
    pub fn get(&self, rip: u64) -> *const Block {
        let offset = (Self::offset(rip) & self.mask) as usize;
        // SAFETY: `entries` points to a table of `mask + 8` bytes that lives as long as
        // the code cache, and the offset is that of an entry.
        unsafe {
            self.entries
                .cast::<u8>()
                .add(offset)
                .cast::<*const Block>()
                .read()
        }
    }
}

/// The table's memory.
pub struct Jumps(Vec<*const Block>);

impl Jumps {
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Clears the table.
    pub fn clear(&mut self) {
        self.0.fill(NO_BLOCK.pointer());
    }

    /// Enters `block` for `rip`; `table` is the view of this memory.
    pub fn note(&mut self, table: &mut JumpTable, rip: u64, block: *const Block) {
        if self.0.is_empty() {
            self.0 = vec![NO_BLOCK.pointer(); JUMPS];
            *table = JumpTable {
                entries: self.0.as_ptr(),
                mask: ((JUMPS - 1) * size_of::<*const Block>()) as u64,
            };
        }
        let place = JumpTable::offset(rip) as usize / size_of::<*const Block>();
        self.0[place] = block;
    }
}
