//! Decoded blocks: where they are kept, how they are found, when they are dropped.
//!
//! A block is what decoding found at a guest-physical address, for one instruction
//! pointer (so targets and rip-relative addresses are constants) and one code size. It is
//! valid while its `ctx` equals the CPU's. A context is a number that stands for one
//! view of the code: privilege, code size, and everything since the last TLB flush. So a
//! flush only takes a new number; a block is confirmed, not decoded, when it is met
//! again. Taken links and entries of the [`JumpTable`](super::jump_table::JumpTable)
//! compare the same number and need never be cleared.
//!
//! Pages that hold decoded code are known by number; the TLB lets no fast write into
//! them, and slow writes drop the blocks whose bytes they hit, which are found by where
//! they begin: a guest can have all blocks in one page. Memory of dropped blocks
//! is reused only when all is dropped, outside the engine, so that pointers into the
//! block at hand stay good. The cache is bounded: when full it starts anew.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::ptr;

use super::cpu::{CodeSize, Cpu};
use super::decode::LONGEST;
use super::exception::{Exception, Stop};
use super::exit::ExitKind;
use super::fp::FpMode;
use super::jump_table::Jumps;
use super::mmu::{Privilege, Want};
use super::op::{BLOCK_LIMIT, Block, Op};
use super::ram::{PAGE, PAGE_MASK};

/// Bytes in a piece of the arena.
const CHUNK: usize = 64 << 10;
/// Most pieces.
const MOST_CHUNKS: usize = 256;
/// Entries in the table of recently fetched pages.
const FETCHES: usize = 16;

/// A page from which code was fetched.
#[derive(Clone, Copy)]
struct Fetched {
    ctx: u64,
    page: u64,
    gpa: u64,
}

type Map<K, V> = HashMap<K, V, BuildHasherDefault<Mix>>;

/// A hasher for addresses.
#[derive(Default)]
pub(super) struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }
    fn write_u64(&mut self, value: u64) {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let mixed = (self.0 ^ value).wrapping_mul(ODD);
        self.0 = mixed ^ mixed >> 29;
    }
    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }
}

/// The blocks that begin at one address, or go on there in their second page.
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
/// Work of looking at one of them, and of confirming one that a block leads to.
const BLOCK_WORK: i64 = 4;

/// What a block is known by.
type Key = (u64, u64, u8);

/// All decoded blocks.
pub(super) struct CodeCache {
    blocks: Map<Key, *const Block>,
    /// From guest-physical address to the blocks with bytes from there on in its page: the
    /// beginnings, and what is in a second page.
    starts: BTreeMap<u64, Start>,
    /// From page number to how many blocks `starts` has there.
    pages: Map<u64, usize>,
    chunks: Vec<Vec<u64>>,
    jumps: Jumps,
    fetched: [Fetched; FETCHES],
    /// The contexts now: of supervisor and user code in 64-bit mode, then in others.
    /// Each stands for one of every [`FpMode`], counted from it.
    contexts: [u64; 4],
    last_context: u64,
    /// Whether supervisor code was fetched from a page that is not global.
    local_supervisor: bool,
    /// Room for the decoder.
    pub(super) scratch: super::decode::Scratch,
}

impl CodeCache {
    pub(super) fn new() -> Self {
        Self {
            blocks: Map::default(),
            starts: BTreeMap::new(),
            pages: Map::default(),
            chunks: Vec::new(),
            jumps: Jumps::new(),
            fetched: [Fetched {
                ctx: 0,
                page: 0,
                gpa: 0,
            }; FETCHES],
            contexts: [1, 2, 3, 4].map(|i| i * FpMode::COUNT),
            last_context: 4 * FpMode::COUNT,
            local_supervisor: false,
            scratch: super::decode::Scratch::new(),
        }
    }

    /// Whether decoded code lies in the page of `gpa`.
    pub(super) fn holds(&self, gpa: u64) -> bool {
        !self.pages.is_empty() && self.pages.contains_key(&(gpa / PAGE))
    }

    /// What was fetched may have changed: all, or what is not in global pages.
    pub(super) fn flush_fetch(&mut self, keep_global: bool) {
        let kept = keep_global && !self.local_supervisor;
        for (i, context) in self.contexts.iter_mut().enumerate() {
            if i % 2 == 1 || !kept {
                self.last_context += FpMode::COUNT;
                *context = self.last_context;
            }
        }
        self.local_supervisor &= kept;
    }

    /// The base of CS may have changed, in a mode where it counts.
    pub(super) fn new_legacy_segment(&mut self) {
        for context in &mut self.contexts[2..] {
            self.last_context += FpMode::COUNT;
            *context = self.last_context;
        }
    }

    /// Drops everything. Only outside the engine.
    pub(super) fn clear(&mut self) {
        self.flush_fetch(false);
        self.blocks.clear();
        self.starts.clear();
        self.pages.clear();
        self.chunks.truncate(1);
        if let Some(chunk) = self.chunks.first_mut() {
            chunk.clear();
        }
        self.jumps.clear();
    }

    /// Room for a block of `ops` ops; empties the cache when it is full.
    pub(super) fn allocate(&mut self, ops: usize) -> *mut Block {
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
}

impl Cpu {
    /// Makes `ctx` that of the current privilege, code size and [`FpMode`].
    pub(super) fn select_ctx(&mut self) {
        let index = usize::from(self.cpl == 3)
            | if self.code_size == CodeSize::Bits64 {
                0
            } else {
                2
            };
        self.ctx = self.code.contexts[index] + u64::from(self.fp_mode.number());
    }

    /// What a block's decoded form depends on beside its bytes.
    pub(super) fn decode_mode(&self) -> u8 {
        self.code_size as u8 | self.fp_mode.number() << 2
    }

    /// The block at `rip`, if it is decoded and what is there now.
    #[inline]
    pub(super) fn find_block(&mut self, rip: u64) -> Option<*const Block> {
        let block = self.jumps.get(rip);
        // SAFETY: entries of the jump table are live blocks or `NO_BLOCK`.
        let header = unsafe { &*block };
        if header.rip == rip && header.ctx.get() == self.ctx {
            return Some(block);
        }
        self.confirm_block(rip)
    }

    /// The block at `rip`, if it is decoded, found by its physical address.
    fn confirm_block(&mut self, rip: u64) -> Option<*const Block> {
        let (gpa, _) = self.fetch_page(rip).ok()?;
        let key = (gpa, rip, self.decode_mode());
        let block = *self.code.blocks.get(&key)?;
        // SAFETY: blocks in the map are live.
        let header = unsafe { &*block };
        if header.ctx.get() != self.ctx && header.second_page != u64::MAX {
            let last = rip.wrapping_add(u64::from(header.len) - 1);
            let (last_gpa, _) = self.fetch_page(last).ok()?;
            if last_gpa & PAGE_MASK != header.second_page {
                return None;
            }
        }
        header.ctx.set(self.ctx);
        self.code.jumps.note(&mut self.jumps, rip, block);
        self.charge(BLOCK_WORK);
        Some(block)
    }

    /// Guest-physical and host address of the code byte at `rip` (an offset in CS).
    ///
    /// # Errors
    /// #PF or #GP for the fetch; an exit where no RAM is.
    pub(super) fn fetch_page(&mut self, rip: u64) -> Result<(u64, *const u8), Stop> {
        let la = self.code_address(rip);
        let page = la & PAGE_MASK;
        let place = (la / PAGE) as usize % FETCHES;
        let known = self.code.fetched[place];
        let gpa = if known.ctx == self.ctx && known.page == page {
            known.gpa
        } else {
            if !Self::canonical(la) {
                return Err(Exception::GP.into());
            }
            let privilege = if self.cpl == 3 {
                Privilege::User
            } else {
                Privilege::Supervisor
            };
            let found = self.walk(la, Want::Fetch, privilege)?;
            self.code.local_supervisor |= self.cpl != 3 && !found.global;
            let gpa = found.gpa & PAGE_MASK;
            self.code.fetched[place] = Fetched {
                ctx: self.ctx,
                page,
                gpa,
            };
            gpa
        };
        let gpa = gpa | la & (PAGE - 1);
        match self.ram.host(gpa) {
            Some(host) => Ok((gpa, host)),
            None => {
                self.exit.kind = ExitKind::FetchOutside { gpa };
                Err(Stop::Exit)
            }
        }
    }

    /// Keeps a block that was just decoded into room from [`CodeCache::allocate`].
    pub(super) fn add_block(&mut self, block: *const Block) {
        // SAFETY: the decoder has just written it.
        let header = unsafe { &*block };
        self.code
            .blocks
            .insert((header.phys, header.rip, header.mode), block);
        for start in [header.phys, header.second_page] {
            let Some(len) = header.bytes_from(start) else {
                continue;
            };
            let blocks = self.code.pages.entry(start / PAGE).or_default();
            *blocks += 1;
            if *blocks == 1
                && let Some(host) = self.ram.host(start & PAGE_MASK)
            {
                self.protect_page(host);
            }
            let there = self.code.starts.entry(start).or_default();
            there.blocks.push(block);
            there.longest = there.longest.max(len);
        }
        self.code.jumps.note(&mut self.jumps, header.rip, block);
    }

    /// Guest code may have changed: drops the blocks that have any of the `written` bytes
    /// at `gpa`, all in one page.
    pub(super) fn code_written(&mut self, gpa: u64, written: u64) {
        let code = &mut self.code;
        let from = (gpa & PAGE_MASK).max(gpa.saturating_sub(LONGEST_BLOCK - 1));
        let (mut work, mut dropped, mut empty) = (WRITE_WORK, 0, Vec::new());
        for (&start, there) in code.starts.range_mut(from..gpa + written) {
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
                    let key = (header.phys, header.rip, header.mode);
                    if code.blocks.get(&key).is_some_and(|&b| ptr::eq(b, block)) {
                        code.blocks.remove(&key);
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
            code.starts.remove(&start);
        }
        if let Some(left) = code.pages.get_mut(&(gpa / PAGE)) {
            *left = left.saturating_sub(dropped);
            if *left == 0 {
                code.pages.remove(&(gpa / PAGE));
            }
        }
        self.leave_block |= dropped != 0;
        self.charge(work);
    }
}

impl Block {
    /// How many of its bytes are at `start` and behind it in the page: `start` is where the
    /// block begins, or its second page. `None` if it has none.
    fn bytes_from(&self, start: u64) -> Option<u64> {
        let len = u64::from(self.len);
        let in_first = len.min(PAGE - self.phys % PAGE);
        if start == self.phys {
            Some(in_first)
        } else {
            (start == self.second_page && start != u64::MAX).then_some(len - in_first)
        }
    }
}

/// Where the instruction at `op` begins.
///
/// # Safety
/// `op` points into a live block.
pub(super) unsafe fn rip_of(op: *const Op) -> u64 {
    // SAFETY: passed on to the caller.
    unsafe { (*Op::block(op)).rip.wrapping_add(u64::from((*op).off)) }
}

/// Where the instruction after the one at `op` begins.
///
/// # Safety
/// `op` points into a live block and is not its last.
pub(super) unsafe fn next_rip(op: *const Op) -> u64 {
    // SAFETY: passed on to the caller; every instruction's op has a successor (blocks
    // end with one that is no instruction).
    unsafe {
        (*Op::block(op))
            .rip
            .wrapping_add(u64::from((*op.add(1)).off))
    }
}
