//! Decoded blocks: where they are kept, how they are found, when they are dropped.
//!
//! A block is the decoded code at a guest-physical address, for one instruction pointer (so
//! targets and rip-relative addresses are constants), one code size, one [`FpMode`] and one
//! limit of CS. It is valid while its `ctx` equals the CPU's. A context is a number that
//! stands for one view of the code: privilege, code size, [`FpMode`], and everything since
//! the last TLB flush. So a flush only takes a new number; a block that is found again is
//! revalidated, not decoded. Taken links and entries of the [`JumpTable`] compare the same
//! number and need never be cleared.
//!
//! The cache keeps the numbers of pages that hold decoded code. The TLB admits no fast
//! write to them, and slow writes drop the blocks that they overlap, which are found by
//! start address, as a guest can have all blocks in one page. Memory of dropped blocks is
//! reused only when the cache is cleared, outside the engine, so that pointers into the
//! current block stay valid. The cache is bounded: when full it is cleared.
//!
//! Each vCPU has a cache of its own; what one does to code, [`Neighbours`] tell the others.
//!
//! A guest chooses the addresses, so their hashes begin with a random number. Rejected:
//! `rustc-hash`, whose keys that collide a guest can work out (with 631 of them a look-up took
//! 450 ns, not 9); the standard library's hash, which takes four times as long.

use std::collections::BTreeMap;
use std::ptr;

use foldhash::{HashMap, HashMapExt};

use crate::emu::code::fetches::Fetches;
use crate::emu::code::jump_table::{JumpTable, Jumps};
use crate::emu::code::neighbours::{Neighbours, News};
use crate::emu::code::op::{BLOCK_LIMIT, Block, LONGEST};
use crate::emu::code::regions::{Regions, Translator};
use crate::emu::code::stubs::Stubs;
use crate::emu::memory::ram::{PAGE, PAGE_MASK};
use crate::emu::memory::walk::Translation;
use crate::emu::state::control::CodeSize;
use crate::emu::state::mxcsr::FpMode;

/// Bytes in a piece of the arena.
const CHUNK: usize = 64 << 10;
/// Largest number of pieces.
const MOST_CHUNKS: usize = 256;

/// The blocks that begin at one address, or continue there in their second page.
#[derive(Default)]
struct Start {
    blocks: Vec<*const Block>,
    /// Most bytes that one of them has in this page.
    longest: u64,
}

/// Most bytes of a block in one page.
const LONGEST_BLOCK: u64 = (BLOCK_LIMIT * LONGEST) as u64;
/// Work of finding the blocks that a write hits.
const WRITE_WORK: i64 = 8;
/// Work of checking one of them, and of validating the successor of a block.
const BLOCK_WORK: i64 = 4;

/// The key of a block: guest-physical address, instruction pointer, mode, limit of CS.
type Key = (u64, u64, u16, u32);

/// The key of the block with this header.
fn key(header: &Block) -> Key {
    (header.phys, header.rip, header.mode, header.limit)
}

/// Which code is valid now: what a fetch context stands for, apart from flushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Selection {
    is_user: bool,
    size: CodeSize,
    fp: FpMode,
}

impl Selection {
    /// Index in [`CodeCache::contexts`].
    fn index(self) -> usize {
        usize::from(self.is_user) | if self.size == CodeSize::Bits64 { 0 } else { 2 }
    }
}

/// The result of a write to code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Invalidated {
    /// Whether any block was dropped.
    pub any: bool,
    /// Host work that it took, in the meter's units.
    pub work: i64,
}

/// All decoded blocks. The fields that jumps and branches use come first.
#[repr(C)]
pub struct CodeCache {
    /// The current fetch context: which blocks are valid.
    pub ctx: u64,
    /// From instruction pointer to block.
    pub jumps: JumpTable,
    jump_memory: Jumps,
    selection: Selection,
    blocks: HashMap<Key, *const Block>,
    /// Guest-physical address to the blocks that begin there, or whose part in a second
    /// page does.
    starts: BTreeMap<u64, Start>,
    /// Page number to the number of blocks that `starts` has there.
    pages: HashMap<u64, usize>,
    chunks: Vec<Vec<u64>>,
    pub stubs: Stubs,
    pub regions: Regions,
    pub translator: Option<Translator>,
    fetches: Fetches,
    /// The current contexts: of supervisor and user code in 64-bit mode, then in other
    /// modes. Each is the first of a range, one for each [`FpMode`].
    contexts: [u64; 4],
    last_context: u64,
    /// Limit of CS outside 64-bit mode.
    legacy_limit: u32,
    /// Whether supervisor code was fetched from a page that is not global.
    local_supervisor: bool,
    /// The other vCPUs of the machine, if there are any.
    pub neighbours: Option<Neighbours>,
}

impl CodeCache {
    /// An empty one, for supervisor code of 16 bits, beside `neighbours`.
    pub fn new(neighbours: Option<Neighbours>, translator: Option<Translator>) -> Self {
        let mut cache = Self {
            ctx: 0,
            jumps: JumpTable::nothing(),
            jump_memory: Jumps::new(),
            selection: Selection {
                is_user: false,
                size: CodeSize::Bits16,
                fp: FpMode::default(),
            },
            blocks: HashMap::new(),
            starts: BTreeMap::new(),
            pages: HashMap::new(),
            chunks: Vec::new(),
            stubs: Stubs::new(),
            regions: Regions::new(),
            translator,
            fetches: Fetches::new(),
            contexts: [1, 2, 3, 4].map(|i| i * FpMode::COUNT),
            last_context: 4 * FpMode::COUNT,
            legacy_limit: 0,
            local_supervisor: false,
            neighbours,
        };
        cache.renew();
        cache
    }

    /// Selects the code of a privilege, a code size and a floating-point mode.
    pub fn select(&mut self, is_user: bool, size: CodeSize, fp: FpMode) {
        self.selection = Selection { is_user, size, fp };
        self.renew();
    }

    /// Sets `ctx` to that of the selection.
    fn renew(&mut self) {
        let Selection { fp, .. } = self.selection;
        self.ctx = self.contexts[self.selection.index()] + u64::from(fp.number());
    }

    /// What a block's decoded form depends on beside its bytes.
    pub fn mode(&self) -> u16 {
        self.selection.size as u16 | u16::from(self.selection.fp.number()) << 2
    }

    /// The limit of CS that a block's decoded form depends on: 0 in 64-bit mode.
    pub fn limit(&self) -> u32 {
        match self.selection.size {
            CodeSize::Bits64 => 0,
            CodeSize::Bits16 | CodeSize::Bits32 => self.legacy_limit,
        }
    }

    /// Whether code lies in the page of `gpa` that this vCPU or another has decoded.
    pub fn holds(&self, gpa: u64) -> bool {
        let own = !self.pages.is_empty() && self.pages.contains_key(&(gpa / PAGE));
        own || self.neighbours.as_ref().is_some_and(|all| all.hold(gpa))
    }

    /// Tells the other vCPUs, if there are any.
    fn tell(&self, news: News) {
        if let Some(neighbours) = &self.neighbours {
            neighbours.tell(news);
        }
    }

    /// Flushes fetch translations and makes their blocks invalid: all, or those outside
    /// global pages.
    pub fn flush_fetch(&mut self, keep_global: bool) {
        let kept = keep_global && !self.local_supervisor;
        for (i, context) in self.contexts.iter_mut().enumerate() {
            if i % 2 == 1 || !kept {
                self.last_context += FpMode::COUNT;
                *context = self.last_context;
            }
        }
        if !kept {
            self.fetches.forget();
        }
        self.local_supervisor &= kept;
        self.renew();
    }

    /// All, if code may depend on the translation of `la`.
    pub fn flush_fetched(&mut self, la: u64) {
        if self.fetches.may_depend_on(la) {
            self.flush_fetch(false);
        }
    }

    /// Invalidates legacy-mode blocks, as the base of CS may have changed, and its limit.
    pub fn new_legacy_segment(&mut self, limit: u32) {
        self.legacy_limit = limit;
        for context in &mut self.contexts[2..] {
            self.last_context += FpMode::COUNT;
            *context = self.last_context;
        }
        self.renew();
    }

    /// Drops all blocks. Only outside the engine.
    pub fn clear(&mut self) {
        self.flush_fetch(false);
        self.blocks.clear();
        self.starts.clear();
        self.pages.clear();
        self.chunks.truncate(1);
        if let Some(chunk) = self.chunks.first_mut() {
            chunk.clear();
        }
        self.jump_memory.clear();
        self.stubs.clear();
        self.regions.clear();
        self.tell(News::DroppedAll);
    }

    /// Room for a block of `ops` ops; empties the cache when it is full.
    pub fn allocate(&mut self, ops: usize) -> *mut Block {
        let words = Block::size(ops).div_ceil(8);
        let fits = |chunk: &Vec<u64>| chunk.capacity() - chunk.len() >= words;
        if !self.chunks.last().is_some_and(fits) {
            if self.chunks.len() == MOST_CHUNKS {
                self.clear();
            } else {
                self.chunks.push(Vec::with_capacity(CHUNK / 8));
            }
        }
        const { assert!(CHUNK >= Block::size(BLOCK_LIMIT + 1)) };
        let Some(chunk) = self.chunks.last_mut() else {
            unreachable!("a chunk was pushed above")
        };
        let start = chunk.len();
        chunk.resize(start + words, 0);
        chunk[start..].as_mut_ptr().cast()
    }

    /// The guest-physical page that the linear `page` was fetched from last, if that is
    /// still valid.
    pub fn fetched(&self, page: u64) -> Option<u64> {
        self.fetches.get(self.ctx, page)
    }

    /// Records that a walk for a fetch from the linear `page` has `found` it.
    pub fn note_fetch(&mut self, page: u64, found: &Translation) {
        self.local_supervisor |= !self.selection.is_user && !found.global;
        self.fetches.note(self.ctx, page, found);
    }

    /// The block at `rip`, if the jump table has it and it is valid.
    #[inline]
    pub fn valid(&self, rip: u64) -> Option<*const Block> {
        let block = self.jumps.get(rip);
        // SAFETY: entries of the jump table are live blocks or `NO_BLOCK`.
        let header = unsafe { &*block };
        (header.rip == rip && header.ctx.get() == self.ctx).then_some(block)
    }

    /// The block decoded at `rip` from `gpa`, valid or not. A caller that has found it to
    /// be current calls [`validate`](Self::validate).
    pub fn decoded(&self, gpa: u64, rip: u64) -> Option<*const Block> {
        let key = (gpa, rip, self.mode(), self.limit());
        self.blocks.get(&key).copied()
    }

    /// Makes a block from [`decoded`](Self::decoded) valid. Returns the work that took.
    ///
    /// # Safety
    /// `block` is live: the cache has not been cleared since it was found.
    pub unsafe fn validate(&mut self, block: *const Block) -> i64 {
        // SAFETY: the caller vouches for the block.
        let header = unsafe { &*block };
        header.ctx.set(self.ctx);
        self.jump_memory.note(&mut self.jumps, header.rip, block);
        BLOCK_WORK
    }

    /// Adds a block that was just decoded into room from [`allocate`](Self::allocate).
    /// Returns the pages that have held no code before, by guest-physical address.
    ///
    /// # Safety
    /// The room has been written, and the cache has not been cleared since.
    pub unsafe fn add(&mut self, block: *const Block) -> [Option<u64>; 2] {
        // SAFETY: the caller vouches for the block.
        let header = unsafe { &*block };
        self.blocks.insert(key(header), block);
        let new_pages = [header.phys, header.second_page].map(|start| {
            let len = header.bytes_from(start)?;
            let there = self.starts.entry(start).or_default();
            there.blocks.push(block);
            there.longest = there.longest.max(len);
            let blocks = self.pages.entry(start / PAGE).or_default();
            *blocks += 1;
            (*blocks == 1).then_some(start & PAGE_MASK)
        });
        for page in new_pages.into_iter().flatten() {
            self.tell(News::Decoded(page));
        }
        self.jump_memory.note(&mut self.jumps, header.rip, block);
        new_pages
    }

    /// This vCPU may have changed code: drops the blocks, here and in other caches, that have
    /// any of the `written` bytes at `gpa`, all in one page.
    pub fn invalidate(&mut self, gpa: u64, written: u64) -> Invalidated {
        if let Some(neighbours) = &self.neighbours
            && neighbours.hold(gpa)
        {
            neighbours.tell(News::Written(gpa, written));
        }
        self.drop_written(gpa, written)
    }

    /// Drops the blocks of this cache that have any of these bytes.
    pub fn drop_written(&mut self, gpa: u64, written: u64) -> Invalidated {
        let from = (gpa & PAGE_MASK).max(gpa.saturating_sub(LONGEST_BLOCK - 1));
        let (mut work, mut dropped) = (WRITE_WORK, 0);
        let (mut empty, mut regions) = (Vec::new(), Vec::new());
        for (&start, there) in self.starts.range_mut(from..gpa + written) {
            work += BLOCK_WORK;
            if start + there.longest <= gpa {
                continue;
            }
            work += BLOCK_WORK * there.blocks.len() as i64;
            let (mut longest, before) = (0, there.blocks.len());
            there.blocks.retain(|&block| {
                // SAFETY: blocks listed by address are live or dropped, but their memory
                // is not reused before the lists are cleared.
                let header = unsafe { &*block };
                let len = header.bytes_from(start).unwrap_or(0);
                let hit = start + len > gpa;
                if hit {
                    header.ctx.set(0);
                    regions.push(header.region.get());
                    let key = key(header);
                    if self.blocks.get(&key).is_some_and(|&b| ptr::eq(b, block)) {
                        self.blocks.remove(&key);
                    }
                } else {
                    longest = longest.max(len);
                }
                !hit
            });
            there.longest = longest;
            dropped += before - there.blocks.len();
            if there.blocks.is_empty() {
                empty.push(start);
            }
        }
        for start in empty {
            self.starts.remove(&start);
        }
        // SAFETY: memory of blocks is not reused before all regions are forgotten, and the
        // engine holds no reference to an op while an instruction writes to memory.
        unsafe { self.regions.drop_all(&regions, self.translator) };
        if let Some(left) = self.pages.get_mut(&(gpa / PAGE)) {
            *left = left.saturating_sub(dropped);
            if *left == 0 {
                self.pages.remove(&(gpa / PAGE));
                self.tell(News::Dropped(gpa));
            }
        }
        Invalidated {
            any: dropped != 0,
            work,
        }
    }
}
